//! How a process stops. One of several hands its clients over to the others, at a pace that they can take.
//! A process that is alone with its embedded database has no successor: it finishes what it accepted,
//! closes every connection, and ends.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::actors::writer::Writer;
use crate::api::Requests;
use crate::config::{Settings, StoreBackend};
use crate::gateway::hub::Drain;

/// `docker stop` and many supervisors kill after 10 s. A process that is alone ends before.
const ALONE: Duration = Duration::from_secs(9);
/// Beyond the time in which a commit ends or is given up.
const ANSWER_MARGIN_MS: u64 = 500;
/// Beyond the window, for the threads to close what is left.
const MARGIN: Duration = Duration::from_secs(2);
/// After the window: consumers release their leases, requests end, the threads end.
const AFTER_WINDOW: Duration = Duration::from_secs(6);
/// How long requests that write nothing are waited for, when nobody takes the clients over.
const READS: Duration = Duration::from_millis(300);
/// Between two looks at the requests in progress.
const LOOK: Duration = Duration::from_millis(10);
/// For the last answers to be written to their sockets.
const WRITE_OUT: Duration = Duration::from_millis(30);

/// The wait of a stop, as a message to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// Connections that are open.
    pub connections: usize,
    /// How long it takes at most.
    pub at_most: Duration,
    /// Whether the process must have ended by then.
    pub is_deadline: bool,
}

impl Stopping {
    /// One line; `terminal`: a person can press Ctrl-C.
    pub fn line(&self, terminal: bool) -> String {
        let again = if terminal { "Ctrl-C again" } else { "a second signal" };
        let plural = if self.connections == 1 { "" } else { "s" };
        let (connections, seconds) = (self.connections, self.at_most.as_secs());
        format!("stopping: {connections} connection{plural}, at most {seconds} s; {again} stops at once")
    }
}

/// The way in which this process ends.
#[derive(Debug, Clone, Copy)]
pub struct StopPlan {
    /// The treatment of the sessions.
    pub drain: Drain,
    at_most: Duration,
}

impl StopPlan {
    /// The plan from the settings.
    pub fn of(settings: &Settings) -> Self {
        let window_ms = settings.server.shutdown_ms;
        let window = Duration::from_millis(window_ms);
        match settings.store.backend {
            StoreBackend::Sqlite => Self {
                drain: Drain::Close { answers_ms: settings.store.timeout_ms + ANSWER_MARGIN_MS },
                at_most: ALONE.min(window),
            },
            StoreBackend::Postgres => {
                Self { drain: Drain::HandOver { window_ms }, at_most: window + MARGIN + AFTER_WINDOW }
            }
        }
    }

    /// Whether no other process takes the clients over.
    pub fn is_alone(&self) -> bool {
        matches!(self.drain, Drain::Close { .. })
    }

    /// How long it takes at most.
    pub fn at_most_ms(&self) -> u64 {
        u64::try_from(self.at_most.as_millis()).unwrap_or(u64::MAX)
    }

    /// Its message.
    pub fn stopping(&self, connections: usize) -> Stopping {
        Stopping { connections, at_most: self.at_most, is_deadline: self.is_alone() }
    }

    /// Waits until the sessions of all threads are gone. Returns how many there were.
    pub async fn sessions_gone(&self, drained: &mut mpsc::Receiver<usize>, threads: usize) -> usize {
        let mut sessions = 0;
        let every_thread = async {
            for _ in 0..threads {
                sessions += drained.recv().await.unwrap_or_default();
            }
        };
        let time = match self.drain {
            Drain::HandOver { window_ms } => Duration::from_millis(window_ms) + MARGIN,
            Drain::Close { answers_ms } => Duration::from_millis(answers_ms) + MARGIN,
        };
        // A thread that cannot close its sessions in time loses them with the process.
        let _ = tokio::time::timeout(time, every_thread).await;
        sessions
    }

    /// Takes no further request and waits for the answers of those in progress. What writes is not cut off; a
    /// long read may be.
    pub async fn requests_answered(&self, requests: &Requests, writer: &Writer) {
        requests.close();
        let mut waited = Duration::ZERO;
        while !(requests.is_idle() || waited >= READS && writer.is_idle()) && waited < self.at_most / 2 {
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
        }
        tokio::time::sleep(WRITE_OUT).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_many_and_how_long() {
        let stopping = Stopping { connections: 2, at_most: Duration::from_secs(9), is_deadline: true };
        let line = stopping.line(true);
        assert_eq!(line, "stopping: 2 connections, at most 9 s; Ctrl-C again stops at once");
        let one = Stopping { connections: 1, ..stopping };
        assert_eq!(one.line(false), "stopping: 1 connection, at most 9 s; a second signal stops at once");
    }

    #[test]
    fn a_process_that_is_alone_ends_before_supervisors_kill() {
        let plan = StopPlan::of(&Settings::for_tests());
        assert!(plan.is_alone() && plan.at_most_ms() < 10_000, "{plan:?}");
    }
}
