//! Nodes that crashed: since when, and until when their entries are needed.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use crate::panics::lock;

/// Crashed nodes that are remembered. Above it the entries of further ones wait until some are forgotten.
const MOST: usize = 10_000;

/// When each node was found crashed, in monotonic milliseconds.
#[derive(Default)]
pub struct Dead {
    nodes: Mutex<HashMap<String, u64>>,
}

impl Dead {
    /// Of the `named` nodes these are `living`. Returns those that have been dead for `long_ms`. A node that
    /// was only frozen has come back by then, or comes back so rarely that writing its entries again is good
    /// enough.
    pub fn long_dead<'a>(
        &self,
        named: &HashSet<&'a str>,
        living: &HashSet<&'a str>,
        now_ms: u64,
        long_ms: u64,
    ) -> HashSet<&'a str> {
        let mut nodes = lock(&self.nodes);
        // The entries of a node that is no longer named are gone.
        nodes.retain(|node, since_ms| !living.contains(node.as_str()) && now_ms < *since_ms + 10 * long_ms);
        let dead = named.iter().copied().filter(|node| !living.contains(node));
        dead.filter(|node| match nodes.get(*node) {
            Some(since_ms) => now_ms >= *since_ms + long_ms,
            None => {
                if nodes.len() < MOST {
                    nodes.insert((*node).to_owned(), now_ms);
                }
                false
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_stays_dead_is_given_up() {
        let dead = Dead::default();
        let named = HashSet::from(["a", "b"]);
        let (both, one, none) = (named.clone(), HashSet::from(["a"]), HashSet::new());
        assert!(dead.long_dead(&named, &one, 0, 100).is_empty(), "b has just died");
        assert!(dead.long_dead(&named, &both, 50, 100).is_empty(), "b was only frozen");
        assert!(dead.long_dead(&named, &none, 60, 100).is_empty());
        assert!(dead.long_dead(&named, &one, 150, 100).is_empty(), "dead since 60");
        assert_eq!(dead.long_dead(&named, &one, 160, 100), HashSet::from(["b"]));
    }
}
