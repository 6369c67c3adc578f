//! `sync`: reads exactly what a client lacks, and not faster than the client takes it.
//!
//! Limits: one `sync` of a connection at a time. None begins while the connection has no room for more of an
//! answer ([`crate::domain::queued::room_bytes`]), and one that fills it ends with `more: true`.

use std::rc::Rc;
use std::sync::Arc;

use super::Session;
use super::session_ref::SessionRef;
use super::stream::ByteStream;
use crate::domain::{Event, EventKind, JsonText, UserId, price};
use crate::panics;
use crate::protocol::client::SyncRange;
use crate::protocol::event::EventList;
use crate::protocol::json_text_bytes;
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};
use crate::store::{RangeEvents, RangeQuery};

/// About how many encoded bytes one `events` frame has, so that phones with small message limits can read it.
const EVENTS_FRAME_BYTES: usize = 48 * 1024;
/// About how many encoded bytes one `sync` answers with. The client asks for the rest after it has read this.
const SYNC_BYTES: usize = 512 * 1024;
/// The bytes that an event counts in addition to its content.
const EVENT_BYTES: usize = 320;

impl<S: ByteStream> Session<S> {
    pub(super) fn sync(self: &Rc<Self>, id: RequestId, ranges: Vec<SyncRange>) {
        let Some(user) = self.user() else { return };
        let queue = self.answers();
        self.spawn(|this| async move {
            panics::point("sync");
            rare!(SyncWaitsForAnother, queue.turn.try_lock().is_err());
            let _turn = queue.turn.lock().await;
            if !this.room().await {
                return;
            }
            let began_us = this.worker.node.environment().monotonic_us();
            let synced = match this.worker.node.admit_work(user, price::of_sync(ranges.len())) {
                Ok(()) => this.read_ranges(user, &id, ranges).await,
                Err(failure) => Err(failure),
            };
            let ended_us = this.worker.node.environment().monotonic_us();
            this.worker.node.meters().resume.sync_latency.record_since_us(began_us, ended_us);
            this.with(|session| match synced {
                Ok(more) => {
                    session.state.borrow_mut().on_answered();
                    session.send(&ServerFrame::Synced { id: &id, more });
                }
                Err(failure) => session.refuse(&id, failure),
            });
        });
    }
}

impl<S: ByteStream> SessionRef<S> {
    /// Reads the ranges one after another and sends them. Returns whether anything was left out.
    async fn read_ranges(
        &self,
        user: UserId,
        id: &RequestId,
        ranges: Vec<SyncRange>,
    ) -> Result<bool, Failure> {
        let (mut events_left, mut bytes_left) =
            (self.worker.bounds.limits.sync_events, bound!(SyncBytes, SYNC_BYTES));
        let mut more = false;
        let mut ranges = ranges.into_iter();
        while let Some(range) = ranges.next() {
            if events_left == 0 || bytes_left == 0 {
                rare!(SyncStoppedByEvents, events_left == 0);
                rare!(SyncStoppedByBytes, bytes_left == 0);
                return Ok(true);
            }
            // A user whose token was revoked, or who disconnected, gets no more.
            let Some(session) = self.open() else {
                rare!(ConnectionEndedDuringASync);
                break;
            };
            let room_bytes = session.room_bytes();
            drop(session);
            let asked = range.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
            let query = RangeQuery {
                conversation: range.conversation,
                after: range.after,
                limit: asked.min(events_left),
                max_bytes: bytes_left.min(room_bytes),
            };
            let _reading = self.worker.node.budget().large_read().await?;
            let RangeEvents { events, more: beyond } =
                self.worker.node.read(self.worker.node.store().range(user, query)).await??;
            more |= beyond && events.len() < asked;
            events_left = events_left.saturating_sub(events.len());
            self.worker.node.meters().resume.sync_events.record(events.len() as f64);
            let mut full = false;
            self.with(|session| {
                let parts = parts(&events);
                let last = parts.len().saturating_sub(1);
                for (at, (part, bytes)) in parts.into_iter().enumerate() {
                    if bytes_left == 0 {
                        more = true;
                        return;
                    }
                    bytes_left = bytes_left.saturating_sub(bytes);
                    let list = EventList { events: part, viewer: user };
                    let frame = ServerFrame::Events { id, conversation: range.conversation, events: list };
                    session.send(&frame);
                    full = session.is_full();
                    if full {
                        more |= at < last;
                        return;
                    }
                }
            });
            if full {
                rare!(SyncStoppedByASlowReader);
                // The client asks again for the rest of this range and for the next ones.
                return Ok(more || ranges.len() > 0);
            }
        }
        Ok(more)
    }
}

/// About how many bytes it has in JSON.
fn weight_bytes(event: &Event) -> usize {
    let content = match &event.kind {
        EventKind::Message(message) => {
            let content = &message.content;
            let json = |text: &Option<JsonText>| text.as_ref().map_or(0, |json| json.0.len());
            content.body.as_deref().map_or(0, json_text_bytes)
                + json(&content.attachments)
                + json(&content.data)
        }
        EventKind::Edit { body, .. } => body.as_deref().map_or(0, json_text_bytes),
        _ => 0,
    };
    content + EVENT_BYTES
}

/// Cuts a run of events into frames of about [`EVENTS_FRAME_BYTES`], each with at least one event. Returns
/// them with their sizes.
fn parts(events: &[Arc<Event>]) -> Vec<(&[Arc<Event>], usize)> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let weight = weight_bytes(event);
        if at > start && bytes + weight > bound!(SyncFrameBytes, EVENTS_FRAME_BYTES) {
            parts.push((&events[start..at], bytes));
            (start, bytes) = (at, 0);
        }
        bytes += weight;
    }
    if start < events.len() {
        parts.push((&events[start..], bytes));
    }
    parts
}
