//! The status of all connections: the bus is up while all of them are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::bus::health::BusHealth;
use crate::environment::SharedEnvironment;
use crate::panics::lock;
use crate::telemetry::meters::BusMeters;

/// Identifies one connection in the [`Status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartId(u64);

struct Part {
    name: String,
    /// Why it does not work; `None`: it works.
    error: Option<String>,
}

#[derive(Default)]
struct Parts {
    next: u64,
    known: BTreeMap<PartId, Part>,
}

/// The status of the connections to Redis.
pub struct Status {
    parts: Mutex<Parts>,
    health: watch::Sender<BusHealth>,
    environment: SharedEnvironment,
    meters: BusMeters,
}

impl Status {
    /// Nothing is connected yet.
    pub fn new(environment: SharedEnvironment, meters: BusMeters) -> Arc<Self> {
        let reason = "connecting".to_owned();
        let health =
            watch::Sender::new(BusHealth { up: false, since_ms: environment.monotonic_ms(), reason });
        meters.up.set(0.0);
        Arc::new(Self { parts: Mutex::default(), health, environment, meters })
    }

    /// Adds a connection that will be made. The bus is down until it works.
    pub fn add(&self, name: String) -> PartId {
        let mut parts = self.lock();
        let id = PartId(parts.next);
        parts.next += 1;
        parts.known.insert(id, Part { name, error: Some("connecting".to_owned()) });
        self.publish(&parts);
        id
    }

    /// Removes a connection.
    pub fn remove(&self, id: PartId) {
        let mut parts = self.lock();
        parts.known.remove(&id);
        self.publish(&parts);
    }

    /// A connection works.
    pub fn up(&self, id: PartId) {
        self.change(id, None);
    }

    /// A connection does not work, for this reason.
    pub fn down(&self, id: PartId, reason: &str) {
        self.change(id, Some(reason.to_owned()));
    }

    /// The health of the bus.
    pub fn health(&self) -> watch::Receiver<BusHealth> {
        self.health.subscribe()
    }

    fn change(&self, id: PartId, error: Option<String>) {
        let mut parts = self.lock();
        let Some(part) = parts.known.get_mut(&id) else { return };
        if part.error != error {
            part.error = error;
            self.publish(&parts);
        }
    }

    fn publish(&self, parts: &Parts) {
        let errors = parts
            .known
            .values()
            .filter_map(|part| part.error.as_ref().map(|error| format!("{}: {error}", part.name)));
        let mut reason = errors.collect::<Vec<_>>().join("; ");
        if parts.known.is_empty() {
            reason.push_str("connecting");
        }
        let up = reason.is_empty();
        self.health.send_if_modified(|health| {
            let turned = health.up != up;
            if turned {
                health.since_ms = self.environment.monotonic_ms();
                self.meters.up.set(if up { 1.0 } else { 0.0 });
                if up {
                    tracing::info!("the bus is up");
                } else {
                    tracing::warn!(%reason, "the bus is down; events of other nodes are read from the log");
                }
            }
            let changed = turned || health.reason != reason;
            health.up = up;
            health.reason = reason;
            changed
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        lock(&self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::ManualEnvironment;

    #[test]
    fn the_bus_is_up_while_every_connection_is() {
        let environment = Arc::new(ManualEnvironment::new(5, 1));
        let status = Status::new(environment.clone(), BusMeters::new());
        let health = status.health();
        assert_eq!(*health.borrow(), BusHealth { up: false, since_ms: 5, reason: "connecting".to_owned() });
        let (one, other) = (status.add("one".to_owned()), status.add("other".to_owned()));
        status.up(one);
        assert!(!health.borrow().up);
        environment.advance_ms(1);
        status.up(other);
        assert_eq!(*health.borrow(), BusHealth { up: true, since_ms: 6, reason: String::new() });
        environment.advance_ms(1);
        status.down(one, "silent");
        environment.advance_ms(1);
        status.down(one, "refused");
        let expected = BusHealth { up: false, since_ms: 7, reason: "one: refused".to_owned() };
        assert_eq!(*health.borrow(), expected, "since it went down, with the latest reason");
        status.remove(one);
        assert!(health.borrow().up);
    }
}
