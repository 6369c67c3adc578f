//! What no client should do. Each kind of abuse uses connections and calls of its own; what the server
//! answers is in the history, and the checker says whether it is from the catalogue and whether anybody else
//! was harmed.
//!
//! - [`framing`]: bytes that break RFC 6455; sockets that are half open, slow or silent.
//! - [`entering`]: greetings that are missing, doubled, false or too many.
//! - [`fields`]: frames whose fields have the wrong type, size or value.
//! - [`floods`]: too much of everything, and clients that do not read.
//! - [`trespass`]: what belongs to others: conversations, messages, tokens, keys.
//! - [`rest`]: the same over REST.

mod entering;
mod fields;
mod floods;
mod framing;
mod rest;
mod trespass;

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::device::Device;
use super::jobs::Done;
use super::scratch::Bench;
use crate::plan::Behaviour;

/// The longest that one abuse may take.
const MOST_MS: u64 = 120_000;
/// Abuses of one device at once.
const MOST_AT_ONCE: usize = 6;

/// The ids and tokens that a hostile client has found.
#[derive(Debug, Clone, Default)]
pub(super) struct Loot {
    /// Its own user.
    pub me: String,
    /// Username and password, or the secret of a guest.
    pub password: Option<(String, String)>,
    pub device_id: String,
    /// Its conversations, each with the newest seq.
    pub own: Vec<(String, u64)>,
    /// Conversations of others.
    pub foreign: Vec<String>,
    /// Other users.
    pub others: Vec<String>,
    /// The access tokens of other devices, with those.
    pub tokens: Vec<(usize, String)>,
    /// A message that somebody else sent: the fields of its frame.
    pub sent: Option<Value>,
    /// A message of somebody else in a conversation of its own.
    pub others_message: Option<(String, u64)>,
}

impl Loot {
    /// A conversation of its own, or one that does not exist.
    pub fn place(&self) -> (String, u64) {
        self.own.first().cloned().unwrap_or_else(|| ("g_0000000000000000000000000000000d".to_owned(), 1))
    }

    /// A conversation of others, or one that does not exist.
    pub fn foreign_place(&self) -> String {
        self.foreign.first().cloned().unwrap_or_else(|| "g_0000000000000000000000000000000d".to_owned())
    }

    /// Another user, or one that does not exist.
    pub fn other(&self) -> String {
        self.others.first().cloned().unwrap_or_else(|| "u_0000000000000000000000000000000d".to_owned())
    }
}

impl Device {
    /// Begins the abuse of a number.
    pub(super) fn abuse(&mut self, kind: u16) -> Option<()> {
        let may = self.plan.behaviour == Behaviour::Hostile && self.jobs.running() < MOST_AT_ONCE;
        self.account.access.as_ref().filter(|_| may)?;
        let (bench, loot) = (self.bench(), self.loot());
        let name = NAMES[usize::from(kind) % NAMES.len()];
        self.remark(format!("abuse: {name}"));
        self.abuses.retain(|abuse| !abuse.is_finished());
        self.abuses.push(self.jobs.spawn(async move {
            // An abuse that has not ended by then is stopped.
            let _ = timeout(Duration::from_millis(MOST_MS), misbehave(name, bench, loot)).await;
            Done::Finished
        }));
        Some(())
    }

    fn loot(&self) -> Loot {
        let (world, copy) = (self.world.borrow(), self.copy.borrow());
        let person = &world.people[self.plan.person];
        let me = copy.user.clone().unwrap_or_default();
        let own = copy.conversations.iter().map(|(id, known)| (id.clone(), known.heard_seq));
        let foreign = world.slots.values().filter(|id| !copy.conversations.contains_key(*id));
        let others = world.people.iter().filter_map(|person| person.user.clone()).filter(|user| *user != me);
        let others_message = copy.conversations.iter().find_map(|(id, known)| {
            Some((id.clone(), known.message_back(0, |message| message.sender != me)?))
        });
        Loot {
            password: person.has_password.then(|| (person.username.clone(), person.password.clone())),
            device_id: person.device_id.clone(),
            own: own.collect(),
            foreign: foreign.cloned().collect(),
            others: others.collect(),
            tokens: world.tokens.iter().filter(|(device, _)| *device != self.index).cloned().collect(),
            sent: world
                .sent
                .iter()
                .rev()
                .find(|(device, _)| *device != self.index)
                .map(|(_, sent)| sent.clone()),
            others_message,
            me,
        }
    }
}

/// The catalogue. A number of the plan counts through it again and again.
pub(super) const NAMES: [&str; 44] = [
    "random bytes",
    "a frame cut off",
    "a frame announced too long",
    "too many fragments",
    "an unknown opcode",
    "an unmasked frame",
    "reserved bits",
    "a continuation of nothing",
    "a control frame in fragments",
    "a close frame with an invalid code",
    "text that is not UTF-8",
    "the other encoding",
    "half open",
    "byte by byte",
    "no hello",
    "a request before hello",
    "hello twice",
    "hellos with wrong fields",
    "a token of nobody",
    "a cursor and a handover of nobody",
    "connections without end",
    "more connections than allowed",
    "unknown types",
    "ids of every type",
    "seqs of every kind",
    "fields of wrong types",
    "a bomb of nesting",
    "a bomb of lengths",
    "bodies too large",
    "malformed frames in a row",
    "a flood of sends",
    "a flood of every frame",
    "a flood of syncs of 200 ranges",
    "a flood of pings of the WebSocket",
    "never reading",
    "reading slowly",
    "conversations of others",
    "messages of others",
    "receipts beyond the end",
    "strangers",
    "a stolen token",
    "the token of another user as one's own",
    "a token after its end",
    "REST with everything wrong",
];

async fn misbehave(name: &str, bench: Bench, loot: Loot) -> Option<()> {
    match name {
        "random bytes"
        | "a frame cut off"
        | "a frame announced too long"
        | "too many fragments"
        | "an unknown opcode"
        | "an unmasked frame"
        | "reserved bits"
        | "a continuation of nothing"
        | "a control frame in fragments"
        | "a close frame with an invalid code"
        | "text that is not UTF-8"
        | "the other encoding"
        | "half open"
        | "byte by byte" => framing::misbehave(name, bench).await,
        "no hello"
        | "a request before hello"
        | "hello twice"
        | "hellos with wrong fields"
        | "a token of nobody"
        | "a cursor and a handover of nobody"
        | "connections without end"
        | "more connections than allowed" => entering::misbehave(name, bench).await,
        "unknown types"
        | "ids of every type"
        | "seqs of every kind"
        | "fields of wrong types"
        | "a bomb of nesting"
        | "a bomb of lengths"
        | "bodies too large"
        | "malformed frames in a row" => fields::misbehave(name, bench, loot).await,
        "a flood of sends"
        | "a flood of every frame"
        | "a flood of syncs of 200 ranges"
        | "a flood of pings of the WebSocket"
        | "never reading"
        | "reading slowly" => floods::misbehave(name, bench, loot).await,
        "REST with everything wrong" => rest::misbehave(bench, loot).await,
        _ => trespass::misbehave(name, bench, loot).await,
    }
}
