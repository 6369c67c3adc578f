//! How many connections a node has (HTTP and WebSocket together), and how many it may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

/// Counts the node's open connections against their limit.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
}

/// Their state, for inspection.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionsObserved {
    /// How many there are, HTTP and WebSocket together.
    pub open: usize,
    /// How many there may be.
    pub most: usize,
}

/// One open connection. It is counted until this value is dropped.
#[derive(Debug)]
pub struct Counted(Arc<Connections>);

impl Default for Connections {
    fn default() -> Self {
        Self { open: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX) }
    }
}

impl Connections {
    /// From now on at most `most` connections may be open.
    pub fn allow(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Counts one more connection until the returned value is dropped.
    pub fn count(self: &Arc<Self>) -> Counted {
        self.open.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// How many there are and may be.
    pub fn observed(&self) -> ConnectionsObserved {
        ConnectionsObserved { open: self.open(), most: self.most.load(Ordering::Relaxed) }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether as many connections are open as may be.
    pub fn is_full(&self) -> bool {
        self.open() >= self.most.load(Ordering::Relaxed)
    }

    /// Whether fewer than one in a hundred are left.
    pub fn is_nearly_full(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        self.open() >= most - (most / 100).max(1).min(most)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_is_kept_for_those_on_their_way() {
        let connections = Arc::new(Connections::default());
        let first = connections.count();
        assert!(!connections.is_nearly_full(), "no limit yet");
        connections.allow(3);
        assert!(!connections.is_nearly_full());
        let second = connections.count();
        assert!(connections.is_nearly_full() && !connections.is_full());
        let third = connections.count();
        assert!(connections.is_full());
        drop((first, second, third));
        assert_eq!(connections.open(), 0);
    }
}
