//! Devices that use REST only: they ask for the list of conversations now and then, and for the events they
//! lack.

use std::collections::BTreeSet;

use serde_json::Value;

use super::account::SignIn;
use super::device::Device;
use super::jobs::Purpose;
use super::wire::{is, items, owned, segment, text};
use crate::net::Call;

/// Rounds in which nothing moved, after which a device in the calm is done.
const QUIET_ROUNDS: u32 = 2;

/// Where a device is in its round through the list.
#[derive(Debug, Default)]
pub(super) struct Polling {
    /// The next round begins then.
    at: u64,
    /// The conversations of this round's pages so far.
    named: BTreeSet<String>,
    quiet_rounds: u32,
}

impl Polling {
    /// Everything is to be read again.
    pub fn start_over(&mut self, now: u64) {
        *self = Self { at: now, ..Self::default() };
    }

    /// Whether nothing moved lately.
    pub fn is_current(&self) -> bool {
        self.quiet_rounds >= QUIET_ROUNDS
    }

    /// A page of the list was not answered: the round ends.
    pub fn failed(&mut self) {
        self.named.clear();
        self.quiet_rounds = 0;
    }
}

fn get(path: String) -> Call {
    Call { method: "GET", path, token: None, body: None, key: None }
}

impl Device {
    /// Begins a round when one is due.
    pub(super) fn advance_polling(&mut self) {
        if self.account.state != SignIn::Done || !self.reads.is_empty() || !self.is_due(self.polling.at) {
            return;
        }
        let wait = match (self.calm, self.polling.is_current()) {
            (false, _) => self.dice.between(3_000, 15_000),
            (true, false) => self.dice.between(500, 1_500),
            // A conversation that settled is not asked for again.
            (true, true) => return,
        };
        self.polling.at = self.now + wait;
        self.polling.named.clear();
        self.reads.push(Purpose::List, get("/v1/conversations?limit=100".to_owned()));
    }

    /// A page of the list.
    pub(super) fn listed(&mut self, page: &Value) {
        for head in items(page, "conversations") {
            self.polling.named.insert(text(head, "conversation").to_owned());
            self.take_head(head);
        }
        if let Some(next) = owned(page, "next_cursor") {
            let path = format!("/v1/conversations?limit=100&cursor={}", segment(&next));
            self.reads.push(Purpose::List, get(path));
            return;
        }
        let known: Vec<_> = self.copy.borrow().conversations.keys().cloned().collect();
        for id in &known {
            if !self.polling.named.contains(id) {
                self.drop_conversation(id);
            }
        }
        let moved = self.is_behind();
        self.polling.quiet_rounds = if moved { 0 } else { self.polling.quiet_rounds + 1 };
        for id in known {
            self.read_on(&id);
        }
        if moved {
            // Also those that this page named for the first time.
            let named: Vec<_> = self.polling.named.iter().cloned().collect();
            named.iter().for_each(|id| self.read_on(id));
        }
    }

    /// Asks for the next events of a conversation, if any are missing.
    fn read_on(&mut self, id: &str) {
        let missing = self.copy.borrow().conversations.get(id).and_then(|known| known.missing());
        let Some((after, _)) = missing else { return };
        let purpose = Purpose::Events { conversation: id.to_owned(), after };
        if !self.reads.has(&purpose) {
            let limit = self.dice.between(1, 200);
            self.reads.push(
                purpose,
                get(format!("/v1/conversations/{}/events?after={after}&limit={limit}", segment(id))),
            );
        }
    }

    /// A page of events.
    pub(super) fn read_events(&mut self, id: &str, after: u64, page: &Value) {
        let position = self.copy.borrow().conversations.get(id).map(|known| known.position);
        if position != Some(after) {
            // The copy was begun again in the meantime.
            return self.read_on(id);
        }
        self.take_page(id, items(page, "events"), u64::MAX);
        let position = self.copy.borrow().conversations.get(id).map(|known| known.position);
        if is(page, "more") && position.is_some_and(|position| position > after) {
            self.read_on(id);
        }
    }
}
