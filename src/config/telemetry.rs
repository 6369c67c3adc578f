//! `[telemetry]`: logs and metrics.

use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

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
    /// The filter of the log, in the language of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Whether `GET /metrics` answers on the internal address.
    pub metrics: bool,
}

impl TelemetrySettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        let text = refusal(&self.log_filter);
        problems.when(text.is_some(), "log_filter", text.unwrap_or_default());
    }
}

/// Why a filter is none. A bare word that is no level would be taken for the name of a crate, and everything
/// else would be silent.
fn refusal(filter: &str) -> Option<String> {
    let bare =
        |directive: &&str| !directive.contains(['=', '[']) && directive.parse::<LevelFilter>().is_err();
    if let Some(word) = filter.split(',').map(str::trim).find(bare) {
        return Some(format!("{word:?} is no level: write {LEVELS}, or target=level as in {EXAMPLE}"));
    }
    let error = tracing_subscriber::EnvFilter::try_new(filter).err()?;
    Some(format!("{filter:?} is no filter ({error}): write {LEVELS}, or target=level as in {EXAMPLE}"))
}

const LEVELS: &str = "off, error, warn, info, debug or trace";
const EXAMPLE: &str = "\"info,tidings::gateway=debug\"";
