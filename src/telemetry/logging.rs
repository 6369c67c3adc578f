//! The log: one line per fact, to standard error, never a secret or the content of a message.
//!
//! No task that serves clients waits for the log. Lines go through a bounded queue to one thread that writes
//! them. When the pipe behind standard error is not read, the queue fills, and further lines are dropped and
//! counted. So that clients cannot fill a disk, each place in the code logs at most [`LINES_PER_SECOND`] at
//! `info` or above; further lines are counted too. `info` or above; what is more is counted too.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use thiserror::Error;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetrySettings};

/// Lines that may wait to be written; a line is some hundred bytes, one with a backtrace some thousand.
const QUEUED_LINES: usize = 8_192;
/// Lines at `info` or above from one place in the code.
const LINES_PER_SECOND: u32 = 10;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_millis(1_200);

/// The crate of the HTTP server.
const HTTP_SERVER: &str = "actix_server";

/// The log of this process, started once.
static STARTED: OnceLock<Started> = OnceLock::new();
/// Lines dropped because their place in the code logged too many.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

struct Started {
    guard: Mutex<Option<WorkerGuard>>,
    dropped: ErrorCounter,
}

/// The log cannot be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// `telemetry.log_filter` does not parse; [`crate::config::Settings::load`] refuses such a filter before.
    #[error("telemetry.log_filter: {0}")]
    Filter(#[from] ParseError),
    /// A log was started before in this process.
    #[error("the log has been started already: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Lines that were dropped since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// The queue was full.
    pub queue_full: u64,
    /// One place in the code had too many.
    pub too_many: u64,
}

/// Starts the log as configured; `colours`: for a terminal; `now_ms` is a clock that never goes back. Once
/// per process; tests that share one may ignore [`LoggingError::Started`].
///
/// # Errors
/// See [`LoggingError`].
pub fn init(
    settings: &TelemetrySettings,
    colours: bool,
    now_ms: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<(), LoggingError> {
    let filter = filter(&settings.log_filter)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("log")
        .finish(Unfailing(io::stderr()));
    let dropped = writer.error_counter();
    let registry = tracing_subscriber::registry().with(filter);
    let sparing = Sparing { now_ms, places: Mutex::default() };
    match settings.log_format {
        LogFormat::Pretty => {
            let pretty = fmt::layer().with_ansi(colours).with_writer(writer);
            registry.with(pretty.with_filter(sparing)).try_init()?;
        }
        LogFormat::Json => {
            let json = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
            registry.with(json.with_writer(writer).with_filter(sparing)).try_init()?;
        }
    }
    // Set once, since `try_init` succeeds once.
    let _ = STARTED.set(Started { guard: Mutex::new(Some(guard)), dropped });
    Ok(())
}

/// The filter that the setting asks for. The HTTP server logs each start and end of its threads at `info`,
/// which says nothing about Tidings; a filter with `debug`, or one that names the crate, shows it.
fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(directives)?;
    let quiet = filter.max_level_hint().is_some_and(|most| most <= LevelFilter::INFO);
    if quiet && !directives.contains(HTTP_SERVER) {
        return Ok(filter.add_directive(format!("{HTTP_SERVER}=warn").parse()?));
    }
    Ok(filter)
}

/// Lines that were dropped since the start.
pub fn lost() -> Lost {
    let queue_full = STARTED.get().map_or(0, |started| started.dropped.dropped_lines() as u64);
    Lost { queue_full, too_many: LEFT_OUT.load(Ordering::Relaxed) }
}

/// Writes waiting lines, with a timeout, because the pipe may never be read again. Call at the end of the
/// process.
pub fn finish() {
    let guard =
        STARTED.get().and_then(|started| started.guard.lock().unwrap_or_else(PoisonError::into_inner).take());
    let Some(guard) = guard else { return };
    let (written, wait) = mpsc::channel();
    // Dropping the guard may wait for the pipe, so that happens on another thread.
    std::thread::spawn(move || {
        drop(guard);
        // The end was not awaited any more.
        let _ = written.send(());
    });
    // The log is not read: the process ends without its last lines.
    let _ = wait.recv_timeout(LAST_LINES);
}

/// A closed standard error accepts everything, so that the thread behind the queue continues.
struct Unfailing(io::Stderr);

impl Write for Unfailing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // There is no other place to report that the log cannot be written.
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bounds the lines of each place in the code.
struct Sparing<F> {
    now_ms: F,
    /// Bounded by the number of places in the code.
    places: Mutex<HashMap<Identifier, Second>>,
}

/// A second, and how many lines one place logged in it.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    number: u64,
    lines: u32,
}

impl Second {
    /// Whether one more line may be written at `now_ms`; counts it.
    fn admits(&mut self, now_ms: u64) -> bool {
        if self.number != now_ms / 1_000 {
            *self = Self { number: now_ms / 1_000, lines: 0 };
        }
        self.lines += 1;
        self.lines <= LINES_PER_SECOND
    }
}

impl<S, F: Fn() -> u64> Filter<S> for Sparing<F> {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        // A filter with `debug` asks for every line.
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let now_ms = (self.now_ms)();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = places.entry(event.metadata().callsite()).or_default().admits(now_ms);
        if !admitted {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_server_is_quiet_unless_it_is_asked() {
        for (directives, quiet) in
            [("info", true), ("warn", true), ("debug", false), ("info,actix_server=info", false)]
        {
            let text = filter(directives).expect("a filter").to_string();
            assert_eq!(text.contains("actix_server=warn"), quiet, "{directives}: {text}");
        }
    }

    #[test]
    fn a_place_logs_so_many_lines_a_second() {
        let mut second = Second::default();
        let in_one = (0..100).filter(|_| second.admits(1_000)).count();
        assert_eq!(in_one, LINES_PER_SECOND as usize);
        assert!(!second.admits(1_999) && second.admits(2_000));
    }
}
