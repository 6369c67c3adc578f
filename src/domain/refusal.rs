//! Why a request is definitely not done.

use std::borrow::Cow;
use std::fmt;

/// A definite no: it did not happen and never will. Each variant has one wire code (`protocol::error`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No such thing, or not for this user to see.
    NotFound,
    /// The user is not a member.
    NotMember,
    /// The user's role does not allow it.
    Forbidden(&'static str),
    /// One of the two users has blocked the other.
    Blocked,
    /// A field's value cannot be; the text names the field.
    Invalid(Cow<'static, str>),
    /// Taken already, or used before for something else.
    Conflict(&'static str),
    /// Over a limit; the text names it.
    TooLarge(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such thing here"),
            Self::NotMember => f.write_str("you are not a member of this conversation"),
            Self::Forbidden(why) | Self::Conflict(why) | Self::TooLarge(why) => f.write_str(why),
            Self::Blocked => f.write_str("one of you has blocked the other"),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refusal {}
