//! What a session wants done: the pure core decides, the shell carries out.

use std::collections::HashMap;

use crate::actors::presence::state::Device;
use crate::domain::{ConversationId, Mark, Seq, UserId};
use crate::protocol::client::SyncRange;
use crate::protocol::{Close, Error, RequestId};
use crate::store::{Change, Cursor, NewMessage};

/// One thing to do, in order.
#[derive(Debug)]
pub enum Effect {
    /// Answer a request with an error.
    Error {
        /// The request; `None` when it had no readable id.
        id: Option<RequestId>,
        /// What to say.
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
    /// The user is known: subscribe, be present, read heads since the cursor.
    Enter {
        /// The user whose token was good.
        user: UserId,
        /// What the client brought.
        since: Option<Cursor>,
        /// It brought one, readable or not.
        brought_cursor: bool,
        /// What it holds of conversations that it has open.
        positions: HashMap<ConversationId, Seq>,
    },
    /// See whether anything moved that the session was not given.
    Compare,
    /// Look again at what that could not explain.
    LookAgain,
    /// Ask again whom the session may be told of.
    Review,
    /// Read the heads that moved since the last ones, and tell them.
    CatchUp,
    /// Append a message.
    Send {
        /// The request to answer.
        id: RequestId,
        /// The message.
        message: NewMessage,
    },
    /// Carry out a change.
    Change {
        /// The request to answer.
        id: RequestId,
        /// The conversation to change.
        conversation: ConversationId,
        /// What to change in it.
        change: Change,
    },
    /// Keep a receipt: in time without a request to answer, else before answering.
    Mark {
        /// The request to answer.
        id: Option<RequestId>,
        /// The receipt.
        mark: Mark,
    },
    /// Tell the others that the user is typing.
    Typing {
        /// The conversation that is typed in.
        conversation: ConversationId,
        /// Began or stopped.
        on: bool,
    },
    /// Tell the presence of these users, now and on change.
    Watch {
        /// The request to answer.
        id: RequestId,
        /// The users to watch.
        users: Vec<UserId>,
    },
    /// Watch these users no more, and answer.
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
        /// What to read.
        ranges: Vec<SyncRange>,
    },
    /// The device moved between foreground and background.
    Moved {
        /// What it was before.
        from: Device,
        /// What it is now.
        to: Device,
    },
    /// Warn of the token's end.
    TokenExpiring {
        /// How long it lives.
        expires_in_ms: u64,
    },
    /// Send a WebSocket ping.
    Ping,
    /// End the connection.
    Close(Close),
}
