//! How the copy becomes complete again: heads, `sync` of exactly what is missing, gaps, conversations that
//! were left, and a log that is another one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::copy::Conversation;
use super::device::Device;
use super::jobs::Purpose;
use super::requests::Asked;
use super::verdict::Verdict;
use super::wire::{integer, is, items, owned, segment, text};
use crate::net::Call;
use crate::plan::Behaviour;

/// Most ranges in one `sync` of a device, and most events that it asks for in one range.
const MOST_RANGES: u64 = 20;
const MOST_EVENTS: u64 = 300;

/// The state of a device beside its copy, to resume.
#[derive(Debug, Default)]
pub(super) struct Resume {
    /// The last cursor that arrived.
    pub cursor: Option<String>,
    /// A reset is not complete: its cursor has not arrived.
    resetting: bool,
    /// So many of the next `sync`s ask for one range, to find the one that may not be read.
    single: usize,
    /// No `sync` before then.
    sync_at: u64,
    /// `sync`s in a row that brought nothing on.
    stalled: u32,
    /// The conversations that were left, with the newest event known of them.
    pub gone: BTreeMap<String, u64>,
    /// The events that arrived and were not reported as received.
    unreported: BTreeSet<String>,
    report_at: u64,
}

impl Device {
    /// Takes a `welcome` or `heads`.
    pub(super) fn take_heads(&mut self, frame: &Value) {
        if is(frame, "reset") {
            self.reset();
        }
        for head in items(frame, "heads") {
            self.take_head(head);
        }
        if let Some(cursor) = owned(frame, "cursor") {
            self.resume.cursor = Some(cursor);
            if std::mem::take(&mut self.resume.resetting) {
                self.copy.borrow_mut().conversations.retain(|_, known| known.named);
            }
        }
    }

    /// Takes one head.
    pub(super) fn take_head(&mut self, head: &Value) {
        let id = text(head, "conversation");
        if is(head, "left") {
            return self.drop_conversation(id);
        }
        let born = self.requests.last();
        let mut copy = self.copy.borrow_mut();
        let known = copy.conversations.entry(id.to_owned());
        known.or_insert_with(|| Conversation { born, ..Conversation::default() }).take_head(head);
    }

    /// The log is another one: the events go, and what the user sent lately is sent again.
    fn reset(&mut self) {
        self.resume.resetting = true;
        self.resume.gone.clear();
        let born = self.requests.last();
        for known in self.copy.borrow_mut().conversations.values_mut() {
            known.forget();
            known.born = born;
        }
        self.outbox.send_recent_again();
    }

    /// Everything belongs to another account.
    pub(super) fn forget_everything(&mut self) {
        self.resume = Resume::default();
        let complete = self.copy.borrow().complete;
        *self.copy.borrow_mut() = super::copy::Copy { complete, ..Default::default() };
        self.drop_connections();
    }

    /// The user is no longer in a conversation.
    pub(super) fn drop_conversation(&mut self, id: &str) {
        let known = self.copy.borrow_mut().conversations.remove(id);
        if let Some(known) = known {
            self.resume.gone.insert(id.to_owned(), known.heard_seq);
        }
        self.copy.borrow_mut().typing.retain(|(conversation, _), _| conversation != id);
    }

    /// Takes a live event.
    pub(super) fn take_event(&mut self, event: &Value) {
        let (id, seq) = (text(event, "conversation"), integer(event, "seq").unwrap_or_default());
        let unknown = !self.copy.borrow().conversations.contains_key(id);
        if unknown {
            if self.resume.gone.get(id).is_some_and(|last| seq <= *last) {
                return;
            }
            self.ask_for_head(id);
        }
        let (born, loose) = (self.requests.last(), self.plan.behaviour == Behaviour::Lazy);
        let mut copy = self.copy.borrow_mut();
        let me = copy.user.clone().unwrap_or_default();
        let new = || Conversation { born, ..Conversation::default() };
        let known = copy.conversations.entry(id.to_owned()).or_insert_with(new);
        let is_new = seq > known.position;
        if loose {
            known.take_loose(event, seq);
        } else {
            known.take_live(event, seq);
        }
        note_own(known, event, &me, seq);
        if text(event, "kind") == "message" {
            copy.typing.remove(&(id.to_owned(), text(event, "sender").to_owned()));
        }
        drop(copy);
        let left = text(event, "kind") == "member_left" && text(event, "user") == me;
        if is_new && (left || is(&event["changes"], "deleted")) {
            self.drop_conversation(id);
        } else {
            self.resume.unreported.insert(id.to_owned());
        }
    }

    /// Takes a part of an answer to `sync`.
    pub(super) fn take_events(&mut self, socket: u64, frame: &Value) {
        let now = self.now;
        let Some((number, _)) = self.requests.continued(socket, &frame["id"], now) else {
            return self.remark(format!("an answer to nothing: {frame}"));
        };
        self.take_page(text(frame, "conversation"), items(frame, "events"), number);
    }

    /// Takes events that were asked for with the request of a number.
    pub(super) fn take_page(&mut self, id: &str, events: &[Value], number: u64) {
        let mut copy = self.copy.borrow_mut();
        let me = copy.user.clone().unwrap_or_default();
        let Some(known) = copy.conversations.get_mut(id).filter(|known| known.born < number) else { return };
        for event in events {
            let seq = integer(event, "seq").unwrap_or_default();
            if !known.take_read(event, seq) {
                let (position, holes) = (known.position, known.holes);
                drop(copy);
                return self.found_hole(id, seq, position, holes);
            }
            note_own(known, event, &me, seq);
        }
        drop(copy);
        self.resume.unreported.insert(id.to_owned());
    }

    /// An answer left out events. Either they are hidden from this user by now, and a head says so, or they
    /// are missing.
    fn found_hole(&mut self, id: &str, seq: u64, position: u64, holes: u32) {
        if holes > 2 {
            self.remark(format!("a hole in {id}: {seq} after {position}"));
        }
        self.resume.sync_at = self.now + self.backoff(holes, None);
        self.ask_for_head(id);
    }

    pub(super) fn ask_for_head(&mut self, id: &str) {
        let purpose = Purpose::Head(id.to_owned());
        if !self.reads.has(&purpose) {
            let path = format!("/v1/conversations/{}", segment(id));
            self.reads.push(purpose, Call { method: "GET", path, token: None, body: None, key: None });
        }
    }

    /// Whether anything is missing.
    pub(super) fn is_behind(&self) -> bool {
        self.resume.resetting
            || self.copy.borrow().conversations.values().any(|known| known.missing().is_some())
    }

    /// Asks for what is missing, in pieces.
    pub(super) fn advance_resume(&mut self) {
        self.report_received();
        let Some(main) = self.connection.main() else { return };
        if self.plan.behaviour == Behaviour::Lazy || self.requests.is_syncing(main) || !self.is_behind() {
            return;
        }
        if !self.is_due(self.resume.sync_at) {
            return;
        }
        let most = if self.resume.single > 0 { 1 } else { self.dice.between(1, MOST_RANGES) };
        let copy = self.copy.borrow();
        let behind = copy.conversations.iter().filter_map(|(id, known)| Some((id, known.missing()?)));
        let behind: Vec<_> = behind.map(|(id, (after, count))| (id.clone(), after, count)).collect();
        drop(copy);
        let mut ranges = Vec::new();
        // From a place by dice on, so that one conversation that does not get on holds up no other one.
        let first = usize::try_from(self.dice.below(behind.len() as u64)).unwrap_or(0);
        for (id, after, count) in behind.iter().cycle().skip(first).take(behind.len().min(most as usize)) {
            ranges.push((id.clone(), *after, (*count).min(self.dice.between(1, MOST_EVENTS))));
        }
        if ranges.is_empty() {
            return;
        }
        self.resume.single = self.resume.single.saturating_sub(1);
        let listed: Vec<_> = ranges
            .iter()
            .map(|(id, after, limit)| json!({"conversation": id, "after": after, "limit": limit}))
            .collect();
        self.request(main, Asked::Sync(ranges), |id| json!({"type": "sync", "id": id, "ranges": listed}));
    }

    /// An answer to `sync` is complete.
    pub(super) fn synced(&mut self, number: u64, ranges: &[(String, u64, u64)], more: bool) {
        let mut got_on = false;
        let mut short = Vec::new();
        for (id, after, limit) in ranges {
            let mut copy = self.copy.borrow_mut();
            let Some(known) = copy.conversations.get_mut(id).filter(|known| known.born < number) else {
                got_on = true;
                continue;
            };
            if !more {
                known.covered(after + limit);
                if known.position < after + limit {
                    short.push(format!("a sync of {id} after {after} ended at {}", known.position));
                }
            }
            got_on |= known.position > *after;
        }
        short.into_iter().for_each(|text| self.remark(text));
        self.resume.stalled = if got_on { 0 } else { self.resume.stalled + 1 };
        if !got_on {
            self.resume.sync_at = self.now + self.backoff(self.resume.stalled, None);
        }
    }

    /// A `sync` was refused.
    pub(super) fn sync_refused(&mut self, number: u64, ranges: &[(String, u64, u64)], verdict: &Verdict) {
        match (verdict, ranges) {
            (Verdict::Refused(code), [(id, ..)]) if code == "not_member" || code == "not_found" => {
                let known = self.copy.borrow().conversations.get(id).is_some_and(|known| known.born < number);
                if known {
                    self.drop_conversation(id);
                }
            }
            (Verdict::Refused(code), _) if code == "not_member" || code == "not_found" => {
                self.resume.single = self.copy.borrow().conversations.len();
            }
            (Verdict::Unauthorized, _) => {
                self.renew_soon();
                self.resume.sync_at = self.now + 1_000;
            }
            (Verdict::Later(wait) | Verdict::Unsure(wait), _) => {
                self.resume.stalled += 1;
                self.resume.sync_at = self.now + self.backoff(self.resume.stalled, *wait);
            }
            _ => {
                self.remark(format!("a sync was refused: {verdict:?}"));
                self.resume.sync_at = self.now + 5_000;
            }
        }
    }

    /// Half of the devices say what they have received.
    fn report_received(&mut self) {
        if self.index % 2 == 1 || self.calm || self.resume.unreported.is_empty() {
            self.resume.unreported.clear();
            return;
        }
        if !self.is_due(self.resume.report_at) {
            return;
        }
        let Some(main) = self.connection.main() else { return };
        self.resume.report_at = self.now + self.dice.between(500, 3_000);
        for id in std::mem::take(&mut self.resume.unreported) {
            let position = self.copy.borrow().conversations.get(&id).map(|known| known.position);
            if let Some(seq) = position.filter(|seq| *seq > 0) {
                self.connection.send(main, json!({"type": "delivered", "conversation": id, "seq": seq}));
            }
        }
    }
}

/// A message of one's own moves one's read position.
fn note_own(known: &mut Conversation, event: &Value, me: &str, seq: u64) {
    if text(event, "kind") == "message" && text(event, "sender") == me {
        known.read_seq = known.read_seq.max(seq);
    }
}
