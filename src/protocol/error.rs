//! The error catalogue: one code, one advice, one HTTP status each. Codes are never reused.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Refusal;

/// Writes [`ErrorCode`] and everything that is known about each code from one table.
macro_rules! error_codes {
    ($($variant:ident = $name:literal {
        http: $http:literal, retryable: $retryable:literal, title: $title:literal, meaning: $meaning:literal $(,)?
    })+) => {
        /// What went wrong, as clients may rely on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
        pub enum ErrorCode {
            $(
                #[doc = $meaning]
                #[serde(rename = $name)]
                $variant,
            )+
        }

        impl ErrorCode {
            /// All codes, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The names of all codes, in the same order: values of a metric's label.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The code's name on the wire and as a metric label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The HTTP status that carries this code.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $http),+ }
            }

            /// Whether the same request may succeed later, unchanged.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable),+ }
            }

            /// The title of its problem document, for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What it means and what a client should do, as the protocol page says it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }
        }
    };
}

// The only list of codes. The tables of docs/PROTOCOL.md and docs/METRICS.md, both schemas and the tests
// follow it.
error_codes! {
    BadFrame = "bad_frame" {
        http: 400, retryable: false, title: "The request is not well-formed",
        meaning: "not a well-formed frame or body; fix the client",
    }
    UnknownType = "unknown_type" {
        http: 400, retryable: false, title: "Unknown type",
        meaning: "a frame type this server does not know",
    }
    TooLarge = "too_large" {
        http: 413, retryable: false, title: "Over a limit",
        meaning: "body, data or a list is over its limit",
    }
    Unauthenticated = "unauthenticated" {
        http: 401, retryable: false, title: "No good token",
        meaning: "token missing, bad, expired or revoked; get another",
    }
    SecondFactorNeeded = "second_factor_needed" {
        http: 401, retryable: false, title: "A code is needed",
        meaning: "the password is right, and the account has a second factor: ask for the code, and sign in again with `code`",
    }
    Forbidden = "forbidden" {
        http: 403, retryable: false, title: "Not allowed",
        meaning: "one's role does not allow it",
    }
    NotFound = "not_found" {
        http: 404, retryable: false, title: "Not found",
        meaning: "no such thing, or not for you to see",
    }
    NotMember = "not_member" {
        http: 403, retryable: false, title: "Not a member",
        meaning: "join first",
    }
    Blocked = "blocked" {
        http: 403, retryable: false, title: "Blocked",
        meaning: "the other user has blocked you, or you them, or the other user does not take this from you (2.7)",
    }
    Unanswered = "unanswered" {
        http: 403, retryable: false, title: "Not answered yet",
        meaning: "the user has not answered the first messages; more may be sent after an answer",
    }
    Muted = "muted" {
        http: 403, retryable: false, title: "Muted",
        meaning: "an admin muted you here, for `retry_after_ms` more; repeat it only when the user asks",
    }
    Banned = "banned" {
        http: 403, retryable: false, title: "Banned",
        meaning: "an admin banned the user from this conversation, for `retry_after_ms` more; join only when the user asks",
    }
    Suspended = "suspended" {
        http: 403, retryable: false, title: "Account suspended",
        meaning: "an operator keeps this account out, for `retry_after_ms` more; keep the tokens, show `message`, come back after that",
    }
    Invalid = "invalid" {
        http: 422, retryable: false, title: "A field is invalid",
        meaning: "a field has the wrong type or value; `message` names it",
    }
    Conflict = "conflict" {
        http: 409, retryable: false, title: "Conflict",
        meaning: "taken, or a `client_id` used before for something else",
    }
    RateLimited = "rate_limited" {
        http: 429, retryable: true, title: "Too many requests",
        meaning: "wait `retry_after_ms`",
    }
    Overloaded = "overloaded" {
        http: 503, retryable: true, title: "The server is busy",
        meaning: "wait `retry_after_ms`; nothing was done",
    }
    Unavailable = "unavailable" {
        http: 503, retryable: true, title: "Temporarily unavailable",
        meaning: "a dependency is away; when `definite` is false it may have been done: repeat with the same `client_id`",
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
    /// An operator keeps the account out.
    Suspended {
        /// How long that lasts still.
        left_ms: u64,
        /// The operator's words.
        reason: Option<String>,
    },
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
                    Refusal::Unanswered => ErrorCode::Unanswered,
                    Refusal::Muted { .. } => ErrorCode::Muted,
                    Refusal::Banned { .. } => ErrorCode::Banned,
                    Refusal::Invalid(_) => ErrorCode::Invalid,
                    Refusal::Conflict(_) => ErrorCode::Conflict,
                    Refusal::TooLarge(_) => ErrorCode::TooLarge,
                    Refusal::SecondFactorNeeded => ErrorCode::SecondFactorNeeded,
                };
                let retry_after_ms = match refusal {
                    Refusal::Muted { left_ms } | Refusal::Banned { left_ms } => Some(left_ms),
                    _ => None,
                };
                Self { retry_after_ms, ..Self::new(code, refusal.to_string()) }
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
            Failure::Suspended { left_ms, reason } => {
                let message = match reason {
                    Some(reason) => format!("this account is suspended: {reason}"),
                    None => "this account is suspended".to_owned(),
                };
                Self { retry_after_ms: Some(left_ms), ..Self::new(ErrorCode::Suspended, message) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_retry_is_told_by_a_status_that_says_so() {
        for code in ErrorCode::ALL {
            assert_eq!(code.retryable(), matches!(code.http_status(), 429 | 503), "{}", code.as_str());
        }
    }

    #[test]
    fn an_unanswered_commit_is_retryable_and_indefinite() {
        let error = Error::from(Failure::Unavailable { definite: false });
        assert!(error.retryable && !error.definite && error.retry_after_ms.is_some());
    }
}
