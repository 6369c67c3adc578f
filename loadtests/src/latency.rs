//! Latencies of a run, from the intended time of each line.

use std::collections::HashMap;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    ids::ConversationId,
    ledger::history::{History, Mark, Outcome},
};

/// One named distribution, recorded in microseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    /// What was measured.
    pub name: &'static str,
    /// The values.
    pub histogram: Histogram<u64>,
}

/// The figures of a distribution, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// What was measured.
    pub name: &'static str,
    /// How many values.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The worst.
    pub max_ms: f64,
}

impl Latency {
    /// An empty distribution that keeps three digits.
    pub fn new(name: &'static str) -> Result<Self> {
        Ok(Self { name, histogram: Histogram::new(3)? })
    }

    /// Adds one value, in microseconds.
    pub fn record(&mut self, us: u64) {
        // An auto-sized histogram grows in `record` and would cut to its present size in `saturating_record`.
        if self.histogram.record(us.max(1)).is_err() {
            self.histogram.saturating_record(us);
        }
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let at = |quantile| ms(self.histogram.value_at_quantile(quantile));
        Summary {
            name: self.name,
            count: self.histogram.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(self.histogram.max()),
        }
    }
}

/// Ack and live-delivery latency of a run: from when a line was meant to be said. Events that came by `sync`
/// are left out, since their reader was away or lagging; what came while a reader chose not to read, and own
/// messages too.
pub fn of_run(history: &History) -> Result<[Latency; 2]> {
    let mut ack_latency = Latency::new("ack")?;
    let mut delivery = Latency::new("delivery")?;
    let mut intended: HashMap<&ConversationId, HashMap<u64, (&str, u64)>> = HashMap::new();
    for said in &history.said {
        if let Outcome::Acked(ack) = &said.outcome {
            ack_latency.record(ack.at_us.saturating_sub(said.intended_us));
            let from = (said.sender.as_str(), said.intended_us);
            intended.entry(&ack.conversation).or_default().insert(ack.seq, from);
        }
    }
    for reader in &history.readers {
        for (conversation, marks) in &reader.streams {
            let Some(intended) = intended.get(conversation) else { continue };
            for mark in marks {
                if let Mark::Live { seq, at_us, .. } = mark
                    && let Some((sender, intended_us)) = intended.get(seq)
                    && *sender != reader.user.as_str()
                    && !reader.stalls.iter().any(|(from, until)| from <= at_us && intended_us <= until)
                {
                    delivery.record(at_us.saturating_sub(*intended_us));
                }
            }
        }
    }
    Ok([ack_latency, delivery])
}

/// Microseconds as milliseconds.
pub fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
