//! A server that is just enough of docs/PROTOCOL.md to try devices on: one log in memory, without rights,
//! with switches for what goes wrong.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::super::wire::{decode, encode, integer, items, owned, text};
use crate::dice::Dice;
use crate::edges::socket::{SimSocket, SocketOptions};
use crate::history::{History, What, Who};
use crate::net::{Broken, Call, Network, Upgraded};

/// The input of a session.
pub enum Push {
    Frame(Value),
    Close(u16),
    /// Nothing crosses the connection any more, and the device is not told.
    Vanish,
}

/// The log, and what is to go wrong.
#[derive(Default)]
pub struct Log {
    pub conversations: BTreeMap<String, Vec<Value>>,
    pub members: BTreeMap<String, BTreeSet<String>>,
    moved: BTreeMap<String, u64>,
    keys: BTreeMap<String, u64>,
    users: BTreeMap<String, String>,
    sessions: BTreeMap<u64, (String, mpsc::Sender<Push>)>,
    revision: u64,
    last: u64,
    /// The log is another one since so many times.
    pub epoch: u64,
    /// So many of the next sends are committed, and the connection breaks before the ack.
    pub lose_acks: u32,
    /// So many of the next live events are lost.
    pub lose_events: u32,
    /// So many of the next sends are neither committed nor answered.
    pub ignore_sends: u32,
    /// Answers to the next sends, instead of acks.
    pub refusals: Vec<Value>,
    /// These end with such a close code instead of a welcome.
    pub close_hellos: Vec<u16>,
    /// `hello` and `sync` frames, with their socket.
    pub heard: Vec<(u64, Value)>,
}

impl Log {
    fn id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn append(&mut self, conversation: &str, mut event: Value) -> u64 {
        let log = self.conversations.entry(conversation.to_owned()).or_default();
        let seq = log.len() as u64 + 1;
        event["seq"] = json!(seq);
        log.push(event.clone());
        self.revision += 1;
        self.moved.insert(conversation.to_owned(), self.revision);
        if self.lose_events > 0 {
            self.lose_events -= 1;
            return seq;
        }
        event["type"] = json!("event");
        event["conversation"] = json!(conversation);
        for (user, queue) in self.sessions.values() {
            if self.members[conversation].contains(user) {
                let _ = queue.try_send(Push::Frame(event.clone()));
            }
        }
        seq
    }

    /// A message of a user who has no device.
    pub fn say(&mut self, conversation: &str, sender: &str, body: &str) -> u64 {
        let message = json!({"kind": "message", "sender": sender, "message_id": body, "body": body});
        self.append(conversation, message)
    }

    /// Tells all sessions.
    pub fn tell(&self, push: impl Fn() -> Push) {
        self.sessions.values().for_each(|(_, queue)| drop(queue.try_send(push())));
    }

    /// A new conversation of these users and everybody who signed up.
    pub fn make(&mut self, id: &str, members: &[&str]) {
        let everybody = members.iter().map(|user| (*user).to_owned()).chain(self.users.values().cloned());
        let everybody = everybody.collect();
        self.members.insert(id.to_owned(), everybody);
        self.append(
            id,
            json!({"kind": "member_joined", "sender": "founder", "user": "founder", "role": "owner"}),
        );
    }

    fn head(&self, id: &str) -> Value {
        let last_seq = self.conversations[id].len();
        json!({"conversation": id, "kind": "group", "last_seq": last_seq, "read_seq": 0, "unread": 0, "first_seq": 1})
    }

    fn welcome(&self, hello: &Value, socket: u64) -> Value {
        let user = text(hello, "token").split('/').next().unwrap_or_default().to_owned();
        let cursor = owned(hello, "cursor").unwrap_or_default();
        let since = cursor
            .split_once(':')
            .and_then(|(epoch, since)| Some((epoch.parse().ok()?, since.parse().ok()?)));
        let (epoch, since): (u64, u64) = since.unwrap_or((self.epoch, 0));
        let reset = epoch != self.epoch;
        let moved = self.moved.iter().filter(|(_, at)| reset || **at > since).map(|(id, _)| id);
        let heads: Vec<_> = moved
            .map(|id| {
                if self.members[id].contains(&user) {
                    self.head(id)
                } else {
                    json!({"conversation": id, "kind": "group", "left": true})
                }
            })
            .collect();
        let mut welcome = json!({"type": "welcome", "session": format!("session {socket}"), "user": user,
            "heartbeat_ms": 25_000, "limits": {}, "heads": heads, "more_heads": false,
            "cursor": format!("{}:{}", self.epoch, self.revision), "token_expires_in_ms": 900_000});
        if reset {
            welcome["reset"] = json!(true);
        }
        welcome
    }

    fn send(&mut self, user: &str, frame: &Value) -> Option<Value> {
        if let Some(refusal) = self.refusals.pop() {
            let mut refusal = refusal;
            refusal["type"] = json!("error");
            return Some(refusal);
        }
        let (conversation, key) =
            (text(frame, "conversation").to_owned(), text(frame, "client_id").to_owned());
        if !self.members.get(&conversation).is_some_and(|members| members.contains(user)) {
            return Some(json!({"type": "error", "code": "not_found", "retryable": false, "definite": true}));
        }
        let known = self.keys.get(&key).copied();
        let seq = known.unwrap_or_else(|| {
            let mut message = json!({"kind": "message", "sender": user, "message_id": key, "client_id": key});
            message["body"] = frame["body"].clone();
            self.append(&conversation, message)
        });
        self.keys.insert(key.clone(), seq);
        if self.lose_acks > 0 {
            self.lose_acks -= 1;
            return None;
        }
        Some(json!({"type": "ack", "conversation": conversation, "seq": seq, "message_id": key,
            "duplicate": known.is_some()}))
    }

    /// The log loses its newest events, as in a failover.
    pub fn lose(&mut self, conversation: &str, events: usize) {
        let log = self.conversations.get_mut(conversation).expect("a conversation");
        log.truncate(log.len().saturating_sub(events));
        let kept: BTreeSet<_> = log.iter().filter_map(|event| owned(event, "client_id")).collect();
        self.keys.retain(|key, _| kept.contains(key));
        self.epoch += 1;
    }

    /// Answers to a frame; `None`: the connection breaks.
    fn answers(&mut self, user: &str, frame: &Value) -> Option<Vec<Value>> {
        let mut answers = match text(frame, "type") {
            "send" if self.ignore_sends > 0 => {
                self.ignore_sends -= 1;
                return Some(Vec::new());
            }
            "send" => vec![self.send(user, frame)?],
            "ping" => vec![json!({"type": "pong"})],
            "edit" | "delete" | "react" | "unreact" => {
                let conversation = text(frame, "conversation").to_owned();
                let mut event = frame.clone();
                event["kind"] = json!(if text(frame, "type") == "edit" { "edit" } else { "delete" });
                event["sender"] = json!(user);
                event["target_seq"] = frame["seq"].clone();
                if !self.conversations.contains_key(&conversation) {
                    return Some(vec![
                        json!({"type": "error", "id": frame["id"], "code": "not_found", "definite": true}),
                    ]);
                }
                let seq = self.append(&conversation, event);
                vec![json!({"type": "ack", "conversation": conversation, "seq": seq})]
            }
            "sync" => {
                let denied = |range: &Value| {
                    !self
                        .members
                        .get(text(range, "conversation"))
                        .is_some_and(|members| members.contains(user))
                };
                if items(frame, "ranges").iter().any(denied) {
                    vec![json!({"type": "error", "code": "not_member", "retryable": false, "definite": true})]
                } else {
                    self.ranges(items(frame, "ranges"))
                }
            }
            "delivered" | "typing" => return Some(Vec::new()),
            _ => vec![json!({"type": "ok"})],
        };
        answers.iter_mut().for_each(|answer| answer["id"] = frame["id"].clone());
        Some(answers)
    }

    /// At most three events of each range, so that clients must ask again.
    fn ranges(&self, ranges: &[Value]) -> Vec<Value> {
        let mut more = false;
        let mut answers = Vec::new();
        for range in ranges {
            let log = &self.conversations[text(range, "conversation")];
            let after = usize::try_from(integer(range, "after").unwrap_or_default()).unwrap_or(usize::MAX);
            let limit = integer(range, "limit").unwrap_or(1_000);
            let rest: Vec<_> =
                log.iter().skip(after).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
            more |= rest.len() > 3;
            let events: Vec<_> = rest.into_iter().take(3).collect();
            answers.push(json!({"type": "events", "conversation": range["conversation"], "events": events}));
        }
        answers.push(json!({"type": "synced", "more": more}));
        answers
    }
}

/// The fleet: one process.
pub struct Fake {
    pub log: Rc<RefCell<Log>>,
    pub history: History,
}

#[async_trait(?Send)]
impl Network for Fake {
    async fn connect(&self, _: usize, msgpack: bool, bearer: Option<String>) -> Result<Upgraded, Broken> {
        sleep(Duration::from_millis(5)).await;
        let options = SocketOptions { delay_ms: 5, piece_bytes: 100, capacity_bytes: 8_192 };
        let socket = self.history.next_id();
        let (device, process) = SimSocket::pair(options, Dice::new(socket, "socket"));
        spawn_local(serve(process, socket, msgpack, bearer, Rc::clone(&self.log)));
        Ok(Upgraded { stream: device, socket, process: 0 })
    }

    async fn call(&self, device: usize, call: Call) -> Result<(u16, Value), Broken> {
        let number = self.history.next_id();
        let called = What::Called {
            call: number,
            process: Some(0),
            method: call.method.to_owned(),
            path: call.path.clone(),
            body: call.body.clone().unwrap_or_default(),
            signed_in: call.token.is_some(),
            token: call.token.clone(),
        };
        self.history.note(Who::Device(device), called);
        sleep(Duration::from_millis(5)).await;
        let (status, body) = self.log.borrow_mut().call(&call);
        let answered = What::Answered { call: number, status: Some(status), body: body.clone() };
        self.history.note(Who::Device(device), answered);
        Ok((status, body))
    }
}

impl Log {
    fn call(&mut self, call: &Call) -> (u16, Value) {
        let body = call.body.clone().unwrap_or_default();
        let user =
            call.token.as_deref().and_then(|token| token.split('/').next()).unwrap_or_default().to_owned();
        let parts: Vec<_> = call.path.split(['/', '?']).skip(2).collect();
        match (call.method, parts.as_slice()) {
            ("POST", ["accounts" | "tokens" | "accounts", rest @ ..]) if rest != ["refresh"] => {
                let name = owned(&body, "username").or(owned(&body, "device_id")).unwrap_or_default();
                let next = format!("user {}", self.users.len());
                let user = self.users.entry(name).or_insert(next).clone();
                (201, self.tokens(&user))
            }
            ("POST", ["tokens", "refresh"]) => {
                let user = text(&body, "refresh_token").split('/').next().unwrap_or_default().to_owned();
                (200, self.tokens(&user))
            }
            ("GET", ["conversations", rest @ ..]) if rest.first().is_none_or(|rest| rest.contains('=')) => {
                let mine = self.members.iter().filter(|(_, members)| members.contains(&user));
                (200, json!({"conversations": mine.map(|(id, _)| self.head(id)).collect::<Vec<_>>()}))
            }
            ("GET", ["conversations", id, "events", query]) => {
                let after = query.split(['=', '&']).nth(1).and_then(|after| after.parse::<usize>().ok());
                let log = self.conversations.get(*id).cloned().unwrap_or_default();
                let rest = log.len().saturating_sub(after.unwrap_or_default());
                let events: Vec<_> = log.into_iter().skip(after.unwrap_or_default()).take(3).collect();
                (200, json!({"events": events, "more": rest > 3}))
            }
            ("GET", ["conversations", id]) if self.conversations.contains_key(*id) => (200, self.head(id)),
            ("POST", ["conversations", id, "messages"]) => {
                let mut frame = body;
                frame["conversation"] = json!(id);
                frame["client_id"] = json!(call.key);
                match self.send(&user, &frame) {
                    Some(answer) if text(&answer, "type") == "ack" => (201, answer),
                    Some(answer) => (404, answer),
                    None => (503, json!({"code": "unavailable", "retryable": true, "definite": false})),
                }
            }
            ("DELETE", ["me"]) => {
                let sessions = self.sessions.values().filter(|(whose, _)| *whose == user);
                sessions.for_each(|(_, queue)| drop(queue.try_send(Push::Close(4403))));
                (202, json!(null))
            }
            ("DELETE", ["tokens", ..]) => {
                let sessions = self.sessions.values().filter(|(whose, _)| *whose == user);
                sessions.for_each(|(_, queue)| drop(queue.try_send(Push::Close(4401))));
                (204, json!(null))
            }
            _ => (404, json!({"code": "not_found", "retryable": false, "definite": true})),
        }
    }

    fn tokens(&mut self, user: &str) -> Value {
        let number = self.id();
        json!({"user": {"id": user}, "access_token": format!("{user}/{number}"), "expires_in": 900,
            "refresh_token": format!("{user}/r{number}")})
    }
}

async fn serve(stream: SimSocket, socket: u64, msgpack: bool, bearer: Option<String>, log: Rc<RefCell<Log>>) {
    let mut socket_stream = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (queue, mut pushes) = mpsc::channel(256);
    let mut user = String::new();
    loop {
        tokio::select! {
            biased;
            message = socket_stream.next() => {
                let Some(Ok(message)) = message else { break };
                let Some(mut frame) = decode(&message, msgpack) else { continue };
                let kind = text(&frame, "type").to_owned();
                if kind == "hello" || kind == "sync" {
                    log.borrow_mut().heard.push((socket, frame.clone()));
                }
                if kind == "hello" && user.is_empty() {
                    if frame["token"].is_null() {
                        frame["token"] = json!(bearer);
                    }
                    let close = log.borrow_mut().close_hellos.pop();
                    let welcome = log.borrow().welcome(&frame, socket);
                    user = text(&welcome, "user").to_owned();
                    let push = close.map_or(Push::Frame(welcome), Push::Close);
                    let _ = queue.try_send(push);
                    log.borrow_mut().sessions.insert(socket, (user.clone(), queue.clone()));
                    continue;
                }
                let answers = log.borrow_mut().answers(&user, &frame);
                let Some(answers) = answers else { break };
                for answer in answers {
                    if socket_stream.send(encode(&answer, msgpack)).await.is_err() {
                        break;
                    }
                }
            }
            Some(push) = pushes.recv() => match push {
                Push::Frame(frame) => {
                    if socket_stream.send(encode(&frame, msgpack)).await.is_err() {
                        break;
                    }
                }
                Push::Vanish => socket_stream.get_ref().wire().vanish(),
                Push::Close(code) => {
                    let close = CloseFrame { code: code.into(), reason: "".into() };
                    let _ = socket_stream.send(Message::Close(Some(close))).await;
                }
            }
        }
    }
    log.borrow_mut().sessions.remove(&socket);
}
