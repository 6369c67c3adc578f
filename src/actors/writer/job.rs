//! The jobs of the writer, and the receivers of their answers.

use tokio::sync::oneshot;

use super::state::{Batchable, Batching};
use crate::actors::inbox::SessionKey;
use crate::actors::router::interest::WorkerId;
use crate::domain::{ConversationId, UserId};
use crate::protocol::{Failure, RequestId};
use crate::store::{Appended, Change, Changed, NewMessage};

/// The receiver of a job's answer.
#[derive(Debug)]
pub enum Asker<T> {
    /// A session, answered through its worker's inbox.
    Session {
        /// The session's worker.
        worker: WorkerId,
        /// The session.
        session: SessionKey,
        /// The request to answer.
        id: RequestId,
    },
    /// To a REST request or a test that waits for it.
    Waiter(oneshot::Sender<Result<T, Failure>>),
}

/// A job for the log.
#[derive(Debug)]
pub enum Job {
    /// Append a message.
    Send {
        /// The message.
        message: NewMessage,
        /// When it was received, for the ack latency.
        received_us: u64,
        /// The receiver of the answer.
        asker: Asker<Appended>,
    },
    /// Apply a change.
    Change {
        /// The user who makes the change.
        actor: UserId,
        /// The conversation that is changed.
        conversation: ConversationId,
        /// The change in it.
        change: Change,
        /// When it was received.
        received_us: u64,
        /// The receiver of the answer.
        asker: Asker<Changed>,
    },
}

impl Batchable for Job {
    fn batching(&self) -> Batching {
        match self {
            Self::Send { .. } => Batching::Together,
            Self::Change { .. } => Batching::Alone,
        }
    }
}

impl Job {
    /// When it was received.
    pub(super) const fn received_us(&self) -> u64 {
        match self {
            Self::Send { received_us, .. } | Self::Change { received_us, .. } => *received_us,
        }
    }

    /// The conversation it is for.
    pub(super) fn conversation(&self) -> ConversationId {
        match self {
            Self::Send { message, .. } => message.target.conversation(message.sender),
            Self::Change { conversation, .. } => *conversation,
        }
    }
}
