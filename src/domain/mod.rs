//! The domain of Tidings as plain values and rules: ids, conversations, members, messages, events,
//! permissions, limits.
//!
//! Nothing here does I/O, reads a clock, draws randomness, knows an encoding or waits. The caller of a rule
//! passes the facts and `now`; the rule returns a value or a [`Refusal`].

mod address_prefix;
pub mod audit;
mod client_address;
mod consent;
mod conversation;
mod event;
mod ids;
mod limits;
mod message;
pub mod name_words;
mod origin;
pub mod passwords;
pub mod permissions;
pub mod price;
pub mod queued;
pub mod quotas;
mod refusal;
mod second_factor;
mod suspension;
mod time;
mod user;

pub use address_prefix::AddressPrefix;
pub use client_address::{ClientAddress, IPV6_NETWORKS};
pub use consent::{
    Adding, Approach, ConsentRules, Openness, Privacy, PrivacyChange, how_to_add, may_approach, may_wait,
};
pub use conversation::{
    Conversation, ConversationKind, Head, HistoryPolicy, JoinPolicy, Member, REASON_CHARS, Receipt, Role,
    TOPIC_CHARS, Topic, topics,
};
pub(crate) use event::with_changes;
pub use event::{Audience, Changes, Committed, Event, EventKind, LeaveReason};
pub use ids::{ClientId, ConversationId, FamilyId, IdError, MessageId, Position, Seq, SessionId, UserId};
pub use limits::Limits;
pub(crate) use limits::with_limits;
pub use message::{Content, JsonText, Message};
pub use origin::{AllowedOrigins, Origin};
pub use refusal::Refusal;
pub use second_factor::{SECOND_FACTOR_BYTES, SecondFactor};
pub use suspension::{AccountState, Suspension};
pub use time::Timestamp;
pub use user::{
    DEVICE_NAME_CHARS, Revocation, RevocationKind, SHOWN_NAME_CHARS, User, Username, UsernameError,
};
