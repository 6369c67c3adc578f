//! The steps of the plan: what each becomes, as frame or as REST call.

use serde_json::{Value, json};

use super::device::Device;
use super::jobs::{Done, Purpose};
use super::outbox::Item;
use super::requests::Asked;
use super::scratch::Bench;
use super::wire::{segment, uuid};
use super::world::Way;
use crate::net::Call;
use crate::plan::{Back, Behaviour, Operation, Page, Place};

/// The emoji that people react with.
const EMOJI: [&str; 4] = ["👋", "👍", "❤️", "🎉"];
/// Tasks beside the device.
const MOST_BESIDE: usize = 16;

fn call(method: &'static str, path: String, body: Option<Value>) -> Call {
    Call { method, path, token: None, body, key: None }
}

impl Device {
    /// Does a step of the plan. What refers to something that is not there does nothing.
    pub(super) fn perform(&mut self, operation: Operation) {
        let text = format!("{operation:?}");
        if self.begin(operation).is_none() {
            self.remark(format!("skipped {text}"));
        }
    }

    fn begin(&mut self, operation: Operation) -> Option<()> {
        match operation {
            Operation::Send { to, bytes } => self.send(to, bytes)?,
            Operation::SendAgain => self.send_again()?,
            Operation::Edit { on, back } => {
                let (conversation, seq) = self.message(on, back, true)?;
                let (body, client_id) = (self.body(40), uuid(&mut self.dice));
                self.outbox.push(Item::Edit { conversation, seq, body, client_id }).then_some(())?;
            }
            Operation::Delete { on, back } => {
                let own = self.dice.chance(800);
                let (conversation, seq) = self.message(on, back, own)?;
                self.outbox.push(Item::Delete { conversation, seq }).then_some(())?;
            }
            Operation::React { on, back, emoji, add } => {
                let (conversation, seq) = self.message(on, back, false)?;
                let emoji = EMOJI[usize::from(emoji) % EMOJI.len()];
                self.outbox.push(Item::React { conversation, seq, emoji, on: add }).then_some(())?;
            }
            Operation::Receipt { on, back, read } => {
                let conversation = self.place(on)?;
                let position = self.copy.borrow().conversations.get(&conversation)?.position;
                let seq = position.checked_sub(back).filter(|seq| *seq > 0)?;
                let item = if read {
                    Item::Read { conversation, seq }
                } else {
                    Item::Delivered { conversation, seq }
                };
                self.outbox.push(item).then_some(())?;
            }
            Operation::Typing { on, begin } => {
                let (conversation, main) = (self.place(on)?, self.connection.main()?);
                let frame = json!({"type": "typing", "conversation": conversation, "on": begin});
                self.connection.send(main, frame).then_some(())?;
            }
            Operation::Watch { person, on } => self.watch(person, on)?,
            Operation::Background { on } => {
                let (main, kind) = (self.connection.main()?, if on { "background" } else { "foreground" });
                if self.dice.chance(500) {
                    self.connection.send(main, json!({"type": kind})).then_some(())?;
                } else {
                    self.request(main, Asked::Other, |id| json!({"type": kind, "id": id})).then_some(())?;
                }
            }
            Operation::SyncAgain { on, back } => self.sync_again(on, back)?,
            Operation::Disconnect { how } => self.hang_up(how),
            Operation::Reconnect => self.reconnect(),
            Operation::StopReading { ms } => self.stop_reading(ms),
            Operation::Refresh => self.renew_soon(),
            Operation::SignIn => self.sign_in_again(),
            Operation::Abuse { kind } => self.abuse(kind)?,
            operation => self.change(operation)?,
        }
        Some(())
    }

    /// Performs the operations that only REST has.
    fn change(&mut self, operation: Operation) -> Option<()> {
        let (purpose, call) = match operation {
            Operation::Create { slot, channel, members, open, all_history } => {
                let users: Vec<_> =
                    members.iter().filter_map(|person| self.world.borrow().user(*person)).collect();
                let body = json!({
                    "kind": if channel { "channel" } else { "group" },
                    "members": users,
                    "name": format!("slot {slot}"),
                    "history": if all_history { "all" } else { "from_join" },
                    "join": if open { "open" } else { "invite" },
                    "client_id": uuid(&mut self.dice),
                });
                (Purpose::Create(slot), call("POST", "/v1/conversations".to_owned(), Some(body)))
            }
            Operation::Join { on, person } => (Purpose::Other, call("PUT", self.member(on, person)?, None)),
            Operation::Leave { on, person } => {
                (Purpose::Other, call("DELETE", self.member(on, person)?, None))
            }
            Operation::SetRole { on, person, role } => {
                let role = ["member", "admin", "owner"][usize::from(role) % 3];
                let body = json!({"role": role});
                (Purpose::Other, call("PATCH", self.member(on, person)?, Some(body)))
            }
            Operation::Mute { on, person, seconds } => {
                let path = format!("{}/mute", self.member(on, person)?);
                let set = seconds > 0;
                let body = set.then(|| json!({"duration_s": seconds}));
                (Purpose::Other, call(if set { "PUT" } else { "DELETE" }, path, body))
            }
            Operation::Ban { on, person, seconds, lift } => {
                let user = self.world.borrow().user(person)?;
                let path = format!("{}/bans/{user}", self.path(on)?);
                let end = (seconds > 0).then(|| json!({"duration_s": seconds, "reason": "noise"}));
                let body = if lift { None } else { end };
                (Purpose::Other, call(if lift { "DELETE" } else { "PUT" }, path, body))
            }
            Operation::Configure { on, open, all_history, rename } => {
                let mut body = json!({});
                if let Some(open) = open {
                    body["join"] = json!(if open { "open" } else { "invite" });
                }
                if let Some(all) = all_history {
                    body["history"] = json!(if all { "all" } else { "from_join" });
                }
                if rename {
                    body["name"] = json!(format!("name {}", self.dice.below(1_000)));
                }
                (Purpose::Other, call("PATCH", self.path(on)?, Some(body)))
            }
            Operation::DeleteConversation { on } => {
                let end = call("DELETE", self.path(on)?, None);
                if self.has_room_beside() && self.dice.chance(400) {
                    // Somebody who does not ask again when no answer comes.
                    self.ask(Purpose::Beside, end);
                    return Some(());
                }
                (Purpose::Other, end)
            }
            Operation::Block { person, on } => {
                let path = format!("/v1/blocks/{}", self.world.borrow().user(person)?);
                (Purpose::Other, call(if on { "PUT" } else { "DELETE" }, path, None))
            }
            Operation::Read { on, page } => {
                let path = self.page(on, page)?;
                return self.reads.push(Purpose::Other, call("GET", path, None)).then_some(());
            }
            Operation::Export => {
                let export = call("GET", "/v1/me/export".to_owned(), None);
                return self.reads.push(Purpose::Other, export).then_some(());
            }
            Operation::SignOut { everywhere } => {
                let path = if everywhere { "/v1/tokens?all=true" } else { "/v1/tokens" };
                (Purpose::SignOut, call("DELETE", path.to_owned(), None))
            }
            Operation::EndSessions => (Purpose::Other, call("DELETE", "/v1/me/sessions".to_owned(), None)),
            Operation::Erase => {
                let person = &mut self.world.borrow_mut().people[self.plan.person];
                person.erased = true;
                let guest = person.way == Way::Guest || !person.has_password;
                let body = (!guest).then(|| json!({"password": person.password}));
                (Purpose::Erase, call("DELETE", "/v1/me".to_owned(), body))
            }
            _ => return None,
        };
        self.changes.push(purpose, call).then_some(())
    }

    /// The id of a place, if it is there.
    pub(super) fn place(&self, place: Place) -> Option<String> {
        match place {
            Place::Slot(slot) => self.world.borrow().slots.get(&slot).cloned(),
            Place::With(person) => {
                let user = self.world.borrow().user(person)?;
                let copy = self.copy.borrow();
                let mut known = copy.conversations.iter();
                let peer = known.find(|(_, known)| known.peer.as_ref() == Some(&user));
                peer.map(|(id, _)| id.clone()).or_else(|| self.directs.get(&user).cloned())
            }
        }
    }

    fn path(&self, place: Place) -> Option<String> {
        Some(format!("/v1/conversations/{}", segment(&self.place(place)?)))
    }

    fn member(&self, place: Place, person: usize) -> Option<String> {
        Some(format!("{}/members/{}", self.path(place)?, self.world.borrow().user(person)?))
    }

    /// A message that the device knows.
    fn message(&self, place: Place, back: Back, own: bool) -> Option<(String, u64)> {
        let id = self.place(place)?;
        let copy = self.copy.borrow();
        let me = copy.user.as_deref()?;
        let seq = copy.conversations.get(&id)?.message_back(back, |message| !own || message.sender == me)?;
        Some((id, seq))
    }

    /// A text that no other message has.
    fn body(&mut self, bytes: usize) -> String {
        let mut body = format!("d{} {:x} ", self.index, self.dice.next_u64());
        while body.len() < bytes {
            body.push_str(if self.dice.chance(30) { "ü" } else { "x" });
        }
        body
    }

    fn send(&mut self, to: Place, bytes: usize) -> Option<()> {
        let mut fields = json!({"client_id": uuid(&mut self.dice)});
        match (to, self.place(to)) {
            (Place::With(person), known) if known.is_none() || self.dice.chance(500) => {
                fields["to"] = json!(self.world.borrow().user(person)?);
            }
            (_, known) => fields["conversation"] = json!(known?),
        }
        if bytes == 0 || self.dice.chance(50) {
            fields["data"] = json!({"dice": self.dice.between(1, 6), "half": 0.5});
        }
        if bytes > 0 {
            fields["body"] = json!(self.body(bytes));
        }
        if self.dice.chance(100)
            && let Some((_, seq)) = self.message(to, 0, false)
        {
            fields["reply_to"] = json!(seq);
        }
        self.world.borrow_mut().keep_sent(self.index, &fields);
        self.outbox.push(Item::Send(fields)).then_some(())
    }

    /// Returns the parts that a task beside the device uses.
    pub(super) fn bench(&mut self) -> Bench {
        Bench {
            network: self.network.clone(),
            history: self.history.clone(),
            device: self.index,
            msgpack: self.plan.msgpack,
            token: self.account.access.clone(),
            dice: crate::dice::Dice::new(self.dice.next_u64(), "beside"),
        }
    }

    /// Whether one more task may run beside the device.
    pub(super) fn has_room_beside(&self) -> bool {
        self.jobs.running() < MOST_BESIDE
    }

    fn send_again(&mut self) -> Option<()> {
        let (item, conversation) = self.outbox.last_sent()?.clone();
        let Item::Send(fields) = &item else { return None };
        self.account.access.as_ref()?;
        self.has_room_beside().then_some(())?;
        if self.plan.behaviour == Behaviour::Rest || self.dice.chance(500) {
            let mut fields = fields.clone();
            fields.as_object_mut()?.remove("to");
            fields["conversation"] = json!(conversation);
            let mut call = Item::Send(fields).call()?;
            call.token.clone_from(&self.account.access);
            self.jobs.call(&self.network, &self.history, self.index, Purpose::Beside, call);
            return Some(());
        }
        let bench = self.bench();
        self.jobs.spawn(async move {
            if let Some(mut scratch) = bench.enter(bench.token.as_deref()).await {
                scratch.link.send(item.frame(&json!("again")));
                scratch.until(10_000, |frame| frame["id"] == "again").await;
                scratch.leave().await;
            }
            Done::Finished
        });
        Some(())
    }

    fn watch(&mut self, person: usize, on: bool) -> Option<()> {
        let user = self.world.borrow().user(person)?;
        let mut copy = self.copy.borrow_mut();
        if on {
            copy.watched.insert(user.clone());
        } else {
            copy.watched.remove(&user);
            copy.presence.remove(&user);
        }
        drop(copy);
        let main = self.connection.main()?;
        let kind = if on { "watch" } else { "unwatch" };
        let frame = |id: &Value| json!({"type": kind, "id": id, "users": [user]});
        self.request(main, if on { Asked::Watch } else { Asked::Other }, frame).then_some(())
    }

    fn sync_again(&mut self, on: Place, back: Back) -> Option<()> {
        let (conversation, main) = (self.place(on)?, self.connection.main()?);
        let position = self.copy.borrow().conversations.get(&conversation)?.position;
        let after = position.saturating_sub(back);
        // More than the device knows of: events may have come since.
        let listed = json!([{"conversation": conversation, "after": after, "limit": back + 8}]);
        let frame = |id: &Value| json!({"type": "sync", "id": id, "ranges": listed});
        self.request(main, Asked::Other, frame).then_some(())
    }

    fn page(&mut self, on: Place, page: Page) -> Option<String> {
        let limit = self.dice.between(1, 120);
        if page == Page::Conversations {
            return Some(format!("/v1/conversations?limit={limit}"));
        }
        let (path, id) = (self.path(on)?, self.place(on)?);
        let position = self.copy.borrow().conversations.get(&id).map_or(0, |known| known.position);
        let some = self.dice.below(position + 1);
        Some(match page {
            Page::History if self.dice.chance(300) => {
                format!("{path}/messages?limit={limit}&before={}", some + 1)
            }
            Page::History if self.dice.chance(500) => {
                format!("{path}/messages?limit={limit}&min_seq={}", position.max(1))
            }
            Page::History => format!("{path}/messages?limit={limit}"),
            Page::Events => format!("{path}/events?after={some}&limit={limit}"),
            Page::Members => format!("{path}/members?limit={limit}"),
            Page::Conversation | Page::Conversations => path,
            Page::Preview => format!("{path}/preview"),
        })
    }
}
