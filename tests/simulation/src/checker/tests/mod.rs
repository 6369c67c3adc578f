//! Histories made by hand: each check fails when it must, and does not where the contract allows either.
//!
//! [`Scene`]: Ada and Ben are connected and in a group; what a test adds happens at the time that it names.

mod acks;
mod calm;
mod copies;
mod delivery;
mod gone;
mod reads;
mod rights;
mod signals;
mod suspensions;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::log::{Logged, Membership};
use super::{FinalLog, check};
use crate::clients::copy::Copy;
use crate::history::{Entry, What, Who};
use crate::plan::{Act, Behaviour, DevicePlan, Fault, Operation, Plan, ProcessPlan, Step, Weather};

/// Two users, their group, and their connections.
const ADA: &str = "u_ada";
const BEN: &str = "u_ben";
const GROUP: &str = "g_1";
const ADAS: u64 = 1;
const BENS: u64 = 2;
/// A key.
const KEY: &str = "00000000-0000-4000-8000-000000000001";

struct Scene {
    plan: Plan,
    entries: Vec<Entry>,
    log: FinalLog,
    copies: BTreeMap<usize, Copy>,
    now_ms: u64,
    calls: u64,
}

impl Scene {
    /// Both are connected at 1 s. The calm begins at 40 s, the run ends at 60 s.
    fn new() -> Self {
        let device =
            |person| DevicePlan { person, behaviour: Behaviour::Correct, msgpack: false, begins_ms: 0 };
        let weather = Weather {
            bus_loss: 0,
            bus_delay_ms: 0,
            subscribe_delay_ms: 0,
            log_delay_ms: 0,
            log_failures: 0,
            log_lost_answers: 0,
            replica_lag_ms: 0,
            socket_delay_ms: 0,
            socket_bytes: 4_096,
            socket_piece_bytes: 1_460,
        };
        let process =
            ProcessPlan { roles: "gateway,api,relay".to_owned(), workers: 1, clock_off_ms: 0, envelope: 2 };
        let plan = Plan {
            seed: 1,
            active_ms: 40_000,
            calm_ms: 20_000,
            processes: vec![process],
            replicas: 0,
            tail_from_replica: false,
            settings: Vec::new(),
            bounds: Vec::new(),
            weather,
            people: 2,
            devices: vec![device(0), device(1)],
            steps: Vec::new(),
        };
        let mut scene = Self {
            plan,
            entries: Vec::new(),
            log: FinalLog::default(),
            copies: BTreeMap::new(),
            now_ms: 0,
            calls: 0,
        };
        scene.world("process 0 starts");
        scene.world("process 0 serves");
        scene.joins(1, ADA, "owner");
        scene.joins(2, BEN, "member");
        scene.at(1_000).connects(0, ADAS, ADA).connects(1, BENS, BEN);
        scene
    }

    /// What follows happens then.
    fn at(&mut self, ms: u64) -> &mut Self {
        self.now_ms = ms;
        self
    }

    fn note(&mut self, who: Who, what: What) -> &mut Self {
        self.entries.push(Entry { at_ms: self.now_ms, who, what });
        self
    }

    fn world(&mut self, text: &str) -> &mut Self {
        self.note(Who::World, What::Noted { text: text.to_owned() })
    }

    fn fault(&mut self, fault: Fault) -> &mut Self {
        self.world(&format!("{fault:?}"));
        self.plan.steps.push(Step { at_ms: self.now_ms, act: Act::Fault(fault) });
        self
    }

    fn does(&mut self, device: usize, operation: Operation) -> &mut Self {
        self.plan.steps.push(Step { at_ms: self.now_ms, act: Act::Device { device, operation } });
        self
    }

    /// A device connects and is welcomed with the head of the group.
    fn connects(&mut self, device: usize, socket: u64, user: &str) -> &mut Self {
        let last_seq = self.last(GROUP);
        self.opens(device, socket, user);
        let head = json!({"conversation": GROUP, "kind": "group", "last_seq": last_seq, "read_seq": last_seq, "unread": 0, "first_seq": 1});
        self.received(
            socket,
            json!({"type": "welcome", "user": user, "cursor": "c", "more_heads": false, "heads": [head],
            "limits": {"watch_users": 2}}),
        )
    }

    /// A device opens a connection and says hello.
    fn opens(&mut self, device: usize, socket: u64, user: &str) -> &mut Self {
        self.note(Who::Device(device), What::Opened { socket, process: 0 });
        self.sent(socket, json!({"type": "hello", "token": token(user, "f1")}))
    }

    fn closed(&mut self, socket: u64, code: Option<u16>) -> &mut Self {
        self.note(owner(socket), What::Closed { socket, code })
    }

    fn sent(&mut self, socket: u64, frame: Value) -> &mut Self {
        self.note(owner(socket), What::Sent { socket, frame })
    }

    fn received(&mut self, socket: u64, frame: Value) -> &mut Self {
        self.note(owner(socket), What::Received { socket, frame })
    }

    /// A call of a device with a token of its user, and its answer.
    fn calls(
        &mut self,
        device: usize,
        user: &str,
        method: &str,
        path: &str,
        status: u16,
        answer: Value,
    ) -> &mut Self {
        self.calls_with(device, Some(token(user, "f1")), (method, path, Value::Null), status, answer)
    }

    fn calls_with(
        &mut self,
        device: usize,
        token: Option<String>,
        (method, path, asked): (&str, &str, Value),
        status: u16,
        answer: Value,
    ) -> &mut Self {
        self.calls += 1;
        let (call, signed_in) = (self.calls, token.is_some());
        let (method, path) = (method.to_owned(), path.to_owned());
        let called = What::Called { call, process: Some(0), method, path, body: asked, signed_in, token };
        self.note(Who::Device(device), called);
        self.note(Who::Device(device), What::Answered { call, status: Some(status), body: answer })
    }

    /// An event of the log.
    fn logged(&mut self, event: Logged) -> &mut Self {
        let of_conversation = self.log.events.entry(event.conversation.clone()).or_default();
        self.log.last.insert(event.conversation.clone(), event.seq);
        of_conversation.insert(event.seq, event);
        self
    }

    fn last(&self, conversation: &str) -> u64 {
        self.log.last.get(conversation).copied().unwrap_or(0)
    }

    fn joins(&mut self, seq: u64, user: &str, role: &str) -> &mut Self {
        let members = self.log.members.entry(GROUP.to_owned()).or_default();
        let membership = Membership { joined_seq: seq, delivered_seq: seq, read_seq: seq, first_seq: 1 };
        members.insert(user.to_owned(), membership);
        self.logged(Logged {
            fields: json!({"user": user, "role": role}),
            ..event(seq, "member_joined", ADA)
        })
    }

    fn leaves(&mut self, seq: u64, user: &str) -> &mut Self {
        self.log.members.entry(GROUP.to_owned()).or_default().remove(user);
        self.logged(Logged {
            fields: json!({"user": user, "reason": "removed"}),
            ..event(seq, "member_left", ADA)
        })
    }

    /// A message of Ada in the log.
    fn says(&mut self, seq: u64, body: &str) -> &mut Self {
        self.log
            .members
            .get_mut(GROUP)
            .and_then(|members| members.get_mut(ADA))
            .expect("a member")
            .read_seq = seq;
        self.logged(message(seq, body))
    }

    /// Ada sends a message that is in the log, and is acknowledged and pushed it.
    fn sends(&mut self, seq: u64, body: &str) -> &mut Self {
        self.says(seq, body);
        let key = key(seq);
        self.sent(
            ADAS,
            json!({"type": "send", "id": seq, "conversation": GROUP, "client_id": key, "body": body}),
        );
        self.received(ADAS, ack(seq, seq));
        self.pushed(ADAS, seq, body)
    }

    /// A message of Ada is pushed.
    fn pushed(&mut self, socket: u64, seq: u64, body: &str) -> &mut Self {
        self.received(
            socket,
            json!({"type": "event", "conversation": GROUP, "seq": seq, "kind": "message", "sender": ADA,
            "message_id": format!("m_{seq}"), "body": body}),
        )
    }

    /// The promises that are broken, each with what was seen.
    fn broken(&self) -> Vec<(&'static str, String)> {
        let mut entries = self.entries.clone();
        entries.push(Entry {
            at_ms: 40_000,
            who: Who::World,
            what: What::Noted { text: "the calm begins".to_owned() },
        });
        entries.sort_by_key(|entry| entry.at_ms);
        let verdict = check(&self.plan, &entries, &self.log, &self.copies);
        verdict.violations.into_iter().map(|one| (one.promise.0, one.text)).collect()
    }

    /// Nothing is broken.
    #[track_caller]
    fn holds(&self) {
        assert_eq!(self.broken(), Vec::new());
    }

    /// A promise is broken, and no other one; the text has these words.
    #[track_caller]
    fn breaks(&self, promise: &str, words: &str) {
        let broken = self.broken();
        assert!(!broken.is_empty(), "nothing is broken");
        assert!(broken.iter().all(|(one, _)| *one == promise), "{broken:?}");
        assert!(broken.iter().any(|(_, text)| text.contains(words)), "{broken:?}");
    }
}

/// Whose connection it is: odd ones are Ada's.
fn owner(socket: u64) -> Who {
    Who::Device(if socket % 2 == 1 { 0 } else { 1 })
}

fn key(seq: u64) -> String {
    format!("00000000-0000-4000-8000-{seq:012}")
}

fn event(seq: u64, kind: &str, sender: &str) -> Logged {
    Logged {
        conversation: GROUP.to_owned(),
        seq,
        kind: kind.to_owned(),
        sender: sender.to_owned(),
        ..Logged::default()
    }
}

fn message(seq: u64, body: &str) -> Logged {
    Logged {
        client_id: Some(key(seq)),
        message_id: Some(format!("m_{seq}")),
        body: Some(body.to_owned()),
        has_content: true,
        fields: json!({"edited": false}),
        ..event(seq, "message", ADA)
    }
}

fn ack(id: u64, seq: u64) -> Value {
    json!({"type": "ack", "id": id, "conversation": GROUP, "seq": seq, "message_id": format!("m_{seq}"), "duplicate": false})
}

fn error(id: u64, code: &str, definite: bool) -> Value {
    json!({"type": "error", "id": id, "code": code, "message": code, "retryable": true, "definite": definite})
}

/// An access token that says what the checker reads.
fn token(user: &str, family: &str) -> String {
    let claims = json!({"sub": user, "fam": family, "iat_ms": 0});
    format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[test]
fn a_quiet_run_breaks_nothing() {
    let mut scene = Scene::new();
    scene.holds();
    scene.at(10_000).sends(3, "hello").pushed(BENS, 3, "hello").holds();
}
