//! The frames that arrive over the connections.

use serde_json::{Value, json};

use super::connection::Stage;
use super::device::Device;
use super::link::Seen;
use super::requests::Asked;
use super::verdict::{Verdict, of_error, wait_of};
use super::wire::{integer, is, owned, text};

/// Typing is shown for twice the time after which the server ends it.
const TYPING_MS: u64 = 12_000;

impl Device {
    /// A connection reports.
    pub(super) fn seen(&mut self, socket: u64, seen: Seen) {
        let now = self.now;
        let Some(attached) = self.connection.get(socket) else { return };
        attached.heard_at = now;
        attached.pinged_at = None;
        match seen {
            Seen::Alive => {}
            Seen::Closed(code) => self.closed(socket, code),
            // A frame that still arrives over an old connection came over the new one, too.
            Seen::Frame(_) if matches!(attached.stage, Stage::Closing(_)) => {}
            Seen::Frame(frame) => self.received(socket, &frame),
        }
    }

    fn received(&mut self, socket: u64, frame: &Value) {
        match text(frame, "type") {
            "welcome" => self.welcomed(socket, frame),
            "event" => self.take_event(frame),
            "events" => self.take_events(socket, frame),
            "heads" => self.take_heads(frame),
            "receipt" => self.take_receipt(frame),
            "typing" => self.take_typing(frame),
            "presence" => {
                let mut copy = self.copy.borrow_mut();
                copy.presence.insert(text(frame, "user").to_owned(), text(frame, "state").to_owned());
            }
            "reconnect" => {
                let after_ms = integer(frame, "after_ms").unwrap_or_default();
                self.move_on(socket, after_ms, is(frame, "handover"));
            }
            "token_expiring" => self.renew_soon(),
            "ack" | "ok" | "pong" | "synced" => self.answered(socket, frame),
            "error" if frame["id"].is_null() => {
                let wait = wait_of(frame);
                if let Some(attached) = self.connection.get(socket) {
                    attached.suspended |= text(frame, "code") == "suspended";
                    attached.told_to_wait_ms = wait.or(attached.told_to_wait_ms);
                }
            }
            "error" => self.refused(socket, frame),
            // A `heads` frame follows `lagging`; what is not known is ignored.
            _ => {}
        }
    }

    fn welcomed(&mut self, socket: u64, frame: &Value) {
        if owned(frame, "user") != self.account.user {
            self.remark(format!("welcomed as {:?} instead of {:?}", frame["user"], self.account.user));
        }
        self.use_connection(socket, frame);
        self.take_heads(frame);
        self.copy.borrow_mut().presence.clear();
        self.watch_at = Some(self.now);
    }

    /// Asks for the presence of all whom the user watches, once per connection and after a refusal that
    /// passes.
    pub(super) fn advance_watching(&mut self) {
        let (Some(main), Some(at)) = (self.connection.main(), self.watch_at) else { return };
        if !self.is_due(at) {
            return;
        }
        self.watch_at = None;
        let watched: Vec<_> = self.copy.borrow().watched.iter().cloned().collect();
        if !watched.is_empty() {
            self.request(main, Asked::Watch, |id| json!({"type": "watch", "id": id, "users": watched}));
        }
    }

    fn answered(&mut self, socket: u64, frame: &Value) {
        match self.requests.take(socket, &frame["id"]) {
            Some((_, Asked::Entry(entry))) => self.entry_done(entry, Verdict::Done(frame.clone())),
            Some((number, Asked::Sync(ranges))) => self.synced(number, &ranges, is(frame, "more")),
            Some((_, Asked::Auth | Asked::Watch | Asked::Ping | Asked::Other)) => {}
            None if frame["id"].is_null() => {}
            None => self.remark(format!("an answer to nothing: {frame}")),
        }
    }

    fn refused(&mut self, socket: u64, frame: &Value) {
        let verdict = of_error(frame);
        match self.requests.take(socket, &frame["id"]) {
            Some((_, Asked::Entry(entry))) => self.entry_done(entry, verdict),
            Some((number, Asked::Sync(ranges))) => self.sync_refused(number, &ranges, &verdict),
            // The connection stays open with its old token.
            Some((_, Asked::Auth)) => self.renew_after(&verdict),
            Some((_, Asked::Watch)) => {
                if let Verdict::Later(wait) | Verdict::Unsure(wait) = verdict {
                    self.watch_at = Some(self.now + self.backoff(2, wait));
                }
            }
            Some((_, Asked::Ping | Asked::Other)) => {}
            None => self.remark(format!("an answer to nothing: {frame}")),
        }
    }

    /// Nobody answers the requests of a socket any more: what they were for is not known.
    pub(super) fn requests_ended(&mut self, socket: u64) {
        for asked in self.requests.end(socket) {
            if let Asked::Entry(entry) = asked {
                self.outbox.again(entry, self.now, true);
            }
        }
    }

    fn take_receipt(&mut self, frame: &Value) {
        let mut copy = self.copy.borrow_mut();
        let me = copy.user.clone().unwrap_or_default();
        let Some(conversation) = copy.conversations.get_mut(text(frame, "conversation")) else { return };
        let user = text(frame, "user");
        let told = conversation.receipts.entry(user.to_owned()).or_default();
        told.0 = told.0.max(integer(frame, "delivered_seq").unwrap_or_default());
        told.1 = told.1.max(integer(frame, "read_seq").unwrap_or_default());
        if user == me {
            conversation.read_seq = conversation.read_seq.max(told.1);
        }
    }

    fn take_typing(&mut self, frame: &Value) {
        let typist = (text(frame, "conversation").to_owned(), text(frame, "user").to_owned());
        let mut copy = self.copy.borrow_mut();
        if is(frame, "on") {
            copy.typing.insert(typist, self.now + TYPING_MS);
        } else {
            copy.typing.remove(&typist);
        }
    }

    /// Stops showing a user as typing after too long without a signal.
    pub(super) fn end_typing(&mut self) {
        let now = self.now;
        self.copy.borrow_mut().typing.retain(|_, until| *until > now);
        let next = self.copy.borrow().typing.values().min().copied();
        if let Some(next) = next {
            self.is_due(next);
        }
    }
}
