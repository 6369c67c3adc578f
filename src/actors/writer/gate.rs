//! The gate before the database, which all shards of a writer share: the adaptive limit and the circuit
//! breaker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::breaker::Breaker;
use super::limit::{AdaptiveLimit, BatchOutcome};
use super::observed::GateObserved;
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::telemetry::Meters;

/// Why a batch may not be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateClosed {
    /// The breaker is open: no batch is tried for a while.
    Away {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Too many batches were in flight for as long as this batch could wait.
    Busy,
}

struct State {
    limit: AdaptiveLimit,
    breaker: Breaker,
}

/// The limit and the breaker, shared by all shards.
pub struct Gate {
    state: Mutex<State>,
    freed: Notify,
    environment: SharedEnvironment,
    meters: Arc<Meters>,
}

/// Permission for one batch. Return it with [`GatePermit::ended`]; a batch whose permission is only dropped
/// counts as never tried.
pub struct GatePermit<'a> {
    gate: &'a Gate,
    began_us: u64,
    used: bool,
}

impl Gate {
    /// A gate that lets up to `most` batches through at once, fewer while commits take longer than `target`.
    pub fn new(most: usize, target: Duration, environment: SharedEnvironment, meters: Arc<Meters>) -> Self {
        let target_us = u64::try_from(target.as_micros()).unwrap_or(u64::MAX);
        let state = State { limit: AdaptiveLimit::new(most, target_us), breaker: Breaker::default() };
        let gate = Self { state: Mutex::new(state), freed: Notify::new(), environment, meters };
        gate.show(&gate.lock());
        gate
    }

    /// Waits for permission, at most `patience`.
    ///
    /// # Errors
    /// [`GateClosed`]; nothing was tried.
    pub async fn pass(&self, patience: Duration) -> Result<GatePermit<'_>, GateClosed> {
        let began_ms = self.environment.monotonic_ms();
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        loop {
            // Registered before the check, so that a permit released in between is not missed.
            let freed = self.freed.notified();
            let now_ms = self.environment.monotonic_ms();
            if let Some(pass) = self.try_pass(now_ms)? {
                return Ok(pass);
            }
            rare!(BatchWaitsForThePermit);
            let left_ms = patience_ms.saturating_sub(now_ms.saturating_sub(began_ms));
            if left_ms == 0 || tokio::time::timeout(Duration::from_millis(left_ms), freed).await.is_err() {
                return Err(GateClosed::Busy);
            }
        }
    }

    /// Whether the breaker refuses every batch now, and for how long.
    pub fn closed_ms(&self) -> Option<u64> {
        let mut state = self.lock();
        if !state.breaker.is_open() {
            return None;
        }
        let now_ms = self.environment.monotonic_ms();
        match state.breaker.admit(now_ms) {
            Err(retry_after_ms) => Some(retry_after_ms),
            Ok(()) => {
                state.breaker.cancelled(now_ms);
                None
            }
        }
    }

    /// The state for inspection.
    pub fn observed(&self) -> GateObserved {
        let state = self.lock();
        GateObserved {
            allowed_batches: state.limit.allowed(),
            in_flight_batches: state.limit.in_flight(),
            is_shut: state.breaker.is_open(),
        }
    }

    fn try_pass(&self, now_ms: u64) -> Result<Option<GatePermit<'_>>, GateClosed> {
        let mut state = self.lock();
        state.breaker.admit(now_ms).map_err(|retry_after_ms| GateClosed::Away { retry_after_ms })?;
        if !state.limit.begin() {
            state.breaker.cancelled(now_ms);
            return Ok(None);
        }
        rare!(BreakerHalfOpen, state.breaker.is_open());
        self.show(&state);
        Ok(Some(GatePermit { gate: self, began_us: self.environment.monotonic_us(), used: false }))
    }

    fn show(&self, state: &State) {
        self.meters.writer.allowed.set(state.limit.allowed() as f64);
        self.meters.writer.in_flight.set(state.limit.in_flight() as f64);
        self.meters.writer.breaker_open.set(if state.breaker.is_open() { 1.0 } else { 0.0 });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl GatePermit<'_> {
    /// The batch ended: the database `worked`, or it failed, also because the deadline passed.
    pub fn ended(mut self, worked: bool, timed_out: bool) {
        self.used = true;
        let took_us = self.gate.environment.monotonic_us().saturating_sub(self.began_us);
        let outcome = if worked { BatchOutcome::Answered { took_us } } else { BatchOutcome::Failed };
        let mut state = self.gate.lock();
        state.limit.ended(outcome);
        state.breaker.ended(worked, timed_out, self.gate.environment.monotonic_ms());
        self.gate.show(&state);
    }
}

impl Drop for GatePermit<'_> {
    fn drop(&mut self) {
        if !self.used {
            let mut state = self.gate.lock();
            state.limit.cancelled();
            state.breaker.cancelled(self.gate.environment.monotonic_ms());
        }
        // Waiting batches check again: there is a permit, or a reason not to wait any longer.
        self.gate.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ManualEnvironment;

    fn gate(most: usize) -> (Arc<Gate>, Arc<ManualEnvironment>) {
        let environment = Arc::new(ManualEnvironment::new(1_000, 1));
        let meters = Arc::new(Meters::new());
        (Arc::new(Gate::new(most, Duration::from_millis(100), environment.clone(), meters)), environment)
    }

    #[tokio::test]
    async fn a_batch_waits_for_its_place() {
        let (gate, _) = gate(1);
        let first = gate.pass(Duration::from_secs(60)).await.ok();
        assert!(first.is_some());
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass(Duration::from_secs(60)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        if let Some(pass) = first {
            pass.ended(true, false);
        }
        assert_eq!(waiting.await.ok(), Some(true));
        let held = gate.pass(Duration::ZERO).await;
        assert!(held.is_ok(), "a place given up was freed");
        assert_eq!(gate.pass(Duration::ZERO).await.err(), Some(GateClosed::Busy));
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_shuts_it_and_one_batch_tries_again() {
        let (gate, environment) = gate(4);
        let under_way = [gate.pass(Duration::ZERO).await, gate.pass(Duration::ZERO).await];
        under_way.into_iter().flatten().for_each(|pass| pass.ended(false, true));
        let Err(GateClosed::Away { retry_after_ms }) = gate.pass(Duration::ZERO).await.map(|_| ()) else {
            panic!("it is shut")
        };
        assert_eq!(gate.closed_ms(), Some(retry_after_ms));
        environment.advance_ms(retry_after_ms);
        assert_eq!(gate.closed_ms(), None);
        let trial = gate.pass(Duration::ZERO).await;
        assert!(trial.is_ok());
        assert!(matches!(gate.pass(Duration::ZERO).await, Err(GateClosed::Away { .. })));
        if let Ok(pass) = trial {
            pass.ended(true, false);
        }
        assert!(gate.pass(Duration::ZERO).await.is_ok());
    }
}
