//! Requests that read the store: tokens, receipts with an answer, presence, `sync`.

use std::rc::Rc;
use std::sync::Arc;

use super::Switchboard;
use super::distribute::presence_frame;
use crate::domain::{Event, EventKind, Mark, Topic, UserId};
use crate::gateway::line::Line;
use crate::panics;
use crate::protocol::client::SyncRange;
use crate::protocol::event::EventList;
use crate::protocol::server::ServerFrame;
use crate::protocol::{Failure, RequestId};
use crate::store::{RangeEvents, RangeQuery};

/// About how much one `events` frame holds, so that phones with small message limits can read it.
const EVENTS_FRAME_BYTES: usize = 48 * 1024;
/// About how much one `sync` answers with; the rest is asked for again, when the client has read this.
const SYNC_BYTES: usize = 512 * 1024;
/// What an event weighs beside its content.
const EVENT_BYTES: usize = 320;

impl Switchboard {
    pub(super) fn authenticate(self: &Rc<Self>, line: &Rc<Line>, token: String, refresh: Option<RequestId>) {
        let (this, key) = (Rc::clone(self), line.key());
        self.spawn_for(line, async move {
            // A hello costs a signature and a reading of heads: only so many at once.
            let place = match &refresh {
                None => this.doorman.place().await.map(Some),
                Some(_) => Ok(None),
            };
            let (admission, place) = match place {
                Ok(place) => (this.identity.authenticate(&token).await, place),
                Err(failure) => {
                    this.node.meters().load.sheds.of("hellos").increment(1);
                    (Err(failure), None)
                }
            };
            this.with(key, |this, line| {
                if place.is_some() {
                    line.place.set(place);
                }
                this.decide(line, |state, moment, _, effects| {
                    state.on_admission(admission, refresh, moment, effects);
                });
                // What ended while the token was being checked found no session to close. From here on it does.
                this.check_standing(line);
                // The new token may end, or be warned of, before the next look.
                let deadline_ms = line.state.borrow().next_deadline_ms(&this.bounds);
                this.look_at(line, deadline_ms);
            });
        });
    }

    /// Closes a session whose token was revoked.
    pub(super) fn check_standing(self: &Rc<Self>, line: &Rc<Line>) {
        let Some(claims) = line.state.borrow().claims() else { return };
        let standing = self.identity.standing(&claims);
        self.decide(line, |state, _, _, effects| state.on_standing(standing, effects));
    }

    pub(super) fn mark(self: &Rc<Self>, line: &Rc<Line>, id: RequestId, mark: Mark) {
        let (this, key) = (Rc::clone(self), line.key());
        self.spawn_for(line, async move {
            let marked = match this.node.admit_request(mark.user) {
                Ok(()) => this.node.mark(mark).await,
                Err(failure) => Err(failure),
            };
            this.answer(key, &id, marked);
        });
    }

    fn answer(
        self: &Rc<Self>,
        key: crate::actors::inbox::SessionKey,
        id: &RequestId,
        done: Result<(), Failure>,
    ) {
        self.with(key, |this, line| match done {
            Ok(()) => {
                line.state.borrow_mut().on_answered();
                this.say(line, &ServerFrame::Ok { id });
            }
            Err(failure) => this.refuse(line, id, failure),
        });
    }

    pub(super) fn watch(self: &Rc<Self>, line: &Rc<Line>, id: RequestId, users: Vec<UserId>) {
        let (this, key) = (Rc::clone(self), line.key());
        let Some(user) = line.user() else { return };
        self.spawn_for(line, async move {
            let visible = match this.node.admit_request(user) {
                Ok(()) => this.node.read(this.node.store().acquaintances(user, &users)).await,
                Err(failure) => Err(failure),
            };
            let visible = match visible {
                Ok(visible) => visible,
                Err(failure) => return this.answer(key, &id, Err(failure)),
            };
            // Subscribe first, look second: whatever changes after the look is told by a signal.
            this.with(key, |this, line| {
                for user in line.state.borrow_mut().on_watching(&visible) {
                    this.registry.borrow_mut().watch(user, line);
                    this.node.router().subscribe(this.worker, Topic::Presence(user));
                    this.node.meters().social.watches.increment(1.0);
                }
            });
            let seen = this.node.presence().seen(&visible).await;
            this.with(key, |this, line| {
                for (user, looked) in visible.into_iter().zip(seen) {
                    let presence = this.node.presence().answer(user, looked);
                    this.say(line, &presence_frame(user, presence));
                }
            });
            this.answer(key, &id, Ok(()));
        });
    }

    pub(super) fn unwatch(&self, line: &Rc<Line>, user: UserId) {
        let mut registry = self.registry.borrow_mut();
        if registry.watchers(user).iter().any(|other| Rc::ptr_eq(other, line)) {
            registry.unwatch(user, line);
            self.node.router().unsubscribe(self.worker, Topic::Presence(user));
            self.node.meters().social.watches.decrement(1.0);
        }
    }

    pub(super) fn sync(self: &Rc<Self>, line: &Rc<Line>, id: RequestId, ranges: Vec<SyncRange>) {
        let (this, key) = (Rc::clone(self), line.key());
        let Some(user) = line.user() else { return };
        self.spawn_for(line, async move {
            panics::point("sync");
            let began_us = this.node.environment().monotonic_us();
            let synced = match this.node.admit_request(user) {
                Ok(()) => this.read_ranges(key, user, &id, ranges).await,
                Err(failure) => Err(failure),
            };
            let ended_us = this.node.environment().monotonic_us();
            this.node.meters().resume.sync_latency.record_since_us(began_us, ended_us);
            this.with(key, |this, line| match synced {
                Ok(more) => {
                    line.state.borrow_mut().on_answered();
                    this.say(line, &ServerFrame::Synced { id: &id, more });
                }
                Err(failure) => this.refuse(line, &id, failure),
            });
        });
    }

    /// Reads the ranges one after another and says what was read; answers whether anything was cut short.
    async fn read_ranges(
        self: &Rc<Self>,
        key: crate::actors::inbox::SessionKey,
        user: UserId,
        id: &RequestId,
        ranges: Vec<SyncRange>,
    ) -> Result<bool, Failure> {
        let (mut events_left, mut bytes_left) = (self.bounds.limits.sync_events, SYNC_BYTES);
        let mut more = false;
        for range in ranges {
            if events_left == 0 || bytes_left == 0 {
                more = true;
                break;
            }
            // Whose token was ended, or who went, is read nothing more.
            if self.registry.borrow().get(key).is_none_or(|line| line.is_ending()) {
                break;
            }
            let asked = range.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
            let query = RangeQuery {
                conversation: range.conversation,
                after: range.after,
                limit: asked.min(events_left),
                max_bytes: bytes_left,
            };
            let RangeEvents { events, more: beyond } =
                self.node.read(self.node.store().range(user, query)).await??;
            more |= beyond && events.len() < asked;
            events_left = events_left.saturating_sub(events.len());
            bytes_left = bytes_left.saturating_sub(events.iter().map(|event| weight_bytes(event)).sum());
            self.node.meters().resume.sync_events.record(events.len() as f64);
            self.with(key, |this, line| {
                for part in parts(&events) {
                    let list = EventList { events: part, viewer: user };
                    this.say(
                        line,
                        &ServerFrame::Events { id, conversation: range.conversation, events: list },
                    );
                }
            });
        }
        Ok(more)
    }
}

fn weight_bytes(event: &Event) -> usize {
    let content = match &event.kind {
        EventKind::Message(message) => {
            let content = &message.content;
            let json = |text: &Option<crate::domain::JsonText>| text.as_ref().map_or(0, |json| json.0.len());
            content.body.as_ref().map_or(0, String::len) + json(&content.attachments) + json(&content.data)
        }
        EventKind::Edit { body, .. } => body.as_ref().map_or(0, String::len),
        _ => 0,
    };
    content + EVENT_BYTES
}

/// Cuts a run of events into frames of about [`EVENTS_FRAME_BYTES`], each with at least one event.
fn parts(events: &[Arc<Event>]) -> Vec<&[Arc<Event>]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        let weight = weight_bytes(event);
        if at > start && bytes + weight > EVENTS_FRAME_BYTES {
            parts.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += weight;
    }
    if start < events.len() {
        parts.push(&events[start..]);
    }
    parts
}
