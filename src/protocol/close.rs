//! The close catalogue: why a connection ends, and whether to come back. Codes are never reused.

/// Writes [`Close`] and everything that is known about each close from one table.
macro_rules! closes {
    ($($variant:ident = $code:literal {
        reason: $reason:literal, reconnect: $advice:literal, meaning: $meaning:literal $(,)?
    })+) => {
        /// Why the server ends a connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Close {
            $(#[doc = $meaning] $variant,)+
        }

        impl Close {
            /// All closes, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The codes that ends of connections are counted by: the server's own, what clients say when
            /// they leave, and 1006 for an end without a close frame.
            pub const COUNTED: &'static [&'static str] = &[$(stringify!($code),)+ "1001", "1006"];

            /// The WebSocket close code.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The reason sent with it: at most 123 bytes.
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason),+ }
            }

            /// What it means, as the protocol page says it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }

            /// Whether to connect again and when, as the protocol page says it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),+ }
            }
        }
    };
}

// The only list of closes. The table of docs/PROTOCOL.md and the metrics' labels follow it.
closes! {
    Bye = 1000 {
        reason: "bye", reconnect: "no",
        meaning: "bye: what the client ends is answered with its own code",
    }
    Framing = 1002 {
        reason: "broken framing", reconnect: "no",
        meaning: "broken WebSocket framing (RFC 6455)",
    }
    WrongKind = 1003 {
        reason: "wrong frame kind for the subprotocol", reconnect: "no",
        meaning: "text where binary was agreed, or the other way round",
    }
    NotUtf8 = 1007 {
        reason: "text is not UTF-8", reconnect: "no",
        meaning: "text that is not UTF-8",
    }
    TooLarge = 1009 {
        reason: "frame too large", reconnect: "no",
        meaning: "frame larger than `limits.frame_bytes`, or more than 1,024 fragments",
    }
    Internal = 1011 {
        reason: "internal error", reconnect: "yes",
        meaning: "internal error, or the database is away",
    }
    Release = 1012 {
        reason: "release: reconnect", reconnect: "yes, after the wait given in `reconnect`",
        meaning: "release",
    }
    Busy = 1013 {
        reason: "busy: try again later", reconnect: "yes, after the `retry_after_ms` of that error",
        meaning: "too many are connecting at once; an `overloaded` error comes before it",
    }
    NotTidings = 4400 {
        reason: "not speaking the protocol", reconnect: "no",
        meaning: "not speaking the protocol: the first frame is no well-formed `hello`, or 20 malformed frames in a minute",
    }
    Unauthenticated = 4401 {
        reason: "token missing, bad, expired or revoked", reconnect: "with a new token",
        meaning: "token missing, bad, expired or revoked",
    }
    Banned = 4403 {
        reason: "account suspended or erased", reconnect: "no; after a suspension, when its time is over",
        meaning: "erased, or suspended by an operator; then a `suspended` error with the reason comes before it",
    }
    TimedOut = 4408 {
        reason: "timed out", reconnect: "yes",
        meaning: "no `hello` within 5 s, two heartbeats unanswered, or reading stopped for longer than the write deadline",
    }
    Abuse = 4429 {
        reason: "kept sending while rate limited", reconnect: "yes, after a minute",
        meaning: "abuse: kept sending while rate limited, or more connections than a user may have",
    }
}

impl Close {
    /// Whether a client should connect again by itself (4401: with a new token).
    pub fn reconnect(self) -> bool {
        !self.advice().starts_with("no")
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
    }
}
