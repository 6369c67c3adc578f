//! A panic ends the one client's work that caused it, or the whole process.
//!
//! Tokio and actix catch a panic of a task and continue without that task. If the task was an actor, the
//! process would run without a writer, or with a thread that no longer delivers, and nothing would report it.
//! [`install`] sets a hook that runs before they catch it: unless the thread is inside [`caught`] (work for
//! one client), the process ends with a non-zero status. Clients resume by cursor on another node, or on this
//! one after its restart.
//!
//! State that clients share (the router, the registry of a thread, presence) is changed between [`shared`]
//! and the end of its guard. A panic there would leave it half changed, so it ends the process too. [`lock`]
//! is the backstop: it ends the process when a panic unwound through the lock.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::future::poll_fn;
use std::os::unix::fs::FileTypeExt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use thiserror::Error;

thread_local! {
    /// Whether this thread works for one client, and not on shared state.
    static SERVING_ONE: Cell<bool> = const { Cell::new(false) };
}

/// The folder in which tests ask for a panic; see [`point`].
static POINTS: OnceLock<PathBuf> = OnceLock::new();

/// One client's work ended in a panic, which was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an internal error of the server")]
pub struct Panicked;

/// From now on a panic outside work for one client ends the process. `before_end` may take a moment to write
/// out the log. `points`: a folder for [`point`], in debug builds only.
pub fn install(before_end: fn(), points: Option<PathBuf>) {
    if let Some(points) = points.filter(|_| cfg!(debug_assertions)) {
        // Set once; a second installation keeps the first folder.
        let _ = POINTS.set(points);
    }
    std::panic::set_hook(Box::new(move |info| {
        let contained = SERVING_ONE.get();
        report(info, contained);
        if !contained {
            before_end();
            std::process::abort();
        }
    }));
}

fn report(info: &PanicHookInfo<'_>, contained: bool) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().map(without_content).unwrap_or_default();
    let backtrace = Backtrace::force_capture();
    if contained {
        tracing::error!(place, message, %backtrace, "a panic ended the work for one client");
    } else {
        tracing::error!(place, message, %backtrace, "a panic outside the work for one client: the process ends");
    }
}

/// The message up to where it may quote a value: what users write never reaches the log.
fn without_content(message: &str) -> &str {
    message.split(['`', '"', '\'', '{', '(']).next().unwrap_or_default().trim_end()
}

/// Runs work for one client. A panic in it is logged and ends only this work.
///
/// # Errors
/// [`Panicked`]: the state that the work owned is lost; shared state is intact.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = SERVING_ONE.replace(true);
    // Shared state is changed behind `shared` or a lock, and a panic there does not return to here.
    let done = catch_unwind(AssertUnwindSafe(work));
    SERVING_ONE.set(before);
    done.map_err(|_| Panicked)
}

/// As [`caught`], for work that waits.
///
/// # Errors
/// [`Panicked`].
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| match caught(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => std::task::Poll::Ready(Err(panicked)),
    })
    .await
}

/// While this lives, a panic ends the process, also during work for one client.
#[derive(Debug)]
#[must_use]
pub struct Shared {
    before: bool,
}

/// Begins a change of shared state. It ends when the guard is dropped.
pub fn shared() -> Shared {
    Shared { before: SERVING_ONE.replace(false) }
}

impl Drop for Shared {
    fn drop(&mut self) {
        SERVING_ONE.set(self.before);
    }
}

/// For a lock through which a panic unwound: its content may be half changed, so the process ends.
pub fn poisoned<G>(_: PoisonError<G>) -> G {
    tracing::error!("a panic left a lock's contents half changed: the process ends");
    std::process::abort()
}

/// Locks `mutex`. Every mutex is locked through this; see [`poisoned`].
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(poisoned)
}

/// A place where tests make a debug build fail, by what is there of that name in the folder given to
/// [`install`]. A file: it panics, once. A named pipe: the thread is stuck until the pipe is opened and
/// closed.
pub fn point(name: &'static str) {
    if cfg!(debug_assertions)
        && let Some(path) = POINTS.get().map(|points| points.join(name))
        && let Ok(found) = std::fs::metadata(&path)
    {
        if found.file_type().is_fifo() {
            let _ = std::fs::read(&path);
        } else if std::fs::remove_file(&path).is_ok() {
            // Only when a test asked for it.
            panic!("as asked for at the point {name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clients_panic_is_caught_and_the_thread_serves_on() {
        assert_eq!(caught(|| panic!("one client")), Err::<(), _>(Panicked));
        assert_eq!(caught(|| SERVING_ONE.get()), Ok(true));
        assert!(!SERVING_ONE.get());
    }

    #[test]
    fn what_is_shared_is_no_clients_own_work() {
        let seen = caught(|| {
            let inside = {
                let _shared = shared();
                let _nested = shared();
                SERVING_ONE.get()
            };
            (inside, SERVING_ONE.get())
        });
        assert_eq!(seen, Ok((false, true)));
    }

    #[tokio::test]
    async fn work_that_waits_is_contained_at_every_step() {
        let work = async {
            tokio::task::yield_now().await;
            assert!(SERVING_ONE.get());
            panic!("after a wait");
        };
        assert_eq!(contained(work).await, Err::<(), _>(Panicked));
        assert_eq!(contained(async { 7 }).await, Ok(7));
        assert!(!SERVING_ONE.get());
    }

    #[test]
    fn values_in_a_message_are_left_out() {
        for (message, shown) in [
            (
                "index out of bounds: the len is 3 but the index is 7",
                "index out of bounds: the len is 3 but the index is 7",
            ),
            (
                "byte index 1 is not a char boundary; it is inside 'é'",
                "byte index 1 is not a char boundary; it is inside",
            ),
            ("called unwrap on `Err`: \"secret\"", "called unwrap on"),
        ] {
            assert_eq!(without_content(message), shown);
        }
    }
}
