//! The bus of nodes that share a process: embedded servers (one node) and tests (several).

use std::collections::HashSet;
use std::sync::{Arc, RwLock, Weak};

use super::{Bus, Listener, Parcel};
use crate::domain::Topic;
use crate::panics::poisoned;

/// A process-wide exchange that nodes attach to.
#[derive(Default)]
pub struct LocalExchange {
    stations: RwLock<Vec<Weak<Station>>>,
}

struct Station {
    listener: Arc<dyn Listener>,
    topics: RwLock<HashSet<Topic>>,
}

/// One node's place at a [`LocalExchange`]; leaving is dropping it.
pub struct LocalBus {
    exchange: Arc<LocalExchange>,
    station: Arc<Station>,
}

impl LocalExchange {
    /// Attaches a node.
    pub fn attach(self: &Arc<Self>, listener: Arc<dyn Listener>) -> LocalBus {
        let station = Arc::new(Station { listener, topics: RwLock::default() });
        let mut stations = self.stations.write().unwrap_or_else(poisoned);
        stations.retain(|other| other.strong_count() > 0);
        stations.push(Arc::downgrade(&station));
        drop(stations);
        LocalBus { exchange: Arc::clone(self), station }
    }
}

impl Bus for LocalBus {
    fn publish(&self, parcels: Vec<Parcel>) {
        let stations = self.exchange.stations.read().unwrap_or_else(poisoned);
        for other in stations.iter().filter_map(Weak::upgrade) {
            if Arc::ptr_eq(&other, &self.station) {
                continue;
            }
            let topics = other.topics.read().unwrap_or_else(poisoned);
            let wanted: Vec<Parcel> = parcels
                .iter()
                .filter(|parcel| parcel.topics.iter().any(|topic| topics.contains(topic)))
                .cloned()
                .collect();
            drop(topics);
            if !wanted.is_empty() {
                other.listener.on_parcels(wanted);
            }
        }
    }

    fn subscribe(&self, topic: Topic) {
        self.station.topics.write().unwrap_or_else(poisoned).insert(topic);
    }

    fn unsubscribe(&self, topic: Topic) {
        self.station.topics.write().unwrap_or_else(poisoned).remove(&topic);
    }
}
