//! The log: one line per fact, to standard error, never a secret or a message's content.

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, Telemetry};

/// The log cannot be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// `telemetry.log_filter` does not parse; [`crate::config::Settings::load`] refuses such a one before.
    #[error("telemetry.log_filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A log was started before in this process.
    #[error("the log has been started already: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts the log as configured. Once per process; tests that share one may ignore [`LoggingError::Started`].
///
/// # Errors
/// See [`LoggingError`].
pub fn init(settings: &Telemetry) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(&settings.log_filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log_format {
        LogFormat::Pretty => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init()?,
        LogFormat::Json => {
            let json = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
            registry.with(json.with_writer(std::io::stderr)).try_init()?;
        }
    }
    Ok(())
}
