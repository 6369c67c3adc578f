//! `[limits]`: what requests may not exceed.

use serde::Deserialize;

use super::problems::SectionProblems;
use crate::domain;

/// `[limits]`; every key is explained in `config/default.toml`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSettings {
    /// Bytes of a message body.
    pub body_bytes: usize,
    /// Bytes of `data`, and of `attachments`.
    pub data_bytes: usize,
    /// Bytes of a frame or a REST body.
    pub frame_bytes: usize,
    /// Members of a group.
    pub group_members: usize,
    /// Sends of a user in the long run.
    pub sends_per_second: u32,
    /// Sends of a user at once.
    pub send_burst: u32,
    /// Other requests of a user in the long run.
    pub requests_per_second: u32,
    /// Other requests of a user at once.
    pub request_burst: u32,
    /// Messages in a page of history.
    pub history_page: usize,
    /// Events in one answer to `sync`.
    pub sync_events: usize,
    /// Ranges in one `sync`.
    pub sync_ranges: usize,
    /// Users one connection watches.
    pub watch_users: usize,
    /// Mentions in a message.
    pub mentions: usize,
    /// Attachments of a message.
    pub attachments: usize,
}

impl LimitsSettings {
    /// The part that rules need and clients are told.
    pub fn to_domain(&self) -> domain::Limits {
        domain::Limits {
            body_bytes: self.body_bytes,
            data_bytes: self.data_bytes,
            frame_bytes: self.frame_bytes,
            group_members: self.group_members,
            sends_per_second: self.sends_per_second,
            send_burst: self.send_burst,
            history_page: self.history_page,
            sync_events: self.sync_events,
            sync_ranges: self.sync_ranges,
            watch_users: self.watch_users,
            mentions: self.mentions,
            attachments: self.attachments,
        }
    }

    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        problems.range("body_bytes", self.body_bytes, 1, 1 << 20);
        problems.range("data_bytes", self.data_bytes, 2, 1 << 20);
        problems.range("frame_bytes", self.frame_bytes, 4_096, 1 << 24);
        problems.range("group_members", self.group_members, 2, 256);
        problems.range("sends_per_second", self.sends_per_second, 1, 1_000_000);
        problems.range("send_burst", self.send_burst, self.sends_per_second, 10_000_000);
        problems.range("requests_per_second", self.requests_per_second, 1, 1_000_000);
        problems.range("request_burst", self.request_burst, self.requests_per_second, 10_000_000);
        problems.range("history_page", self.history_page, 1, 10_000);
        problems.range("sync_events", self.sync_events, 1, 100_000);
        problems.range("sync_ranges", self.sync_ranges, 1, 10_000);
        problems.range("watch_users", self.watch_users, 0, 100_000);
        problems.range("mentions", self.mentions, 0, 1_000);
        problems.range("attachments", self.attachments, 0, 1_000);
        let parts_bytes =
            self.body_bytes.saturating_add(self.data_bytes.saturating_mul(2)).saturating_add(1_024);
        problems.when(
            parts_bytes > self.frame_bytes,
            "frame_bytes",
            format!(
                "{} cannot hold a message: body_bytes + 2 × data_bytes + 1024 for the rest make {parts_bytes}; write at \
                 least that",
                self.frame_bytes
            ),
        );
    }
}
