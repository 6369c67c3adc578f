//! The error catalogue: one code, one advice, one HTTP status each. Codes are never reused.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Refusal;

/// What went wrong, as clients may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not a well-formed frame or body; fix the client.
    BadFrame,
    /// A frame type this server does not know.
    UnknownType,
    /// Over a size limit.
    TooLarge,
    /// Token missing, bad, expired or revoked; get another.
    Unauthenticated,
    /// One's role does not allow it.
    Forbidden,
    /// No such thing, or not for this user to see.
    NotFound,
    /// Join first.
    NotMember,
    /// One of the two users has blocked the other.
    Blocked,
    /// A field has the wrong type or value.
    Invalid,
    /// Taken, or a `client_id` used before for something else.
    Conflict,
    /// Too many requests of this user; wait.
    RateLimited,
    /// Too much load; nothing was done; wait.
    Overloaded,
    /// A dependency is away; it may have been done when not definite.
    Unavailable,
}

impl ErrorCode {
    /// All codes, in the order of the catalogue.
    pub const ALL: [Self; 13] = [
        Self::BadFrame,
        Self::UnknownType,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::NotMember,
        Self::Blocked,
        Self::Invalid,
        Self::Conflict,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// The names of all codes, in the same order.
    pub const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].as_str();
            at += 1;
        }
        names
    };

    /// The code's name on the wire and as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::UnknownType => "unknown_type",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotMember => "not_member",
            Self::Blocked => "blocked",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status that carries this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadFrame | Self::UnknownType => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::NotMember | Self::Blocked => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Invalid => 422,
            Self::RateLimited => 429,
            Self::Overloaded | Self::Unavailable => 503,
        }
    }

    /// What it means and what a client should do, as the protocol page says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::BadFrame => "not a well-formed frame or body; fix the client",
            Self::UnknownType => "a frame type this server does not know",
            Self::TooLarge => "body, data or a list is over its limit",
            Self::Unauthenticated => "token missing, bad, expired or revoked; get another",
            Self::Forbidden => "one's role does not allow it",
            Self::NotFound => "no such thing, or not for you to see",
            Self::NotMember => "join first",
            Self::Blocked => "the other user has blocked you, or you them",
            Self::Invalid => "a field has the wrong type or value; `message` names it",
            Self::Conflict => "taken, or a `client_id` used before for something else",
            Self::RateLimited => "wait `retry_after_ms`",
            Self::Overloaded => "wait `retry_after_ms`; nothing was done",
            Self::Unavailable => {
                "a dependency is away; when `definite` is false it may have been done: repeat with the same `client_id`"
            }
        }
    }

    /// Whether the same request may succeed later, unchanged.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Unavailable)
    }
}

/// The answer to one request that was not done. The connection lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Error {
    /// The catalogue's code.
    pub code: ErrorCode,
    /// For people; may change between releases.
    pub message: Cow<'static, str>,
    /// The same request may succeed later.
    pub retryable: bool,
    /// True: it did not happen and never will. False: unknown; repeat with the same `client_id`.
    pub definite: bool,
    /// How long to wait before a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Error {
    /// A definite error of this code.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.retryable(),
            definite: true,
            retry_after_ms: None,
        }
    }
}

/// Why an operation of a node was not carried out, before it is put into a peer's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The rules say no.
    Refused(Refusal),
    /// The user makes too many requests.
    RateLimited {
        /// When the next one passes.
        retry_after_ms: u64,
    },
    /// A queue is full; nothing was done.
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// A dependency failed.
    Unavailable {
        /// True: nothing was done. False: unknown.
        definite: bool,
    },
    /// The keys of a token's issuer cannot be read; nothing was done.
    IssuerAway,
    /// The token is missing, bad, expired or revoked.
    Unauthenticated(&'static str),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How long a peer should wait when a dependency is away.
const UNAVAILABLE_RETRY_AFTER_MS: u64 = 1_000;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => {
                let code = match &refusal {
                    Refusal::NotFound => ErrorCode::NotFound,
                    Refusal::NotMember => ErrorCode::NotMember,
                    Refusal::Forbidden(_) => ErrorCode::Forbidden,
                    Refusal::Blocked => ErrorCode::Blocked,
                    Refusal::Invalid(_) => ErrorCode::Invalid,
                    Refusal::Conflict(_) => ErrorCode::Conflict,
                    Refusal::TooLarge(_) => ErrorCode::TooLarge,
                };
                Self::new(code, refusal.to_string())
            }
            Failure::RateLimited { retry_after_ms } => Self {
                retry_after_ms: Some(retry_after_ms),
                ..Self::new(ErrorCode::RateLimited, "too many requests; wait")
            },
            Failure::Overloaded { retry_after_ms } => Self {
                retry_after_ms: Some(retry_after_ms),
                ..Self::new(ErrorCode::Overloaded, "the server is busy; nothing was done; wait")
            },
            Failure::Unavailable { definite } => Self {
                definite,
                retry_after_ms: Some(UNAVAILABLE_RETRY_AFTER_MS),
                ..Self::new(
                    ErrorCode::Unavailable,
                    if definite {
                        "something the server depends on is away; nothing was done"
                    } else {
                        "it may have been done all the same; repeat with the same client_id"
                    },
                )
            },
            Failure::IssuerAway => Self {
                retry_after_ms: Some(UNAVAILABLE_RETRY_AFTER_MS),
                ..Self::new(
                    ErrorCode::Unavailable,
                    "the issuer of the token cannot be asked for its keys; nothing was done",
                )
            },
            Failure::Unauthenticated(why) => Self::new(ErrorCode::Unauthenticated, why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_serde_writes() {
        for code in ErrorCode::ALL {
            let written = serde_json::to_string(&code).unwrap_or_default();
            assert_eq!(written, format!("\"{}\"", code.as_str()));
        }
    }

    #[test]
    fn an_unanswered_commit_is_retryable_and_indefinite() {
        let error = Error::from(Failure::Unavailable { definite: false });
        assert!(error.retryable && !error.definite && error.retry_after_ms.is_some());
    }
}
