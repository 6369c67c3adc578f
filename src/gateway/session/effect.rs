//! What the pure rules of a session want done. [`super::effects`] performs it.

use std::collections::HashMap;

use crate::actors::presence::state::Device;
use crate::domain::{ConversationId, Receipt, Seq, UserId};
use crate::protocol::client::SyncRange;
use crate::protocol::{Close, Error, RequestId};
use crate::store::{Change, Cursor, NewMessage};

/// One effect. Effects are performed in order.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request with an error.
    Error {
        /// The request; `None` when it had no readable id.
        id: Option<RequestId>,
        /// The error.
        error: Error,
    },
    /// Answer a request with `ok`.
    Ok(RequestId),
    /// Answer a `ping`.
    Pong(Option<RequestId>),
    /// Check the token of a `hello` or an `auth`.
    Authenticate {
        /// The token.
        token: String,
        /// The `auth` request to answer; `None` for a `hello`.
        refresh: Option<RequestId>,
    },
    /// The token is valid: subscribe, announce presence, read heads since the cursor.
    Enter {
        /// The user of the token.
        user: UserId,
        /// The cursor that the client sent.
        since: Option<Cursor>,
        /// Whether it sent one, readable or not.
        brought_cursor: bool,
        /// Its positions in conversations that it has open.
        positions: HashMap<ConversationId, Seq>,
    },
    /// Compare the log with what the session was given.
    Compare,
    /// Check again what the comparison could not explain.
    LookAgain,
    /// Read again which users' signals the session may be sent.
    Review,
    /// Read the heads that moved since the last ones, and send them.
    CatchUp,
    /// Append a message.
    Send {
        /// The request to answer.
        id: RequestId,
        /// The message.
        message: NewMessage,
    },
    /// Apply a change.
    Change {
        /// The request to answer.
        id: RequestId,
        /// The conversation that is changed.
        conversation: ConversationId,
        /// The change in it.
        change: Change,
    },
    /// Store a receipt: soon if there is no request to answer, otherwise before answering.
    MoveReceipt {
        /// The request to answer.
        id: Option<RequestId>,
        /// The receipt.
        receipt: Receipt,
    },
    /// Send a signal that the user is typing or stopped.
    Typing {
        /// The conversation that is typed in.
        conversation: ConversationId,
        /// Whether the user began or stopped.
        on: bool,
    },
    /// Send the presence of these users, now and on every change.
    Watch {
        /// The request to answer.
        id: RequestId,
        /// The users to watch.
        users: Vec<UserId>,
    },
    /// Stop watching these users, and answer.
    Unwatch {
        /// The request to answer.
        id: RequestId,
        /// The users that were watched.
        users: Vec<UserId>,
    },
    /// Read ranges.
    Sync {
        /// The request to answer.
        id: RequestId,
        /// The range to read.
        ranges: Vec<SyncRange>,
    },
    /// The device moved between foreground and background.
    Moved {
        /// The earlier state.
        from: Device,
        /// The present state.
        to: Device,
    },
    /// Warn the client that the token expires.
    TokenExpiring {
        /// In how many milliseconds.
        expires_in_ms: u64,
    },
    /// Send a WebSocket ping.
    Ping,
    /// End the connection.
    Close(Close),
}
