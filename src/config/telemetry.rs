//! `[telemetry]`: logs and metrics.

use serde::Deserialize;

use super::choice::choice;
use super::problems::SectionProblems;

choice! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Pretty = "pretty",
        /// One object per line.
        Json = "json",
    }
}

/// `[telemetry]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, in the language of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Whether `GET /metrics` answers on the internal address.
    pub metrics: bool,
}

impl TelemetrySettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        let parsed = tracing_subscriber::EnvFilter::try_new(&self.log_filter);
        let text = parsed.err().map(|error| {
            format!(
                "{:?} is no filter ({error}): write e.g. \"info,tidings::gateway=debug\"",
                self.log_filter
            )
        });
        problems.when(text.is_some(), "log_filter", text.unwrap_or_default());
    }
}
