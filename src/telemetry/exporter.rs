//! Metrics for Prometheus: one recorder for the process, rendered on demand.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;

use super::metrics::{self as catalogue, ALL};

static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();

/// Metrics cannot be recorded in this process.
#[derive(Debug, Error)]
#[error("metrics cannot be recorded: {0}")]
pub struct ExporterError(String);

/// The process's recorder.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl Exporter {
    /// Installs the recorder, once per process: later calls return the first one. Call it before any
    /// [`super::Meters`] are made.
    ///
    /// # Errors
    /// Another recorder is installed. Continue without metrics or stop.
    pub fn install() -> Result<Self, ExporterError> {
        let installed = INSTALLED.get_or_init(|| {
            let handle =
                builder().and_then(PrometheusBuilder::install_recorder).map_err(|error| error.to_string())?;
            catalogue::describe_all();
            Ok(handle)
        });
        match installed {
            Ok(handle) => Ok(Self { handle: handle.clone() }),
            Err(reason) => Err(ExporterError(reason.clone())),
        }
    }

    /// Everything measured so far, in Prometheus' text format. Takes milliseconds: not on a worker thread.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds raw measurements into their histograms. Call it every second: until then each measurement takes
    /// memory.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    ALL.iter().filter(|metric| !metric.buckets.is_empty()).try_fold(
        PrometheusBuilder::new(),
        |builder, metric| {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Meters, ProcessMeters};

    #[test]
    fn what_is_measured_is_rendered_with_labels_and_buckets() {
        let recorder = builder().unwrap().build_recorder();
        let exporter = Exporter { handle: recorder.handle() };
        metrics::with_local_recorder(&recorder, || {
            catalogue::describe_all();
            let meters = Meters::new();
            meters.connections.open.set(3.0);
            meters.connections.closes.of("4408").increment(2);
            meters.connections.closes.of("4999").increment(1);
            meters.sends.ack_latency.record_us(1_500);
            meters.delivery.latency.record_since_us(9, 4);
            meters.store.latency.of("append").record_us(700);
            ProcessMeters::new().sample(1_250);
        });
        exporter.run_upkeep();
        let text = exporter.render();
        for line in [
            "tidings_connections 3",
            "tidings_closes_total{code=\"4408\"} 2",
            "tidings_closes_total{code=\"1000\"} 0",
            "tidings_closes_total{code=\"other\"} 1",
            "tidings_ack_latency_seconds_bucket{le=\"0.001\"} 0",
            "tidings_ack_latency_seconds_bucket{le=\"0.002\"} 1",
            "tidings_delivery_latency_seconds_sum 0",
            "tidings_store_latency_seconds_bucket{operation=\"append\",le=\"0.001\"} 1",
            "process_uptime_seconds 1.25",
            "tidings_build_info{version=\"0.1.0\",commit=\"development\"} 1",
            "# TYPE tidings_ack_latency_seconds histogram",
            "# HELP tidings_connections WebSocket connections that are open.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis missing in\n{text}");
        }
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
            let value =
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
            assert!(value.is_some_and(|value| value > 0.0), "{name} in\n{text}");
        }
    }

    #[test]
    fn every_group_of_meters_covers_the_catalogue() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let (_meters, process) = (Meters::new(), ProcessMeters::new());
            process.sample(0);
        });
        let text = handle.render();
        for metric in ALL.iter().filter(|metric| metric.kind != crate::telemetry::definition::Kind::Histogram)
        {
            assert!(text.contains(metric.name), "no meter registers {}", metric.name);
        }
    }
}
