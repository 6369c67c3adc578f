//! Why a request is refused.

use std::borrow::Cow;
use std::fmt;

/// A definite refusal: the request was not done and never will be. Each variant has one wire code
/// (`protocol::error`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It does not exist, or this user may not see it.
    NotFound,
    /// The user is not a member.
    NotMember,
    /// The user's role does not allow it.
    Forbidden(&'static str),
    /// One of the two users has blocked the other.
    Blocked,
    /// As many messages as one may write to somebody before they answer.
    Unanswered,
    /// An admin keeps the user from saying anything there for a while.
    Muted {
        /// How long that lasts still.
        left_ms: u64,
    },
    /// An admin keeps the user from being a member for a while, or for good.
    Banned {
        /// How long that lasts still.
        left_ms: u64,
    },
    /// A field has an impossible value; the text names the field.
    Invalid(Cow<'static, str>),
    /// It is taken, or the key was used before for something else.
    Conflict(&'static str),
    /// Above a limit; the text names the limit.
    TooLarge(&'static str),
    /// The password is right, and the account's second factor is missing.
    SecondFactorNeeded,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such thing here"),
            Self::NotMember => f.write_str("you are not a member of this conversation"),
            Self::Forbidden(why) | Self::Conflict(why) | Self::TooLarge(why) => f.write_str(why),
            Self::Blocked => {
                f.write_str("one of you has blocked the other, or this user does not take it from you")
            }
            Self::Unanswered => f.write_str("wait for an answer: more cannot be written before it"),
            Self::Muted { .. } => f.write_str("you are muted here"),
            Self::Banned { .. } => f.write_str("an admin has banned this user from the conversation"),
            Self::Invalid(why) => f.write_str(why),
            Self::SecondFactorNeeded => {
                f.write_str("the code of the account's authenticator app is needed too")
            }
        }
    }
}

impl std::error::Error for Refusal {}
