//! The types that the catalogue is written in, and the handles they give.
//!
//! A label's values are listed with the metric. That bounds the number of series by construction: no id of a
//! user or a conversation can become one.

use metrics::{Counter, Gauge, Histogram, Unit};

/// The description of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// Its label and all values that the label takes.
    pub label: Option<(&'static str, &'static [&'static str])>,
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
    /// Its meaning.
    pub help: &'static str,
}

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How values are spread.
    Histogram,
}

/// A label value that the catalogue does not list is counted under this one.
pub const OTHER: &str = "other";

/// A counter in the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct CounterDef(pub Metric);
/// A counter with a label.
#[derive(Debug, Clone, Copy)]
pub struct CounterBy(pub Metric);
/// A gauge.
#[derive(Debug, Clone, Copy)]
pub struct GaugeDef(pub Metric);
/// A gauge with a label.
#[derive(Debug, Clone, Copy)]
pub struct GaugeBy(pub Metric);
/// A gauge that is 1 and whose labels tell something about the process.
#[derive(Debug, Clone, Copy)]
pub struct InfoDef(pub Metric);
/// A histogram of counts or sizes.
#[derive(Debug, Clone, Copy)]
pub struct HistogramDef(pub Metric);
/// A histogram of durations.
#[derive(Debug, Clone, Copy)]
pub struct LatencyDef(pub Metric);
/// A histogram of durations with a label.
#[derive(Debug, Clone, Copy)]
pub struct LatencyBy(pub Metric);

impl CounterDef {
    /// The handle; make it once and keep it.
    pub fn handle(self) -> Counter {
        metrics::counter!(self.0.name)
    }
}

impl CounterBy {
    /// One handle for each value of the label; all series exist from now on, at zero.
    pub fn handle(self) -> By<Counter> {
        By::new(self.0, |name, label, value| metrics::counter!(name, label => value))
    }
}

impl GaugeDef {
    /// The handle; make it once and keep it.
    pub fn handle(self) -> Gauge {
        metrics::gauge!(self.0.name)
    }
}

impl GaugeBy {
    /// One handle for each value of the label; all series exist from now on, at zero.
    pub fn handle(self) -> By<Gauge> {
        By::new(self.0, |name, label, value| metrics::gauge!(name, label => value))
    }
}

impl InfoDef {
    /// The handle with these labels. Their values must be the same for the life of the process.
    pub fn handle(self, labels: &[(&'static str, &'static str)]) -> Gauge {
        let labels: Vec<_> = labels.iter().map(|(name, value)| metrics::Label::new(*name, *value)).collect();
        metrics::gauge!(self.0.name, labels)
    }
}

impl HistogramDef {
    /// The handle; make it once and keep it.
    pub fn handle(self) -> Histogram {
        metrics::histogram!(self.0.name)
    }
}

impl LatencyDef {
    /// The handle; make it once and keep it.
    pub fn handle(self) -> Latency {
        Latency(metrics::histogram!(self.0.name))
    }
}

impl LatencyBy {
    /// One handle for each value of the label.
    pub fn handle(self) -> By<Latency> {
        By::new(self.0, |name, label, value| Latency(metrics::histogram!(name, label => value)))
    }
}

/// A histogram of durations, exported in seconds and fed in microseconds, as
/// [`crate::environment::Environment`] counts them.
#[derive(Debug, Clone)]
pub struct Latency(Histogram);

impl Latency {
    /// Records one duration.
    pub fn record_us(&self, us: u64) {
        self.0.record(us as f64 / 1e6);
    }

    /// Records the time from `began_us` to `now_us`; a clock that went back counts as zero.
    pub fn record_since_us(&self, began_us: u64, now_us: u64) {
        self.record_us(now_us.saturating_sub(began_us));
    }
}

/// Handles of one metric by the value of its label.
#[derive(Debug, Clone)]
pub struct By<H> {
    handles: Box<[(&'static str, H)]>,
    other: H,
}

impl<H> By<H> {
    fn new(metric: Metric, make: impl Fn(&'static str, &'static str, &'static str) -> H) -> Self {
        let (label, values) = metric.label.unwrap_or((OTHER, &[]));
        let handles = values.iter().map(|value| (*value, make(metric.name, label, value))).collect();
        Self { handles, other: make(metric.name, label, OTHER) }
    }

    /// The handle of `value`, which must be in the catalogue; otherwise that of `other`.
    ///
    /// It scans a few short words, which is good enough for refusals and closes. Code that runs per message
    /// should keep the handle itself.
    pub fn of(&self, value: &str) -> &H {
        self.handles.iter().find(|(known, _)| *known == value).map_or(&self.other, |(_, handle)| handle)
    }
}
