//! Signals of the operating system, and the ends of the process that wait for nobody.

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::telemetry::logging;

/// `timeout` and some shells signal a process and its group, so one wish to stop may arrive twice.
const SAME_WISH: Duration = Duration::from_millis(250);

/// The operating system does not let a signal be watched.
#[derive(Debug, Error)]
#[error("{name} cannot be watched: {error}")]
pub struct SignalError {
    name: &'static str,
    error: io::Error,
}

/// The signals that ask for the end.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Ends {
    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.hang_up.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}

/// Watches for SIGTERM, SIGINT and SIGHUP from now on; the future resolves when one arrives. A second one
/// ends the process at once. SIGHUP ends the process too: no file is read again, and a closed terminal means
/// the end. SIGUSR1 and SIGUSR2, which would end the process at once, are caught and logged.
///
/// # Errors
/// [`SignalError`].
pub fn watch() -> Result<impl Future<Output = ()>, SignalError> {
    let mut ends = Ends {
        terminate: one("SIGTERM", SignalKind::terminate())?,
        interrupt: one("SIGINT", SignalKind::interrupt())?,
        hang_up: one("SIGHUP", SignalKind::hangup())?,
    };
    let mut first_user = one("SIGUSR1", SignalKind::user_defined1())?;
    let mut second_user = one("SIGUSR2", SignalKind::user_defined2())?;
    let (asked, stop) = oneshot::channel();
    tokio::spawn(async move {
        ends.next().await;
        // Nobody waits when the process ends by itself.
        let _ = asked.send(());
        let repeated = async { while ends.next().await > 0 {} };
        // What arrives now is the same wish.
        let _ = tokio::time::timeout(SAME_WISH, repeated).await;
        let number = ends.next().await;
        tracing::warn!("stopped at once, as asked by a second signal");
        end(128 + number);
    });
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = first_user.recv() => tracing::info!("SIGUSR1 has no effect"),
                _ = second_user.recv() => tracing::info!("SIGUSR2 has no effect"),
            }
        }
    });
    Ok(async {
        // The sender is kept until a signal comes.
        let _ = stop.await;
    })
}

fn one(name: &'static str, kind: SignalKind) -> Result<Signal, SignalError> {
    signal(kind).map_err(|error| SignalError { name, error })
}

/// Ends the process when it has not ended by itself after `at_most`.
pub fn end_after(at_most: Duration) {
    let watchdog = move || {
        let (_kept, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(at_most);
        tracing::error!("the process did not end in time and is ended; what was acknowledged is stored");
        end(1);
    };
    // Without a thread for it the end takes as long as it takes.
    let _ = std::thread::Builder::new().name("end".to_owned()).spawn(watchdog);
}

fn end(code: i32) -> ! {
    logging::finish();
    std::process::exit(code)
}
