//! The limits that clients are sent in `welcome.limits`.

/// Sizes and counts that requests may not exceed. All come from configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest message body, in bytes of UTF-8.
    pub body_bytes: usize,
    /// Largest `data` or `attachments` value, in bytes of JSON.
    pub data_bytes: usize,
    /// Largest WebSocket frame and REST body, in bytes.
    pub frame_bytes: usize,
    /// Most members of a group.
    pub group_members: usize,
    /// Sends a user may make per second, in the long run.
    pub sends_per_second: u32,
    /// Sends a user may make at once.
    pub send_burst: u32,
    /// Most messages in one history page.
    pub history_page: usize,
    /// Most events that one `sync` answers with.
    pub sync_events: usize,
    /// Most ranges in one `sync`.
    pub sync_ranges: usize,
    /// Most users one connection watches.
    pub watch_users: usize,
    /// Most mentions in a message.
    pub mentions: usize,
    /// Most attachments of a message.
    pub attachments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 * 1024,
            data_bytes: 8 * 1024,
            frame_bytes: 64 * 1024,
            group_members: 256,
            sends_per_second: 20,
            send_burst: 40,
            history_page: 200,
            sync_events: 1_000,
            sync_ranges: 200,
            watch_users: 200,
            mentions: 50,
            attachments: 10,
        }
    }
}
