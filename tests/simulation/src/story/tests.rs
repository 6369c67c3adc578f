//! A story as it is told: what is here is what a reader of a failing run sees.

use serde_json::json;

use super::tell;
use crate::checker::{Promise, Violation};
use crate::history::{Entry, What, Who};
use crate::plan::{Behaviour, DevicePlan, Plan, ProcessPlan};

const ADA: Who = Who::Device(0);
const BEN: Who = Who::Device(1);

fn plan() -> Plan {
    let mut plan = crate::generate::plan(7);
    let device = |person, behaviour| DevicePlan { person, behaviour, msgpack: false, begins_ms: 0 };
    plan.devices = vec![device(0, Behaviour::Correct), device(1, Behaviour::Rest)];
    plan.processes =
        vec![ProcessPlan { roles: "gateway,api,relay".to_owned(), workers: 1, clock_off_ms: 0, envelope: 2 }];
    plan.people = 2;
    plan
}

fn entries() -> Vec<Entry> {
    let frame = |who, sent: bool, frame| {
        (who, if sent { What::Sent { socket: 3, frame } } else { What::Received { socket: 3, frame } })
    };
    let called = |call, method: &str, path: &str, body| What::Called {
        call,
        process: Some(0),
        method: method.to_owned(),
        path: path.to_owned(),
        body,
        signed_in: true,
        token: None,
    };
    let head = json!({"conversation": "g_1", "last_seq": 2, "read_seq": 2, "unread": 0});
    let happened = [
        (Who::World, What::Noted { text: "process 0 serves".to_owned() }),
        (BEN, called(1, "POST", "/v1/tokens", json!({"username": "ben"}))),
        (
            BEN,
            What::Answered {
                call: 1,
                status: Some(200),
                body: json!({"user": {"id": "u_2"}, "access_token": "secret"}),
            },
        ),
        (ADA, What::Opened { socket: 3, process: 0 }),
        frame(ADA, true, json!({"type": "hello", "token": "secret", "cursor": "c"})),
        frame(ADA, false, json!({"type": "welcome", "user": "u_1", "cursor": "d", "heads": [head]})),
        frame(ADA, true, json!({"type": "ping"})),
        (Who::World, What::Noted { text: "BusAway { ms: 500 }".to_owned() }),
        frame(
            ADA,
            true,
            json!({"type": "send", "id": 1, "conversation": "g_1", "client_id": "12345678-9", "body": "a text that is too long"}),
        ),
        frame(
            ADA,
            false,
            json!({"type": "ack", "id": 1, "conversation": "g_1", "seq": 3, "duplicate": false}),
        ),
        frame(
            ADA,
            false,
            json!({"type": "event", "conversation": "g_1", "seq": 4, "kind": "member_left", "sender": "u_1", "user": "u_2", "reason": "left"}),
        ),
        (BEN, called(2, "GET", "/v1/conversations/g_1/messages?limit=2", json!(null))),
        (
            BEN,
            What::Answered {
                call: 2,
                status: Some(200),
                body: json!({"messages": [{"seq": 3}], "more": true}),
            },
        ),
        (ADA, What::Closed { socket: 3, code: None }),
        (Who::World, What::Noted { text: "the calm begins".to_owned() }),
    ];
    let timed = happened.into_iter().zip(1_u64..);
    timed.map(|((who, what), at)| Entry { at_ms: at * 500, who, what }).collect()
}

#[test]
fn a_story_names_people_and_places_and_hides_secrets() {
    let violation = Violation {
        promise: Promise("P7"),
        text: "device 1 of u_2 was shown event 3 of g_1".to_owned(),
        entries: vec![10, 12],
        conversation: Some("g_1".to_owned()),
    };
    let told = tell(&plan(), &entries(), &violation);
    let expected = "\
Seed 7: P7 is broken.
Promised: nothing is shown to those who may not see it.
Seen: device 1 of Ben was shown event 3 of group 1.

  process 0: gateway,api,relay
  device 0: Ada's, a correct client
  device 1: Ben's, REST only

   1.   0.500 s  -- process 0 serves
   2.   2.000 s  Ada's device 0 opens connection 3 to process 0
   3.   2.500 s  Ada's device 0 on 3 > hello with a cursor
   4.   3.000 s  Ada's device 0 on 3 < welcome: group 1 up to 2 (read 2, unread 0)
   5.   4.000 s  -- BusAway { ms: 500 }
   6.   4.500 s  Ada's device 0 on 3 > send \"a text that is too l…\" to group 1, key 12345678 (request 1)
   7.   5.000 s  Ada's device 0 on 3 < ack: 3 of group 1 (request 1)
   8.   5.500 s  Ada's device 0 on 3 < event 4 of group 1: Ben left (left) <--
   9.   6.000 s  Ben's device 1 calls process 0 (2): GET /v1/conversations/group 1/messages?limit=2
  10.   6.500 s  Ben's device 1 is answered (2): 200 messages 3, there is more <--

Promised: nothing is shown to those who may not see it.
Seen: device 1 of Ben was shown event 3 of group 1.
";
    assert_eq!(told, expected, "{told}");
}

#[test]
fn a_violation_about_nothing_in_particular_tells_everything() {
    let violation = Violation {
        promise: Promise("P11"),
        text: "a text".to_owned(),
        entries: Vec::new(),
        conversation: None,
    };
    let told = tell(&plan(), &entries(), &violation);
    assert!(told.contains("calls process 0 (1): POST /v1/tokens {\"username\":\"ben\"}"), "{told}");
    assert!(told.contains("is answered (1): 200 tokens of Ben"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}
