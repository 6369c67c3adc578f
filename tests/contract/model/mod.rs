//! Promises of the model of a shared database only: what each fate does, and that it is the same every time.

mod faults;
mod servers;

use std::sync::{Arc, Mutex};

use tidings::store::model::{Delays, Fate, Fates, Moment, Outcome, Trip};

use crate::harness::{ModelHarness, World};

/// Answers at once, except the next request of one kind.
#[derive(Debug, Default)]
pub struct Script {
    next: Mutex<Option<(fn(Trip) -> bool, Fate)>>,
    pub seen: Mutex<Vec<(Moment, Outcome)>>,
}

impl Script {
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// The next request of this kind has this fate.
    pub fn once(&self, kind: fn(Trip) -> bool, fate: Fate) {
        *self.next.lock().unwrap() = Some((kind, fate));
    }
}

impl Fates for Script {
    fn fate(&self, moment: &Moment) -> Fate {
        let mut next = self.next.lock().unwrap();
        match *next {
            Some((kind, fate)) if kind(moment.trip) => {
                *next = None;
                fate
            }
            _ => Fate::Answer(Delays::default()),
        }
    }

    fn happened(&self, moment: &Moment, outcome: Outcome) {
        self.seen.lock().unwrap().push((*moment, outcome));
    }
}

/// A world on a server, whose test keeps a hand on it.
async fn world() -> (World, ModelHarness) {
    use crate::harness::Harness;
    let harness = ModelHarness::on(ModelHarness::paused());
    (World::around(harness.store().await), harness)
}
