//! The limits that clients are sent in `welcome.limits`, written once.

/// Hands the table of limits to the macro `$then`: documentation, name, type, default, and the least and most
/// that an operator may set. The section `[limits]` of the configuration and `welcome.limits` are made from
/// it. A limit also has a line in `config/default.toml`.
macro_rules! with_limits {
    ($then:ident) => {
        $then! {
            /// Largest message body, in bytes of UTF-8.
            body_bytes: usize = 8 * 1024, 1, 1 << 20;
            /// Largest `data` or `attachments` value, in bytes of JSON.
            data_bytes: usize = 8 * 1024, 2, 1 << 20;
            /// Largest WebSocket frame and REST body, in bytes.
            frame_bytes: usize = 64 * 1024, 4_096, 1 << 24;
            /// Most members of a group.
            group_members: usize = 256, 2, 256;
            /// Most groups and channels that a user is in.
            conversations: usize = 2_000, 1, 1_000_000;
            /// Most people whom a user adds to groups and channels in a day (of UTC), at their making too.
            invitations_per_day: u32 = 1_000, 0, 1_000_000;
            /// Sends a user may make per second, in the long run.
            sends_per_second: u32 = 20, 1, 1_000_000;
            /// Sends a user may make at once; not fewer than `sends_per_second`.
            send_burst: u32 = 40, 0, 10_000_000;
            /// Most messages in one history page.
            history_page: usize = 200, 1, 10_000;
            /// Most events that one `sync` answers with.
            sync_events: usize = 1_000, 1, 100_000;
            /// Most ranges in one `sync`.
            sync_ranges: usize = 200, 1, 10_000;
            /// Most users one connection watches.
            watch_users: usize = 200, 0, 100_000;
            /// Most mentions in a message.
            mentions: usize = 50, 0, 1_000;
            /// Most attachments of a message.
            attachments: usize = 10, 0, 1_000;
        }
    };
}
pub(crate) use with_limits;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr, $least:expr, $most:expr;)+) => {
        /// Sizes and counts that requests may not exceed. All come from configuration.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: $kind,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }
    };
}

with_limits!(limits);
