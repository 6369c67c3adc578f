//! When something was wrong in a run, and so by when the product must have done what it promises to do soon.
//!
//! A bound counts from the end of what stood in its way: a deadline is the first moment after which nothing
//! was wrong for as long as the bound. What the bus does wrong is in no deadline's way; it makes the bound
//! longer, because the product promises to go on without the bus.

use std::collections::BTreeMap;

use tidings::bounds::Bound;

use super::transcript::Transcript;
use crate::history::{Entry, What, Who};
use crate::plan::{Act, Fault, Hangup, Operation, Plan};

/// A member has a message so long after its ack, when nothing is wrong.
const SOON_MS: u64 = 1_500;
/// The same, when the bus loses messages or is away.
const WITHOUT_BUS_MS: u64 = 3_500;
/// How much longer it takes while somebody else's transaction holds the end of the log back, without the bus.
const HELD_BACK_MS: u64 = 1_500;
/// What a process or the log needs after its trouble: leases end, breakers close, connections are made again.
const HEAL_MS: u64 = 6_000;
/// What a process needs at the beginning: others learn of it.
const HEAL_AT_START_MS: u64 = 1_000;
/// What the bus needs after its trouble: it is found out, and subscriptions are made again.
const HEAL_BUS_MS: u64 = 4_000;
/// A device that reads again has a full socket to read first.
const HEAL_READER_MS: u64 = 3_000;
/// Commits that lose their answers come whenever the process commits next.
const LOST_ANSWERS_MS: u64 = 12_000;

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment, in milliseconds.
    pub from_ms: u64,
    /// The end, with the time to heal.
    pub to_ms: u64,
}

impl Span {
    /// Whether any moment of `from_ms ..= to_ms` is in it.
    pub fn meets(&self, from_ms: u64, to_ms: u64) -> bool {
        self.from_ms <= to_ms && from_ms < self.to_ms
    }
}

/// Everything that was wrong in a run.
#[derive(Debug, Default)]
pub struct Troubles {
    /// The log, or a process, did not work.
    all: Vec<Span>,
    /// The bus did not work.
    bus: Vec<Span>,
    /// Somebody else's transaction was open.
    held_back: Vec<Span>,
    /// Sockets of a process did not work.
    sockets: BTreeMap<usize, Vec<Span>>,
    /// A device did not read.
    devices: BTreeMap<usize, Vec<Span>>,
    /// When a device ended its connections, or was cut off without a word, in milliseconds.
    ended: BTreeMap<usize, Vec<u64>>,
    /// When a process was killed.
    killed: BTreeMap<usize, Vec<u64>>,
    /// What the weather adds to a bound until the calm.
    weather_ms: u64,
    weather_loses: bool,
    /// What failing statements add to a bound.
    failing_ms: u64,
    /// When the weather was calm for good.
    calm_ms: u64,
    /// Few holes may wait for their repair. What is dropped then is found by "a read of the whole log"
    /// (docs/SEMANTICS.md, queues), which ends where somebody else's transaction holds the log back.
    drops_holes: bool,
}

impl Troubles {
    /// The troubles of a run.
    pub fn of(plan: &Plan, transcript: &Transcript<'_>) -> Self {
        let calm_ms = transcript.calm.map_or(u64::MAX, |at| transcript.at_ms(at));
        let weather = &plan.weather;
        let failing = if weather.log_failures + weather.log_lost_answers > 0 { HEAL_MS } else { 0 };
        let mut troubles = Self {
            weather_ms: 2 * weather.replica_lag_ms
                + 4 * weather.socket_delay_ms
                + 3 * weather.bus_delay_ms
                + 8 * weather.log_delay_ms
                + failing,
            failing_ms: failing,
            weather_loses: weather.bus_loss > 0 || weather.subscribe_delay_ms > 0,
            calm_ms: calm_ms.saturating_add(HEAL_READER_MS),
            drops_holes: plan.bounds.iter().any(|(name, _)| name == Bound::RepairsWaiting.name()),
            ..Self::default()
        };
        for step in &plan.steps {
            match &step.act {
                Act::Fault(fault) if step.at_ms < calm_ms => troubles.add_fault(step.at_ms, fault, calm_ms),
                Act::Device { device, operation } => troubles.add_operation(step.at_ms, *device, operation),
                Act::Fault(_) | Act::Operator(_) => {}
            }
        }
        troubles.add_processes(plan, transcript.entries);
        troubles
    }

    fn add_fault(&mut self, at_ms: u64, fault: &Fault, calm_ms: u64) {
        // The calm ends what lasts; only a transaction of somebody else stays open.
        let span = |ms: u64, heal_ms: u64| Span {
            from_ms: at_ms,
            to_ms: (at_ms + ms).min(calm_ms.max(at_ms)) + heal_ms,
        };
        match *fault {
            Fault::BusAway { ms } | Fault::BusFrozen { ms } | Fault::BusDemoted { ms } => {
                self.bus.push(span(ms, HEAL_BUS_MS));
            }
            Fault::BusEmptied | Fault::BusCut { .. } | Fault::BusForged { .. } => {
                self.bus.push(span(0, HEAL_BUS_MS));
            }
            Fault::LogHangs { ms }
            | Fault::LogAway { ms }
            | Fault::LogSlow { ms, .. }
            | Fault::ReplicaFrozen { ms, .. } => {
                self.all.push(span(ms, HEAL_MS));
            }
            Fault::Pause { process, ms } | Fault::WorkersStop { process, ms } => {
                self.all.push(span(ms, HEAL_MS));
                self.sockets.entry(process).or_default().push(span(ms, HEAL_MS));
            }
            Fault::LogHeldBack { ms } => {
                let held_back = Span { from_ms: at_ms, to_ms: at_ms + ms + SOON_MS };
                self.held_back.push(held_back);
                self.all.extend(self.drops_holes.then_some(held_back));
            }
            Fault::LogLosesAnswers { .. } => self.all.push(span(LOST_ANSWERS_MS, HEAL_MS)),
            Fault::FailOver { .. } | Fault::Restore { .. } => self.all.push(span(0, 2 * HEAL_MS)),
            Fault::SocketsStall { process, ms } => {
                // The calm does not end it.
                let stall = Span { from_ms: at_ms, to_ms: at_ms + ms + HEAL_READER_MS };
                self.sockets.entry(process).or_default().push(stall);
            }
            Fault::Drain { .. } => self.bus.push(span(HEAL_MS, HEAL_BUS_MS)),
            Fault::Kill { process, .. } => self.killed.entry(process).or_default().push(at_ms),
            // What follows from them is in the history.
            Fault::KillAfterCommit { .. } | Fault::SocketsReset { .. } => {}
            // Every duration is measured on the monotonic clock.
            Fault::ClockJump { .. } => {}
        }
    }

    fn add_operation(&mut self, at_ms: u64, device: usize, operation: &Operation) {
        match operation {
            Operation::StopReading { ms } => {
                let span = Span { from_ms: at_ms, to_ms: at_ms + ms + HEAL_READER_MS };
                self.devices.entry(device).or_default().push(span);
            }
            Operation::Disconnect { how: Hangup::Close | Hangup::Reset | Hangup::Vanish } => {
                self.ended.entry(device).or_default().push(at_ms);
            }
            _ => {}
        }
    }

    /// The times at which a process was down, as the history tells them.
    fn add_processes(&mut self, plan: &Plan, entries: &[Entry]) {
        let notes = entries.iter().filter_map(|entry| match &entry.what {
            What::Noted { text } if entry.who == Who::World => Some((entry.at_ms, text.as_str())),
            _ => None,
        });
        let notes: Vec<(u64, &str)> = notes.collect();
        for process in 0..plan.processes.len() {
            let name = format!("process {process}");
            let mut down_since: Option<u64> = None;
            for (at_ms, text) in &notes {
                let ended = text.strip_prefix(&name).is_some_and(|rest| {
                    rest.starts_with(" has died")
                        || rest.starts_with(" has stopped")
                        || rest.starts_with(" starts")
                }) || (text.starts_with("Kill {")
                    && text.contains(&format!("process: {process},")));
                if ended {
                    down_since.get_or_insert(at_ms.saturating_sub(100));
                }
                if text.strip_prefix(&name) == Some(" serves")
                    && let Some(since) = down_since.take()
                {
                    // At the beginning nothing has to heal.
                    let heal_ms = if since == 0 { HEAL_AT_START_MS } else { HEAL_MS };
                    self.all.push(Span { from_ms: since, to_ms: at_ms + heal_ms });
                }
            }
            if let Some(since) = down_since {
                self.all.push(Span { from_ms: since, to_ms: u64::MAX });
            }
        }
    }

    /// By when a member whose device uses a socket must have what was known at `from_ms`.
    pub fn delivered_by(&self, from_ms: u64, process: usize, device: usize) -> u64 {
        let no_spans = Vec::new();
        let sockets = self.sockets.get(&process).unwrap_or(&no_spans);
        let devices = self.devices.get(&device).unwrap_or(&no_spans);
        let spans = || self.all.iter().chain(sockets).chain(devices);
        self.settle(from_ms, |at_ms| self.bound_at(at_ms), spans)
    }

    /// The first moment after which the log and the processes had worked for `bound_ms`.
    pub fn calm_for(&self, from_ms: u64, bound_ms: u64) -> u64 {
        self.settle(from_ms, |_| bound_ms, || self.all.iter())
    }

    /// The first moment after which nothing was wrong for `bound_ms` with the log, processes, the bus, the
    /// sockets of a process and what a device reads.
    pub fn quiet_for(&self, from_ms: u64, bound_ms: u64, process: usize, device: usize) -> u64 {
        let no_spans = Vec::new();
        let sockets = self.sockets.get(&process).unwrap_or(&no_spans);
        let devices = self.devices.get(&device).unwrap_or(&no_spans);
        let weather = Span { from_ms: 0, to_ms: if self.weather_loses { self.calm_ms } else { 0 } };
        let spans: Vec<Span> = self
            .all
            .iter()
            .chain(&self.bus)
            .chain(sockets)
            .chain(devices)
            .chain([&weather])
            .copied()
            .collect();
        self.settle(from_ms, |_| bound_ms + self.weather_at(from_ms), || spans.iter())
    }

    /// By when something was done on a process at the latest, so that a device that reads sees it, bound as
    /// given.
    pub fn reached_by(&self, from_ms: u64, bound_ms: u64, process: usize, device: usize) -> u64 {
        let sockets = self.sockets.get(&process).into_iter().chain(self.devices.get(&device)).flatten();
        let spans: Vec<Span> = self.all.iter().chain(sockets).copied().collect();
        self.settle(from_ms, |_| bound_ms, || spans.iter())
    }

    /// Whether the log or a process did not work between the two moments, other than at the very start.
    pub fn is_bad_after_start_between(&self, from_ms: u64, to_ms: u64) -> bool {
        self.all.iter().any(|span| span.from_ms > 0 && span.meets(from_ms, to_ms))
    }

    /// Whether the log or a process did not work at any moment before, other than at the very start.
    pub fn is_bad_after_start(&self, to_ms: u64) -> bool {
        self.all.iter().any(|span| span.from_ms > 0 && span.from_ms <= to_ms)
    }

    /// Whether nothing was wrong in the whole run: no faults, and calm weather.
    pub fn is_quiet(&self) -> bool {
        let spans =
            self.all.iter().chain(&self.bus).chain(&self.held_back).chain(self.sockets.values().flatten());
        // Every process starts once.
        spans.filter(|span| span.from_ms > 0).count() == 0 && !self.weather_loses && self.failing_ms == 0
    }

    fn settle<'s, I: Iterator<Item = &'s Span>>(
        &self,
        from_ms: u64,
        bound: impl Fn(u64) -> u64,
        spans: impl Fn() -> I,
    ) -> u64 {
        let mut at_ms = from_ms;
        loop {
            let until_ms = at_ms.saturating_add(bound(at_ms));
            let blocked = spans().filter(|span| span.meets(at_ms, until_ms)).map(|span| span.to_ms).max();
            match blocked {
                Some(to_ms) if to_ms > at_ms => at_ms = to_ms,
                _ => return until_ms,
            }
        }
    }

    /// Whether the bus may lose or delay something between the two moments.
    pub fn bus_is_bad(&self, from_ms: u64, to_ms: u64) -> bool {
        (self.weather_loses && from_ms < self.calm_ms)
            || self.bus.iter().any(|span| span.meets(from_ms, to_ms))
    }

    fn bound_at(&self, at_ms: u64) -> u64 {
        let weather_ms = self.weather_at(at_ms);
        let with_bus = SOON_MS + weather_ms;
        if !self.bus_is_bad(at_ms, at_ms.saturating_add(with_bus)) {
            return with_bus;
        }
        let without = WITHOUT_BUS_MS + weather_ms;
        let held = self.held_back.iter().any(|span| span.meets(at_ms, at_ms.saturating_add(without)));
        without + if held { HELD_BACK_MS } else { 0 }
    }

    /// Whether a device may not have read, or nothing crossed the sockets of a process, between the two
    /// moments.
    pub fn sockets_are_bad(&self, from_ms: u64, to_ms: u64, process: usize, device: usize) -> bool {
        let spans = self.sockets.get(&process).into_iter().chain(self.devices.get(&device)).flatten();
        spans.into_iter().any(|span| span.meets(from_ms, to_ms))
    }

    /// Whether the log or a process did not work at any moment between the two.
    pub fn is_bad(&self, from_ms: u64, to_ms: u64) -> bool {
        self.all.iter().any(|span| span.meets(from_ms, to_ms))
    }

    /// What the weather adds to a bound.
    pub fn weather_at(&self, at_ms: u64) -> u64 {
        if at_ms < self.calm_ms { self.weather_ms } else { 0 }
    }

    /// When the device or the process ended a connection that was opened at `opened_ms`, without a word in
    /// the history.
    pub fn cut_at(&self, opened_ms: u64, process: usize, device: usize) -> u64 {
        let of_device = self.ended.get(&device).into_iter().flatten();
        let of_process = self.killed.get(&process).into_iter().flatten();
        of_device.chain(of_process).copied().filter(|at_ms| *at_ms >= opened_ms).min().unwrap_or(u64::MAX)
    }

    /// When everything had healed for good: nothing was wrong any more.
    pub fn healed_ms(&self) -> u64 {
        let spans =
            self.all.iter().chain(&self.bus).chain(&self.held_back).chain(self.sockets.values().flatten());
        spans.map(|span| span.to_ms).chain([self.calm_ms]).max().unwrap_or(0)
    }
}
