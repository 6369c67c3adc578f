//! The end of all sessions of a thread, when the process stops.

use std::rc::Rc;
use std::time::Duration;

use super::Hub;
use super::timer_wheel::SLOT_MS;
use crate::gateway::session::Session;
use crate::gateway::session::mailbox::Control;
use crate::gateway::session::stream::ByteStream;
use crate::protocol::Close;

/// Between two looks at sessions that are about to end.
const LOOK_MS: u64 = 10;
/// How long requests that write nothing are waited for, when nobody takes the clients over.
const READS_MS: u64 = 300;
/// How long clients have to answer the close, when nobody takes them over.
const GOODBYE_MS: u64 = 300;
/// Clients are asked to come back within this time, spread evenly, so that they do not come all at once.
const RETURN_MS: u64 = 2_000;

/// The way in which a stopping process ends its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Other processes take the clients over. They are asked to reconnect within the window, evenly spread;
    /// those that are left after it are closed.
    HandOver {
        /// How long that may take.
        window_ms: u64,
    },
    /// No other node takes the clients over. No further request is read, those in progress are answered, and
    /// every client is sent `reconnect` and closed.
    Close {
        /// How long answers of the writer are waited for.
        answers_ms: u64,
    },
}

impl<S: ByteStream> Hub<S> {
    /// Ends all sessions. Returns how many there were.
    pub async fn drain(self: Rc<Self>, how: Drain) -> usize {
        self.draining.set(true);
        let sessions = self.sessions();
        match how {
            Drain::HandOver { window_ms } => self.hand_over(window_ms).await,
            Drain::Close { answers_ms } => self.close_all(answers_ms).await,
        }
        sessions
    }

    async fn hand_over(&self, window_ms: u64) {
        for session in self.directory.registry.borrow().all() {
            rare!(
                DrainWhileEntering,
                session.with_life(|life| matches!(life, crate::gateway::session::life::Life::Entering(_)))
            );
            let after_ms = self.worker.node.environment().random_below(window_ms / 2);
            session.post(Control::Reconnect { after_ms, deadline_ms: window_ms });
        }
        self.until_empty(window_ms, SLOT_MS).await;
        let left = self.directory.registry.borrow().all();
        rare!(SessionsLeftAfterTheHandOver, !left.is_empty());
        self.control(&left, Control::Close(Close::Release));
        self.flush_touched().await;
    }

    async fn close_all(&self, answers_ms: u64) {
        self.worker.stop_reading();
        let mut waited_ms = 0;
        let mut writes = true;
        loop {
            let open = self.directory.registry.borrow().all();
            let (busy, done): (Vec<_>, Vec<_>) = open
                .into_iter()
                .filter(|session| !session.is_closing())
                .partition(|session| session.has_requests());
            self.say_goodbye(&done).await;
            // A change may not be cut off; a long read may. `writes` is one look old: by now the answers that
            // were on their way are here.
            if busy.is_empty() || waited_ms >= answers_ms || (waited_ms >= READS_MS && !writes) {
                self.say_goodbye(&busy).await;
                break;
            }
            writes = !self.worker.node.writer().is_idle();
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
            waited_ms += LOOK_MS;
        }
        self.until_empty(GOODBYE_MS, LOOK_MS).await;
    }

    async fn say_goodbye(&self, sessions: &[Rc<Session<S>>]) {
        for session in sessions {
            let after_ms = self.worker.node.environment().random_below(RETURN_MS);
            session.post(Control::Reconnect { after_ms, deadline_ms: 0 });
        }
        self.control(sessions, Control::Close(Close::Release));
        self.flush_touched().await;
    }

    async fn until_empty(&self, at_most_ms: u64, look_ms: u64) {
        let mut waited_ms = 0;
        while waited_ms < at_most_ms && self.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(look_ms)).await;
            waited_ms += look_ms;
        }
    }
}
