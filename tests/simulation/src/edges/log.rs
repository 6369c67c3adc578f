//! Delays and failures between the processes and the log: the weather, and the faults of the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings::store::model::{Delays, Fate, Fates, RoundTrip, Trip, TripOutcome};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::history::Trace;
use crate::plan::Weather;

/// The way of all processes to the log.
pub struct LogWeather {
    state: Mutex<State>,
    trace: Arc<Trace>,
}

struct State {
    dice: Dice,
    weather: Weather,
    hangs_until: Option<Instant>,
    away_until: Option<Instant>,
    /// Until when statements take up to so many milliseconds.
    slow: Option<(Instant, u64)>,
    /// How many more commits of a process lose their answer.
    lose: BTreeMap<usize, u64>,
    /// Processes that die at their next commit.
    doomed: BTreeSet<usize>,
}

impl LogWeather {
    /// The way to the log in this weather.
    pub fn new(weather: Weather, dice: Dice, trace: Arc<Trace>) -> Arc<Self> {
        let state = State {
            dice,
            weather,
            hangs_until: None,
            away_until: None,
            slow: None,
            lose: BTreeMap::new(),
            doomed: BTreeSet::new(),
        };
        Arc::new(Self { state: Mutex::new(state), trace })
    }

    /// The way of one process. `alive` becomes false when it dies at a commit.
    pub fn of_process(self: &Arc<Self>, process: usize, alive: Arc<AtomicBool>) -> Arc<dyn Fates> {
        Arc::new(OfProcess { process, alive, way: Arc::clone(self) })
    }

    /// Calls hang for a while.
    pub fn hang(&self, until: Instant) {
        self.state().hangs_until = Some(until);
    }

    /// Calls are refused for a while.
    pub fn go_away(&self, until: Instant) {
        self.state().away_until = Some(until);
    }

    /// Statements take up to so long for a while.
    pub fn slow_down(&self, until: Instant, delay_ms: u64) {
        self.state().slow = Some((until, delay_ms));
    }

    /// The answers to the next commits of a process are lost.
    pub fn lose_answers(&self, process: usize, commits: u64) {
        self.state().lose.insert(process, commits);
    }

    /// A process dies at its next commit, after it is done.
    pub fn doom(&self, process: usize) {
        self.state().doomed.insert(process);
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self, weather: Weather) {
        let mut state = self.state();
        state.weather = weather;
        (state.hangs_until, state.away_until, state.slow) = (None, None, None);
        state.lose.clear();
        state.doomed.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn delays(&mut self, now: Instant, trip: Trip) -> Delays {
        let slow_ms = self.slow.filter(|(until, _)| now < *until).map_or(0, |(_, delay_ms)| delay_ms);
        let most_ms = self.weather.log_delay_ms.max(slow_ms);
        let mut part = |most_ms: u64| Duration::from_micros(self.dice.below(most_ms * 1_000 + 1));
        let queue = if trip.commits() { part(most_ms / 3) } else { Duration::ZERO };
        Delays { request: part(most_ms / 3), queue, work: part(most_ms / 3), answer: part(most_ms / 3) }
    }

    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
    fn decide(&mut self, process: usize, alive: &AtomicBool, trip: Trip) -> Fate {
        let now = Instant::now();
        if !alive.load(Ordering::Relaxed) || self.hangs_until.is_some_and(|until| now < until) {
            return Fate::Hang;
        }
        let delays = self.delays(now, trip);
        if self.away_until.is_some_and(|until| now < until) {
            return Fate::Break(delays);
        }
        if trip.commits() {
            if self.doomed.remove(&process) {
                alive.store(false, Ordering::Relaxed);
                return Fate::HangDone(Delays::default());
            }
            if let Some(left) = self.lose.get_mut(&process).filter(|left| **left > 0) {
                *left -= 1;
                return if self.dice.chance(500) { Fate::Lose(delays) } else { Fate::HangDone(delays) };
            }
            if self.dice.chance(self.weather.log_lost_answers) {
                return Fate::Lose(delays);
            }
        }
        if self.dice.chance(self.weather.log_failures) {
            return match self.dice.below(10) {
                0..6 => Fate::Break(delays),
                6..9 => Fate::Conflict(delays),
                _ => Fate::Hang,
            };
        }
        Fate::Answer(delays)
    }
}

/// The way of one process.
struct OfProcess {
    process: usize,
    alive: Arc<AtomicBool>,
    way: Arc<LogWeather>,
}

impl fmt::Debug for OfProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfProcess").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Fates for OfProcess {
    fn fate(&self, moment: &RoundTrip) -> Fate {
        let fate = self.way.state().decide(self.process, &self.alive, moment.trip);
        self.way.trace.mix((self.process, moment.trip, fate));
        fate
    }

    fn happened(&self, moment: &RoundTrip, outcome: TripOutcome) {
        self.way.trace.mix((self.process, moment.trip, outcome));
    }
}
