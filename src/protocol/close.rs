//! The close catalogue: why a connection ends, and whether to come back. Codes are never reused.

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Close {
    /// The peer said good-bye.
    Bye,
    /// Broken WebSocket framing (RFC 6455 section 7.4.1).
    Framing,
    /// Text where binary was agreed, or the other way round.
    WrongKind,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A frame larger than `limits.frame_bytes`.
    TooLarge,
    /// A fault of the server.
    Internal,
    /// A release: reconnect after the announced wait.
    Release,
    /// Too many are on their way in: come back after the wait that the `error` before it names.
    Busy,
    /// Not speaking the protocol.
    NotTidings,
    /// Token missing, bad, expired or revoked.
    Unauthenticated,
    /// Banned or erased.
    Banned,
    /// No `hello`, no heartbeat answer, or no reading in time.
    TimedOut,
    /// Kept sending while rate limited.
    Abuse,
}

impl Close {
    /// All closes, in the order of the catalogue.
    pub const ALL: [Self; 13] = [
        Self::Bye,
        Self::Framing,
        Self::WrongKind,
        Self::NotUtf8,
        Self::TooLarge,
        Self::Internal,
        Self::Release,
        Self::Busy,
        Self::NotTidings,
        Self::Unauthenticated,
        Self::Banned,
        Self::TimedOut,
        Self::Abuse,
    ];

    /// The WebSocket close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Bye => 1000,
            Self::Framing => 1002,
            Self::WrongKind => 1003,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::Release => 1012,
            Self::Busy => 1013,
            Self::NotTidings => 4400,
            Self::Unauthenticated => 4401,
            Self::Banned => 4403,
            Self::TimedOut => 4408,
            Self::Abuse => 4429,
        }
    }

    /// The reason sent with it: at most 123 bytes.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Framing => "broken framing",
            Self::WrongKind => "wrong frame kind for the subprotocol",
            Self::NotUtf8 => "text is not UTF-8",
            Self::TooLarge => "frame too large",
            Self::Internal => "internal error",
            Self::Release => "release: reconnect",
            Self::Busy => "busy: try again later",
            Self::NotTidings => "not speaking the protocol",
            Self::Unauthenticated => "token missing, bad, expired or revoked",
            Self::Banned => "account banned or erased",
            Self::TimedOut => "timed out",
            Self::Abuse => "kept sending while rate limited",
        }
    }

    /// What it means, as the protocol page says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Bye => "bye: what the client ends is answered with its own code",
            Self::Framing => "broken WebSocket framing (RFC 6455)",
            Self::WrongKind => "text where binary was agreed, or the other way round",
            Self::NotUtf8 => "text that is not UTF-8",
            Self::TooLarge => "frame larger than `limits.frame_bytes`, or more than 1,024 fragments",
            Self::Internal => "internal error, or the database is away",
            Self::Release => "release",
            Self::Busy => "too many are connecting at once; an `overloaded` error comes before it",
            Self::NotTidings => {
                "not speaking the protocol: the first frame is no well-formed `hello`, or 20 malformed frames in a minute"
            }
            Self::Unauthenticated => "token missing, bad, expired or revoked",
            Self::Banned => "banned or erased",
            Self::TimedOut => {
                "no `hello` within 5 s, two heartbeats unanswered, or reading stopped for longer than the write deadline"
            }
            Self::Abuse => "abuse: kept sending while rate limited, or more connections than a user may have",
        }
    }

    /// What to do, as the protocol page says it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Bye
            | Self::Framing
            | Self::WrongKind
            | Self::NotUtf8
            | Self::TooLarge
            | Self::NotTidings
            | Self::Banned => "no",
            Self::Internal | Self::TimedOut => "yes",
            Self::Release => "yes, after the wait given in `reconnect`",
            Self::Busy => "yes, after the `retry_after_ms` of that error",
            Self::Unauthenticated => "with a new token",
            Self::Abuse => "yes, after a minute",
        }
    }

    /// Whether a client should connect again by itself (4401: with a new token).
    pub const fn reconnect(self) -> bool {
        matches!(
            self,
            Self::Internal
                | Self::Release
                | Self::Busy
                | Self::Unauthenticated
                | Self::TimedOut
                | Self::Abuse
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_reasons_fit_a_control_frame() {
        let codes: std::collections::HashSet<_> = Close::ALL.iter().map(|close| close.code()).collect();
        assert_eq!(codes.len(), Close::ALL.len());
        assert!(Close::ALL.iter().all(|close| close.reason().len() <= 123));
        assert!(Close::ALL.iter().all(|close| close.reconnect() == (close.advice() != "no")));
    }
}
