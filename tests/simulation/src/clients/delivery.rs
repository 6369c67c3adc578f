//! Sends what is in the outbox, over the connection or by REST, until each answer is definite; and makes the
//! calls that wait in lanes.

use serde_json::{Value, json};

use super::account::SignIn;
use super::device::Device;
use super::jobs::{Lane, Purpose};
use super::outbox::{Item, Stage};
use super::requests::Asked;
use super::verdict::{Verdict, of_call};
use super::wire::{owned, text};
use crate::net::{Broken, Call};
use crate::plan::Behaviour;

/// Entries that are asked at once over a connection.
const MOST_ASKED: usize = 16;
/// A change without a key that is not answered is repeated at once, this often at most. Later than that
/// another device may have changed the same thing, and a repetition would undo it.
const MOST_TRIES: u32 = 8;

/// The two lanes of calls.
#[derive(Debug, Clone, Copy)]
enum Method {
    Read,
    Change,
}

impl Device {
    /// Asks for what is due in the outbox.
    pub(super) fn advance_outbox(&mut self) {
        let rest = self.plan.behaviour == Behaviour::Rest;
        let most = if rest { 1 } else { MOST_ASKED };
        while self.outbox.asked() < most {
            let ready = if rest { self.account.access.is_some() } else { self.connection.has_room() };
            if !ready {
                return;
            }
            match self.outbox.next(self.now) {
                Ok(number) if rest => self.call_entry(number),
                Ok(number) => {
                    if !self.send_entry(number) {
                        return;
                    }
                }
                Err(at) => {
                    if let Some(at) = at {
                        self.is_due(at);
                    }
                    return;
                }
            }
        }
    }

    /// Whether a reaction that may have been set is as it should be.
    fn is_set(&self, item: &Item) -> bool {
        let Item::React { conversation, seq, emoji, on } = item else { return false };
        let copy = self.copy.borrow();
        let me = copy.user.clone().unwrap_or_default();
        let message = copy.conversations.get(conversation).and_then(|known| known.messages.get(seq));
        message.is_some_and(|message| {
            message.reactions.get(*emoji).is_some_and(|users| users.contains(&me)) == *on
        })
    }

    fn take_entry(&mut self, number: u64) -> Option<Item> {
        let entry = self.outbox.get_mut(number)?;
        let (item, unsure) = (entry.item.clone(), entry.unsure);
        if unsure && self.is_set(&item) {
            self.outbox.finish(number, None);
            return None;
        }
        let entry = self.outbox.get_mut(number)?;
        entry.stage = Stage::Asked;
        entry.tries += 1;
        Some(item)
    }

    fn send_entry(&mut self, number: u64) -> bool {
        let Some(main) = self.connection.main() else { return false };
        let Some(item) = self.take_entry(number) else { return true };
        let sent = self.request(main, Asked::Entry(number), |id| item.frame(id));
        if !sent {
            self.outbox.again(number, self.now + 100, false);
        }
        sent
    }

    fn call_entry(&mut self, number: u64) {
        let Some(item) = self.take_entry(number) else { return };
        match (item.call(), &item) {
            (Some(call), _) => self.ask(Purpose::Entry(number), call),
            (None, Item::Send(fields)) => {
                let body = json!({"kind": "direct", "members": [fields["to"]]});
                let path = "/v1/conversations".to_owned();
                let call = Call { method: "POST", path, token: None, body: Some(body), key: None };
                self.ask(Purpose::Direct(number), call);
            }
            (None, _) => drop(self.outbox.finish(number, None)),
        }
    }

    /// A call for an entry of the outbox was answered.
    pub(super) fn entry_answered(&mut self, number: u64, _: &Call, answer: Result<(u16, Value), Broken>) {
        self.entry_done(number, of_call(answer));
    }

    /// The direct conversation for an entry is there, or not.
    pub(super) fn direct_answered(&mut self, number: u64, answer: Result<(u16, Value), Broken>) {
        match of_call(answer) {
            Verdict::Done(body) => {
                self.take_head(&body);
                if let Some(entry) = self.outbox.get_mut(number)
                    && let Item::Send(fields) = &mut entry.item
                    && let Some(fields) = fields.as_object_mut()
                {
                    fields.remove("to");
                    fields.insert("conversation".to_owned(), body["conversation"].clone());
                }
                self.outbox.again(number, self.now, false);
            }
            verdict => self.entry_done(number, verdict),
        }
    }

    /// An entry was answered.
    pub(super) fn entry_done(&mut self, number: u64, verdict: Verdict) {
        let tries = self.outbox.get_mut(number).map_or(0, |entry| entry.tries);
        match verdict {
            Verdict::Done(body) => {
                let conversation = owned(&body, "conversation");
                let done = self.outbox.finish(number, conversation.as_deref());
                if let (Some(Item::Send(fields)), Some(conversation)) = (done, conversation)
                    && let Some(to) = owned(&fields, "to")
                {
                    self.directs.insert(to, conversation);
                }
            }
            Verdict::Refused(_) => drop(self.outbox.finish(number, None)),
            Verdict::Later(wait) => {
                let at = self.now + self.backoff(tries.min(4), wait);
                self.outbox.again(number, at, false);
                // A client that continues to send while rate limited is closed for abuse.
                self.outbox.hold(at);
            }
            Verdict::Unsure(wait) => {
                let at = self.now + self.backoff(tries.min(4), wait);
                self.outbox.again(number, at, true);
            }
            Verdict::Unauthorized => {
                self.renew_soon();
                self.outbox.again(number, self.now + 1_000, false);
            }
        }
    }

    /// Makes the next call of each lane.
    pub(super) fn advance_lanes(&mut self) {
        if self.account.state != SignIn::Done || self.account.access.is_none() {
            if matches!(self.account.state, SignIn::Out | SignIn::Erased) {
                self.changes.clear();
                self.reads.clear();
            }
            return;
        }
        self.advance_lane(Method::Change);
        self.advance_lane(Method::Read);
    }

    fn advance_lane(&mut self, method: Method) {
        let Some(at) = self.lane(method).due() else { return };
        if self.is_due(at)
            && let Some(queued) = self.lane(method).begin()
        {
            self.ask(queued.purpose, queued.call);
        }
    }

    fn lane(&mut self, method: Method) -> &mut Lane {
        match method {
            Method::Read => &mut self.reads,
            Method::Change => &mut self.changes,
        }
    }

    /// A call of a lane was answered.
    pub(super) fn lane_answered(
        &mut self,
        purpose: Purpose,
        call: &Call,
        answer: Result<(u16, Value), Broken>,
    ) {
        let verdict = of_call(answer);
        let method = if call.method == "GET" { Method::Read } else { Method::Change };
        let wait = match &verdict {
            Verdict::Later(wait) | Verdict::Unsure(wait) => *wait,
            Verdict::Unauthorized => {
                self.renew_soon();
                Some(1_000)
            }
            // The connection brought an event of it, so it is there, and this node does not know it yet.
            Verdict::Refused(_) if self.lacks_a_head(&purpose) => Some(1_000),
            Verdict::Done(_) | Verdict::Refused(_) => {
                self.lane(method).finish();
                return self.call_done(purpose, call, &verdict);
            }
        };
        let at = self.now + self.backoff(2, wait);
        let tries = self.lane(method).again(at);
        // These have a key, or nothing that could undo something.
        let endless =
            matches!(purpose, Purpose::Create(_) | Purpose::Erase | Purpose::Claim | Purpose::Head(_));
        if verdict == Verdict::Unauthorized && purpose == Purpose::SignOut {
            // It was done, and its answer was lost.
            self.lane(method).finish();
            self.signed_out();
        } else if !endless && tries >= MOST_TRIES {
            self.lane(method).finish();
            self.call_done(purpose, call, &verdict);
        }
    }

    /// Whether a call asks for the head of a conversation that the device knows from live events only.
    fn lacks_a_head(&self, purpose: &Purpose) -> bool {
        let Purpose::Head(id) = purpose else { return false };
        self.copy.borrow().conversations.get(id).is_some_and(|known| !known.based)
    }

    fn call_done(&mut self, purpose: Purpose, call: &Call, verdict: &Verdict) {
        let body = match verdict {
            Verdict::Done(body) => Some(body),
            _ => None,
        };
        match (purpose, body) {
            (Purpose::Create(slot), Some(body)) => {
                let id = text(body, "conversation").to_owned();
                self.world.borrow_mut().slots.insert(slot, id);
                if self.plan.behaviour == Behaviour::Rest {
                    self.take_head(body);
                }
            }
            (Purpose::Claim, Some(_)) => self.claimed(),
            (Purpose::SignOut, Some(_)) => self.signed_out(),
            (Purpose::Erase, Some(_)) => self.erased(),
            (Purpose::Head(id), Some(body)) if self.copy.borrow().conversations.contains_key(&id) => {
                self.take_head(body);
            }
            (Purpose::List, Some(body)) => self.listed(body),
            (Purpose::List, None) => self.polling.failed(),
            (Purpose::Events { conversation, after }, Some(body)) => {
                self.read_events(&conversation, after, body);
            }
            (Purpose::Events { conversation, .. }, None) => {
                if matches!(verdict, Verdict::Refused(_)) {
                    self.drop_conversation(&conversation);
                }
            }
            (Purpose::Erase, None) => {
                self.remark(format!("the account is not erased: {} {verdict:?}", call.path));
            }
            _ => {}
        }
    }
}
