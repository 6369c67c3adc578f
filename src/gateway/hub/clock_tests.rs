//! An hour of a node under tokio's paused clock: every actor runs on the test's thread, and all waits take no
//! real time.
//!
//! The streams are in memory, the log is SQLite, and the test plays the other nodes: it sends digests as a
//! relay does, and commits messages that this node gets no notice of.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use smallvec::smallvec;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::tests::{CLOSE, Client, PING, PONG, TEXT, World, bounds};
use crate::actors::follower::{Follower, NOTICES};
use crate::bus::health::BusHealth;
use crate::bus::{BusMessage, Digest, Listener, Payload};
use crate::domain::{ClientId, Committed, Content, Topic, UserId};
use crate::environment::paused::PausedEnvironment;
use crate::environment::{Environment, SystemEnvironment};
use crate::protocol::Close;
use crate::store::{Cursor, NewMessage, Target};

const HOUR: Duration = Duration::from_secs(3_600);
/// How often a relay sends digests; the follower reads the log itself when none came for 1.5 s.
const DIGEST_EVERY: Duration = Duration::from_secs(1);

type Paused = World<PausedEnvironment>;

/// The frames that a client received in the hour.
#[derive(Default)]
struct Seen {
    pings: u32,
    renewals: u32,
    seqs: Vec<u64>,
}

/// Answers pings, renews the token whenever the server warns, and notes events.
async fn live(client: &mut Client, world: &Paused, device: &str) -> Seen {
    let mut seen = Seen::default();
    let hour = tokio::time::sleep(HOUR);
    tokio::pin!(hour);
    loop {
        let (opcode, payload) = tokio::select! {
            () = &mut hour => return seen,
            frame = client.next_frame() => frame.expect("the connection stays open"),
        };
        match opcode {
            PING => {
                seen.pings += 1;
                client.send(PONG, b"").await;
            }
            TEXT => {
                let message: Value = serde_json::from_slice(&payload).expect("JSON");
                match message["type"].as_str() {
                    Some("token_expiring") => {
                        let (_, token) = world.guest(device).await;
                        client.say(&json!({ "type": "auth", "id": 1, "token": token }).to_string()).await;
                    }
                    Some("ok") => seen.renewals += 1,
                    Some("event") => seen.seqs.push(message["seq"].as_u64().expect("a seq")),
                    _ => {}
                }
            }
            other => panic!("the frame {other} was not expected: {payload:?}"),
        }
    }
}

/// The code with which the server closes a client that says nothing, and after how many seconds.
async fn closed(mut client: Client, world: &Paused) -> (u16, u64) {
    let began_ms = world.environment.monotonic_ms();
    loop {
        if let (CLOSE, payload) = client.next_frame().await.expect("a close frame comes before the end") {
            let after_s = (world.environment.monotonic_ms() - began_ms) / 1_000;
            return (u16::from_be_bytes([payload[0], payload[1]]), after_s);
        }
    }
}

/// Another process commits a message to the log, and this node gets no notice.
async fn committed_elsewhere(world: &Paused, n: u128, sender: UserId, to: UserId) -> Committed {
    let message = NewMessage {
        sender,
        target: Target::User(to),
        client_id: ClientId::from_uuid(Uuid::from_u128(n)),
        content: Content { body: Some("from elsewhere".to_owned()), ..Content::default() },
    };
    let appended = world.node.store().append(&[message], world.environment.now()).await;
    let appended = appended.expect("the store answers").remove(0).expect("it is accepted");
    appended.committed.expect("it is new")
}

/// The other nodes: a relay whose digests say that nothing moved; one event that only the log has; one whose
/// predecessor was lost.
async fn others(world: &Paused, end: Cursor, sender: UserId, to: UserId) {
    let router = world.node.router();
    let message = |topic, payload| BusMessage { topics: smallvec![topic], epoch: Some(end.epoch), payload };
    for second in 0..HOUR.as_secs() / DIGEST_EVERY.as_secs() {
        tokio::time::sleep(DIGEST_EVERY).await;
        let (from, to_position) = (end.position, end.position);
        let digest = Digest { epoch: end.epoch, from, to: to_position, held_back: false, moved: Vec::new() };
        router.on_messages(vec![message(Topic::Digest, Payload::Digest(Arc::new(digest)))]);
        if second == 1_200 {
            committed_elsewhere(world, 1, sender, to).await;
            router.on_gap();
        }
        if second == 2_400 {
            committed_elsewhere(world, 2, sender, to).await;
            let third = committed_elsewhere(world, 3, sender, to).await;
            router.on_messages(vec![message(Topic::User(to), Payload::Events(vec![third]))]);
        }
    }
}

async fn an_hour() {
    let world = World::on(PausedEnvironment::begin(1_700_000_000_000, 7), bounds()).await;
    let end = world.node.store().end().await.expect("the log ends somewhere");
    let (notify, notices) = mpsc::channel(NOTICES);
    world.node.router().follow(notify, end);
    let (_up, bus) = watch::channel(BusHealth { up: true, since_ms: 0, reason: String::new() });
    let follower = Follower {
        router: Arc::clone(world.node.router()),
        log: Arc::clone(world.node.store()) as _,
        environment: Arc::clone(world.node.environment()),
        meters: Arc::clone(world.node.meters()),
        notices,
        questions: crate::telemetry::inspect::observed().1,
        bus: Some(bus),
    };
    actix_rt::spawn(follower.run(end));

    let (ada, ada_token) = world.guest("ada").await;
    let (ben, ben_token) = world.guest("ben").await;
    let mut to_ada = world.welcomed(&ada_token, 1 << 16).await;
    let unanswering = world.welcomed(&ben_token, 1 << 16).await;
    let ungreeted = world.connect(1 << 16);
    let (seen, unanswering, ungreeted, ()) = tokio::join!(
        live(&mut to_ada, &world, "ada"),
        closed(unanswering, &world),
        closed(ungreeted, &world),
        others(&world, end, ben, ada),
    );

    assert_eq!(ungreeted, (Close::TimedOut.code(), 5), "no hello came");
    assert_eq!(unanswering, (Close::TimedOut.code(), 75), "two pings stayed unanswered");
    assert!((142..=144).contains(&seen.pings), "one ping in 25 s: {}", seen.pings);
    assert_eq!(
        seen.renewals, 4,
        "a token lives for 15 minutes, and a minute before its end the server warns"
    );
    assert_eq!(
        seen.seqs,
        [1, 2, 3],
        "the follower read the first, the healer the second, which the third showed"
    );

    to_ada.send_message(ben, 9, 5).await;
    assert!(world.environment.monotonic_ms() >= HOUR.as_millis() as u64);
}

#[test]
fn an_hour_on_one_thread_takes_no_time() {
    let real = SystemEnvironment::shared();
    let began_ms = real.monotonic_ms();
    let paused = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().expect("a runtime")
    };
    actix_rt::System::with_tokio_rt(paused).block_on(an_hour());
    let took_ms = real.monotonic_ms() - began_ms;
    println!("an hour took {took_ms} ms");
    // It takes about a second. A wait on the machine's clock would take at least the 75 s of the unanswered
    // pings.
    assert!(took_ms < 60_000, "{took_ms} ms");
}
