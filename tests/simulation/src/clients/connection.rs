//! Which connections a device has: the one it uses, one that greets, and old ones that end. It comes back
//! after the end of one as its close code says.

use serde_json::{Value, json};

mod ending;

use super::account::SignIn;
use super::device::Device;
use super::jobs::Done;
use super::link::Link;
use super::requests::Asked;
use crate::net::{Broken, Upgraded};
use crate::plan::Behaviour;

/// A connection without a welcome for so long is given up.
const GREETING_MS: u64 = 15_000;
/// A close frame without an answer for so long is enough.
const CLOSING_MS: u64 = 5_000;
/// While a person looks at the device, it asks after so much silence whether the connection lives.
const SILENCE_MS: u64 = 5_000;
/// When nothing comes for so long after that, the connection is given up.
const PONG_MS: u64 = 7_000;
/// After a close for abuse.
const ABUSE_MS: u64 = 60_000;
/// Positions that a hello names.
const MOST_POSITIONS: usize = 50;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// `hello` was sent then.
    Greeting(u64),
    /// `welcome` has come.
    Live,
    /// The device sent a close frame then.
    Closing(u64),
}

/// A connection and what the device knows of it.
pub(super) struct Attached {
    pub link: Link,
    pub stage: Stage,
    pub session: String,
    pub heartbeat_ms: u64,
    pub heard_at: u64,
    /// `retry_after_ms` of an error that answers no request.
    pub told_to_wait_ms: Option<u64>,
    /// The server said that an operator keeps the account out.
    pub suspended: bool,
    reading_since: u64,
    paused_until: Option<u64>,
    /// When the device asked whether the connection lives; nothing has come since then.
    pub pinged_at: Option<u64>,
}

/// The connections of a device.
#[derive(Default)]
pub(super) struct Connection {
    attached: Vec<Attached>,
    main: Option<u64>,
    opening: bool,
    bearer: bool,
    connect_at: u64,
    failures: u32,
    /// When to open the connection that replaces this one, and the session to take over.
    moving: Option<(u64, Option<String>)>,
    /// The server asked for a wait until then, after abuse.
    banished_until: u64,
    buried: Vec<Link>,
}

impl Connection {
    /// The connection that the device uses.
    pub fn main(&self) -> Option<u64> {
        self.main
    }

    /// Whether there is a connection with a welcome, and no other one is to replace it.
    pub fn is_live(&self) -> bool {
        self.main.is_some() && self.moving.is_none() && self.attached.len() == 1
    }

    /// The connection of a socket.
    pub fn get(&mut self, socket: u64) -> Option<&mut Attached> {
        self.attached.iter_mut().find(|attached| attached.link.socket == socket)
    }

    /// The sockets of all connections.
    pub fn sockets(&self) -> Vec<u64> {
        self.attached.iter().map(|attached| attached.link.socket).collect()
    }

    /// Gives a frame to a connection; false when it has no room or is gone.
    pub fn send(&mut self, socket: u64, frame: Value) -> bool {
        self.get(socket).is_some_and(|attached| attached.link.send(frame))
    }

    /// Whether the connection in use takes another frame.
    pub fn has_room(&mut self) -> bool {
        self.main.is_some_and(|main| self.get(main).is_some_and(|attached| attached.link.has_room()))
    }

    /// Whether anything came over a socket since then.
    pub fn heard_of(&mut self, socket: u64, since: u64) -> bool {
        self.get(socket).is_some_and(|attached| attached.heard_at >= since)
    }

    /// Since when the device reads from a socket without a pause; `None` in a pause.
    pub fn reading_since(&mut self, socket: u64) -> Option<u64> {
        self.get(socket)
            .filter(|attached| attached.paused_until.is_none())
            .map(|attached| attached.reading_since)
    }

    fn has_greeting(&self) -> bool {
        self.attached.iter().any(|attached| matches!(attached.stage, Stage::Greeting(_)))
    }
}

impl Device {
    /// Does what is due for the connections.
    pub(super) fn advance_connection(&mut self) {
        for socket in self.connection.sockets() {
            self.watch_over(socket);
        }
        if self.account.state != SignIn::Done
            || self.connection.opening
            || self.connection.has_greeting()
            || self.copy.borrow().stopped.is_some()
        {
            return;
        }
        let at = match (&self.connection.moving, self.connection.main) {
            (Some((at, _)), _) => *at,
            (None, None) => self.connection.connect_at,
            (None, Some(_)) => return,
        };
        if !self.is_due(at) {
            return;
        }
        if self.account.ends_at <= self.now || self.account.access.is_none() {
            self.renew_soon();
            return self.advance_account();
        }
        self.connection.opening = true;
        self.connection.bearer = self.dice.chance(300);
        let bearer = self.account.access.clone().filter(|_| self.connection.bearer);
        let (network, index, msgpack) = (self.network.clone(), self.index, self.plan.msgpack);
        self.jobs.spawn(async move {
            let opened = network.connect(index, msgpack, bearer);
            let limit = std::time::Duration::from_millis(GREETING_MS);
            Done::Connected(tokio::time::timeout(limit, opened).await.unwrap_or(Err(Broken)))
        });
    }

    /// Looks after the deadlines of one connection.
    fn watch_over(&mut self, socket: u64) {
        let Some(attached) = self.connection.get(socket) else { return };
        if let Some(until) = attached.paused_until {
            if until > self.now {
                self.is_due(until);
                return;
            }
            attached.link.pause(false);
            attached.paused_until = None;
            attached.reading_since = self.now;
            attached.heard_at = self.now;
            attached.pinged_at = None;
        }
        // Nobody looks at every other device until the calm.
        let silence_ms =
            if self.calm || self.index.is_multiple_of(2) { SILENCE_MS } else { attached.heartbeat_ms };
        let (stage, ping_at, pinged_at) =
            (attached.stage, attached.heard_at + silence_ms, attached.pinged_at);
        match stage {
            Stage::Greeting(since) if self.is_due(since + GREETING_MS) => self.abandon(socket),
            Stage::Closing(since) if self.is_due(since + CLOSING_MS) => self.abandon(socket),
            Stage::Live => match pinged_at {
                Some(since) if self.is_due(since + PONG_MS) => {
                    self.remark(format!("nothing came over socket {socket} for too long"));
                    self.abandon(socket);
                }
                None if self.is_due(ping_at) => {
                    let now = self.now;
                    if let Some(attached) = self.connection.get(socket) {
                        attached.pinged_at = Some(now);
                    }
                    self.is_due(self.now + PONG_MS);
                    self.request(socket, Asked::Ping, |id| json!({"type": "ping", "id": id}));
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A connection was opened, or not.
    pub(super) fn connected(&mut self, result: Result<Upgraded, Broken>) {
        self.connection.opening = false;
        let Ok(upgraded) = result else {
            self.connection.failures += 1;
            return self.come_back_after(None);
        };
        let (inbox, msgpack) = (self.inbox.clone(), self.plan.msgpack);
        let link = Link::begin(upgraded, self.index, msgpack, &self.history, inbox);
        link.send(self.hello());
        self.connection.attached.push(Attached {
            link,
            stage: Stage::Greeting(self.now),
            session: String::new(),
            heartbeat_ms: 25_000,
            heard_at: self.now,
            told_to_wait_ms: None,
            suspended: false,
            reading_since: self.now,
            paused_until: None,
            pinged_at: None,
        });
    }

    fn hello(&mut self) -> Value {
        let mut hello = json!({"type": "hello", "device": format!("device {}", self.index)});
        if !self.connection.bearer {
            hello["token"] = json!(self.account.access);
        }
        if self.plan.behaviour != Behaviour::Lazy {
            if let Some(cursor) = &self.resume.cursor {
                hello["cursor"] = json!(cursor);
            }
            if self.dice.chance(300) {
                let copy = self.copy.borrow();
                let known = copy.conversations.iter().filter(|(_, known)| known.position > 0);
                let known = known.map(|(id, known)| (id, known.position));
                // One that was left long ago may still be open on the screen.
                let left =
                    self.resume.gone.iter().map(|(id, last)| (id, *last)).filter(|(_, last)| *last > 0);
                let positions = known.chain(left.take(1)).take(MOST_POSITIONS);
                let positions = positions.map(|(id, position)| (id.clone(), json!(position)));
                hello["positions"] = Value::Object(positions.collect());
            }
        }
        if let Some((_, Some(session))) = &self.connection.moving {
            hello["handover"] = json!(session);
        }
        hello
    }

    /// The welcome of a connection: from now on it is the one to use, and the one before it ends.
    pub(super) fn use_connection(&mut self, socket: u64, welcome: &Value) {
        self.connection.failures = 0;
        self.connection.moving = None;
        self.copy.borrow_mut().banished = false;
        let before = self.connection.main.replace(socket);
        if let Some(attached) = self.connection.get(socket) {
            attached.stage = Stage::Live;
            attached.session = super::wire::text(welcome, "session").to_owned();
            attached.heartbeat_ms =
                super::wire::integer(welcome, "heartbeat_ms").unwrap_or(25_000).max(1_000);
        }
        if let Some(before) = before.filter(|before| *before != socket) {
            self.close(before);
        }
    }

    /// Ends a connection with a close frame.
    pub(super) fn close(&mut self, socket: u64) {
        self.requests_ended(socket);
        if self.connection.main == Some(socket) {
            self.connection.main = None;
        }
        let now = self.now;
        if let Some(attached) = self.connection.get(socket) {
            attached.link.pause(false);
            attached.paused_until = None;
            attached.stage = Stage::Closing(now);
            attached.link.close(1000);
        }
    }

    /// Cuts a connection, and comes back.
    pub(super) fn abandon(&mut self, socket: u64) {
        drop(self.detach(socket));
        self.connection.failures += 1;
        if self.connection.main.is_none() {
            self.come_back_after(None);
        }
    }

    fn detach(&mut self, socket: u64) -> Option<Attached> {
        self.requests_ended(socket);
        if self.connection.main == Some(socket) {
            self.connection.main = None;
        }
        let index = self.connection.attached.iter().position(|attached| attached.link.socket == socket)?;
        Some(self.connection.attached.remove(index))
    }

    /// A connection ended with a code, or broke.
    pub(super) fn closed(&mut self, socket: u64, code: Option<u16>) {
        let was_main = self.connection.main == Some(socket);
        let Some(attached) = self.detach(socket) else { return };
        let greeting = matches!(attached.stage, Stage::Greeting(_));
        if !was_main && !greeting {
            return;
        }
        self.connection.failures += 1;
        match code {
            Some(1012) => {
                let told = self.connection.moving.as_ref().map(|(at, _)| at.saturating_sub(self.now));
                self.come_back_after(told);
            }
            Some(1013) => self.come_back_after(attached.told_to_wait_ms),
            Some(4401) => {
                self.account.ends_at = self.now;
                self.renew_soon();
                self.come_back_after(None);
            }
            Some(4403) if attached.suspended => self.come_back_after(attached.told_to_wait_ms),
            Some(4403) => self.erased(),
            Some(4429) => {
                self.come_back_after(Some(ABUSE_MS));
                self.connection.banished_until = self.now + ABUSE_MS;
                self.copy.borrow_mut().banished = true;
            }
            Some(code @ (1000 | 1002 | 1003 | 1007 | 1009 | 4400)) => {
                self.remark(format!("socket {socket} ended with {code}: a client does not come back"));
                self.copy.borrow_mut().stopped = Some(code);
            }
            _ => self.come_back_after(attached.told_to_wait_ms),
        }
    }

    /// Connects again after a wait that the server asked for, or after a while.
    fn come_back_after(&mut self, asked: Option<u64>) {
        let wait = self.backoff(self.connection.failures, asked);
        self.connection.connect_at = self.now + wait;
        if self.connection.main.is_none() {
            self.connection.moving = None;
        } else if let Some((at, _)) = &mut self.connection.moving {
            // The old connection stays until the new one's welcome.
            *at = self.now + wait;
        }
    }

    /// The server asks to open another connection.
    pub(super) fn move_on(&mut self, socket: u64, after_ms: u64, handover: bool) {
        if self.connection.main == Some(socket) && self.connection.moving.is_none() {
            let session = self.connection.get(socket).map(|attached| attached.session.clone());
            self.connection.moving = Some((self.now + after_ms, session.filter(|_| handover)));
        }
    }

    /// Gives the access token to the connection in use.
    pub(super) fn authorize(&mut self) {
        if let (Some(main), Some(token)) = (self.connection.main, self.account.access.clone()) {
            self.request(main, Asked::Auth, |id| json!({"type": "auth", "id": id, "token": token}));
        }
    }
}
