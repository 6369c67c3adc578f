//! The log at the end of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidings::domain::audit::Audited;

/// An event of the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logged {
    /// Its conversation.
    pub conversation: String,
    /// Its number there.
    pub seq: u64,
    /// Its kind, as clients know it.
    pub kind: String,
    /// The user who made it.
    pub sender: String,
    /// When the server accepted it, by the clock of a process.
    pub sent_at_ms: i64,
    /// Its place in the whole log.
    pub position: u64,
    /// The id of a message.
    pub message_id: Option<String>,
    /// Whether a message has any content now: a text, data or attachments.
    pub has_content: bool,
    /// The client id it came with; `None` where there was none or it is forgotten.
    pub client_id: Option<String>,
    /// The text that it has now.
    pub body: Option<String>,
    /// Whether its content is gone.
    pub deleted: bool,
    /// The event that it changes.
    pub target: Option<u64>,
    /// The event as it was committed, by the fields of the protocol; `Null` where that is not known.
    pub fields: Value,
}

/// A member at the end of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// The seq with which it began.
    pub joined_seq: u64,
    /// The seq up to which the member's devices have received.
    pub delivered_seq: u64,
    /// The seq up to which the member has read.
    pub read_seq: u64,
    /// The first event that the member may see.
    pub first_seq: u64,
}

/// Everything in the log at the end of a run.
#[derive(Debug, Clone, Default)]
pub struct FinalLog {
    /// Events by conversation and seq.
    pub events: BTreeMap<String, BTreeMap<u64, Logged>>,
    /// The last seq of each conversation, as its row says.
    pub last: BTreeMap<String, u64>,
    /// Members by conversation and user.
    pub members: BTreeMap<String, BTreeMap<String, Membership>>,
    /// Conversations that were deleted.
    pub deleted: BTreeSet<String>,
    /// Users whose account was erased.
    pub erased: BTreeSet<String>,
    /// Blocks: the user who set it, and the other one.
    pub blocks: BTreeSet<(String, String)>,
    /// The audit log, from its first entry on.
    pub audit: Vec<Audited>,
    /// How often the epoch changed: by a failover or a restore.
    pub epochs: u64,
}

impl Logged {
    /// Its meaning, for a reader.
    pub fn shown(&self) -> String {
        let about = match (self.target, &self.fields) {
            (Some(target), Value::Null) => format!(" of {target}"),
            (Some(target), fields) => format!(" of {target} {fields}"),
            (None, Value::Null) => String::new(),
            (None, fields) => format!(" {fields}"),
        };
        format!("a {} by {}{about}, sent at {}", self.kind, self.sender, self.sent_at_ms)
    }
}

impl FinalLog {
    /// An event.
    pub fn event(&self, conversation: &str, seq: u64) -> Option<&Logged> {
        self.events.get(conversation)?.get(&seq)
    }
}
