//! The replicas, and the choice of the one to use.

use std::sync::{Mutex, MutexGuard};

use super::link::Link;
use super::pool::Pool;
use crate::environment::{Backoff, SharedEnvironment};
use crate::panics::lock;
use crate::telemetry::meters::PostgresMeters;

/// The time for which a replica is not used after its first failure, and at most, in milliseconds.
const FIRST_MS: u64 = 1_000;
const MOST_MS: u64 = 30_000;

/// The result of a read on a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadResult {
    /// It had what was asked for.
    Served,
    /// It has not received yet the events that the caller must see.
    Behind,
    /// It did not answer.
    Failed,
}

/// Whether one replica is asked.
#[derive(Debug, Clone, Copy)]
struct ReplicaState {
    /// When it may be tried again; `None` while it is in the rotation.
    out_until_ms: Option<u64>,
    /// The time for which it is not used after its next failure.
    backoff: Backoff,
}

impl ReplicaState {
    const fn in_rotation() -> Self {
        Self { out_until_ms: None, backoff: Backoff::new(FIRST_MS, MOST_MS) }
    }
}

/// Selects replicas in turn. A replica that fails is not used for a while, twice as long each time. Then one
/// read tries it, and it is back in the rotation if that read succeeds.
#[derive(Debug)]
pub(super) struct Rotation {
    states: Vec<ReplicaState>,
    turn: usize,
}

impl Rotation {
    pub(super) fn new(replicas: usize) -> Self {
        Self { states: vec![ReplicaState::in_rotation(); replicas], turn: 0 }
    }

    /// The replica to ask at `now_ms`. One whose time is over is given to one caller only, until that caller
    /// has recorded a result or its time is over again.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<usize> {
        let count = self.states.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let state = &mut self.states[index];
            let free = state.out_until_ms.is_none_or(|until_ms| until_ms <= now_ms);
            if free {
                if state.out_until_ms.is_some() {
                    state.out_until_ms = Some(now_ms + state.backoff.peek_ms());
                }
                self.turn = (index + 1) % count;
                return Some(index);
            }
        }
        None
    }

    /// Takes note of how a replica did.
    pub(super) fn record(&mut self, index: usize, result: ReadResult, now_ms: u64) {
        let Some(state) = self.states.get_mut(index) else { return };
        match result {
            ReadResult::Served => *state = ReplicaState::in_rotation(),
            ReadResult::Behind | ReadResult::Failed => {
                state.out_until_ms = Some(now_ms + state.backoff.next_ms());
            }
        }
    }

    /// The number of replicas in the rotation.
    pub(super) fn in_turn(&self) -> usize {
        self.states.iter().filter(|state| state.out_until_ms.is_none()).count()
    }
}

/// The replicas' connections with their rotation.
#[derive(Debug)]
pub(in crate::store) struct Replicas<L: Link> {
    pools: Vec<Pool<L>>,
    rotation: Mutex<Rotation>,
    environment: SharedEnvironment,
    meters: PostgresMeters,
}

impl<L: Link> Replicas<L> {
    pub(in crate::store) fn new(
        pools: Vec<Pool<L>>,
        environment: SharedEnvironment,
        meters: PostgresMeters,
    ) -> Self {
        meters.replicas.set(pools.len() as f64);
        let rotation = Mutex::new(Rotation::new(pools.len()));
        Self { pools, rotation, environment, meters }
    }

    fn rotation(&self) -> MutexGuard<'_, Rotation> {
        lock(&self.rotation)
    }

    /// The replica to use after `tried` others did not serve the read.
    pub(super) fn next(&self, tried: usize) -> Option<usize> {
        if tried >= self.pools.len() {
            return None;
        }
        self.rotation().next(self.environment.monotonic_ms())
    }

    pub(super) fn record(&self, index: usize, result: ReadResult) {
        let label = match result {
            ReadResult::Served => "served",
            ReadResult::Behind => "behind",
            ReadResult::Failed => "failed",
        };
        self.meters.replica_reads.of(label).increment(1);
        let mut rotation = self.rotation();
        rotation.record(index, result, self.environment.monotonic_ms());
        self.meters.replicas.set(rotation.in_turn() as f64);
    }

    pub(in crate::store) fn count(&self) -> usize {
        self.pools.len()
    }

    pub(in crate::store) fn pool(&self, index: usize) -> &Pool<L> {
        &self.pools[index]
    }

    pub(in crate::store) async fn close(&self) {
        for pool in &self.pools {
            pool.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(rotation: &mut Rotation, now_ms: u64, count: usize) -> Vec<Option<usize>> {
        (0..count).map(|_| rotation.next(now_ms)).collect()
    }

    #[test]
    fn replicas_are_asked_in_turn() {
        let mut rotation = Rotation::new(3);
        assert_eq!(turns(&mut rotation, 0, 4), [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(Rotation::new(0).next(0), None);
    }

    #[test]
    fn one_that_is_behind_is_left_alone_and_tried_once_its_time_is_over() {
        let mut rotation = Rotation::new(2);
        rotation.record(0, ReadResult::Behind, 10);
        assert_eq!((turns(&mut rotation, 1_009, 2), rotation.in_turn()), (vec![Some(1), Some(1)], 1));
        let tried = turns(&mut rotation, 1_010, 3);
        assert_eq!(
            tried.iter().filter(|index| **index == Some(0)).count(),
            1,
            "by one caller only: {tried:?}"
        );
        rotation.record(0, ReadResult::Served, 1_020);
        assert_eq!(rotation.in_turn(), 2);
        assert!(turns(&mut rotation, 1_020, 2).contains(&Some(0)));
    }

    #[test]
    fn the_time_doubles_up_to_its_bound_and_begins_anew_after_success() {
        let mut rotation = Rotation::new(1);
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..7 {
            rotation.record(0, ReadResult::Failed, now_ms);
            let wait_ms = (0..=MOST_MS).find(|wait_ms| {
                let mut looked = Rotation { states: rotation.states.clone(), turn: 0 };
                looked.next(now_ms + wait_ms).is_some()
            });
            waits.push(wait_ms.unwrap_or(0));
            now_ms += MOST_MS;
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        rotation.record(0, ReadResult::Served, now_ms);
        rotation.record(0, ReadResult::Failed, now_ms);
        assert_eq!((rotation.next(now_ms + 999), rotation.next(now_ms + 1_000)), (None, Some(0)));
    }

    #[test]
    fn a_caller_that_never_judges_holds_a_replica_back_for_its_time_only() {
        let mut rotation = Rotation::new(1);
        rotation.record(0, ReadResult::Failed, 0);
        assert_eq!(rotation.next(1_000), Some(0));
        assert_eq!((rotation.next(2_999), rotation.next(3_000)), (None, Some(0)));
    }
}
