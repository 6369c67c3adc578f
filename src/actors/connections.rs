//! How many connections a node has, HTTP and WebSocket together, and how many it may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the node's open connections against their limit.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
}

/// One of them; counted until dropped.
#[derive(Debug)]
pub struct Counted(Arc<Connections>);

impl Default for Connections {
    fn default() -> Self {
        Self { open: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX) }
    }
}

impl Connections {
    /// From now on there may be `most`.
    pub fn allow(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// One more.
    pub fn count(self: &Arc<Self>) -> Counted {
        self.open.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// There are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.open() >= self.most.load(Ordering::Relaxed)
    }

    /// Fewer than one in a hundred are left.
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
