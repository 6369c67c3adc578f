//! What an operator sees: logs, metrics, and the page that explains the metrics. It knows configuration, and
//! the catalogue of errors for its labels.
//!
//! - [`metrics`] is the catalogue: every metric's name, unit, labels and meaning, once. `docs/METRICS.md` is
//!   generated from it.
//! - [`meters`] are the handles that code increments: made once per worker or actor, free of look-ups
//!   afterwards.
//! - [`build`] says which build this is.
//! - [`inspect`] asks the parts of a process for their state.
//! - [`exporter`] renders them for Prometheus; [`logging`] starts the log.

pub mod build;
mod definition;
pub mod exporter;
pub mod inspect;
pub mod logging;
pub mod meters;
pub mod metrics;
#[cfg(test)]
mod page;
mod process;

pub use definition::{By, Latency};
pub use exporter::Exporter;
pub use meters::Meters;
pub use process::ProcessMeters;
