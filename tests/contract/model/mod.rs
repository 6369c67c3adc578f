//! Promises of the model of a shared database only: what each fate does, and that it is the same every time.

mod faults;
mod servers;

use std::sync::{Arc, Mutex};

use tidings::store::model::{Delays, Fate, Fates, RoundTrip, Trip, TripOutcome};

use crate::harness::{ModelHarness, World};

/// Which requests.
type Kind = fn(Trip) -> bool;

/// Answers at once, except the next request of one kind.
#[derive(Debug, Default)]
pub struct Script {
    next: Mutex<Option<(Kind, Fate)>>,
    pub seen: Mutex<Vec<(RoundTrip, TripOutcome)>>,
}

impl Script {
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// The next request of this kind has this fate.
    pub fn once(&self, kind: Kind, fate: Fate) {
        *self.next.lock().unwrap() = Some((kind, fate));
    }
}

impl Fates for Script {
    fn fate(&self, round_trip: &RoundTrip) -> Fate {
        let mut next = self.next.lock().unwrap();
        match *next {
            Some((kind, fate)) if kind(round_trip.trip) => {
                *next = None;
                fate
            }
            _ => Fate::Answer(Delays::default()),
        }
    }

    fn happened(&self, round_trip: &RoundTrip, outcome: TripOutcome) {
        self.seen.lock().unwrap().push((*round_trip, outcome));
    }
}

/// A world on a server, whose test keeps a hand on it.
async fn world() -> (World, ModelHarness) {
    use crate::harness::Harness;
    let harness = ModelHarness::on(ModelHarness::paused());
    (World::around(harness.store().await), harness)
}
