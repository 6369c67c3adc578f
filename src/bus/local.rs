//! The bus of nodes that share a process: embedded servers (one node) and tests (several).

use std::collections::HashSet;
use std::sync::{Arc, RwLock, Weak};

use super::{Bus, BusMessage, Listener};
use crate::domain::Topic;
use crate::panics::poisoned;

/// An exchange within one process, to which nodes attach.
#[derive(Default)]
pub struct LocalExchange {
    stations: RwLock<Vec<Weak<Station>>>,
}

struct Station {
    listener: Arc<dyn Listener>,
    topics: RwLock<HashSet<Topic>>,
}

/// One node's connection to a [`LocalExchange`]. Dropping it detaches the node.
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
    fn publish(&self, messages: Vec<BusMessage>) {
        let stations = self.exchange.stations.read().unwrap_or_else(poisoned);
        for other in stations.iter().filter_map(Weak::upgrade) {
            if Arc::ptr_eq(&other, &self.station) {
                continue;
            }
            let topics = other.topics.read().unwrap_or_else(poisoned);
            let wanted: Vec<BusMessage> = messages
                .iter()
                .filter(|message| message.topics.iter().any(|topic| topics.contains(topic)))
                .cloned()
                .collect();
            drop(topics);
            if !wanted.is_empty() {
                other.listener.on_messages(wanted);
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
