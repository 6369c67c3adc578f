//! The outcome of a run, as its process reports it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The end of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened.
    pub hash: u64,
    /// The promises that were broken; none when the run is clean or unknown.
    pub violations: Vec<Broken>,
    /// Too little happened to say that the run is clean.
    pub unknown: bool,
    /// Faults by kind, and how often each came.
    pub faults: BTreeMap<String, u64>,
    /// Rare paths by name, and how often each was taken.
    pub rare: BTreeMap<String, u64>,
    /// Counts of what happened: acked sends, received events and so on.
    pub traffic: BTreeMap<String, u64>,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// The story of the first violation, when it was asked for.
    pub story: Option<String>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Which, such as `P4`.
    pub promise: String,
    /// Who, where, when, and what was promised.
    pub text: String,
}

impl Outcome {
    /// The name of its verdict.
    pub fn verdict(&self) -> &'static str {
        if !self.violations.is_empty() {
            "violation"
        } else if self.unknown {
            "unknown"
        } else {
            "clean"
        }
    }
}

/// Adds the counts of one run to those of others.
pub fn add(to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, count) in from {
        *to.entry(name.clone()).or_default() += count;
    }
}
