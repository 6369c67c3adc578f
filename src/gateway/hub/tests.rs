//! Whole sessions over an in-memory stream: node, hub and sessions run on the test's thread, with a clock
//! that the test moves.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::Hub;
use crate::actors::inbox::{Inbox, Item};
use crate::actors::router::{Router, RouterOptions};
use crate::actors::writer::WriterOptions;
use crate::actors::{Node, NodeOptions};
use crate::bus::Signal;
use crate::config::{PresenceSettings, ReceiptsSettings, Settings, TrustedProxies, WriterSettings};
use crate::domain::{ClientAddress, Limits, UserId};
use crate::environment::{Environment, ManualEnvironment, SharedEnvironment};
use crate::gateway::Bounds;
use crate::gateway::admission::{Admission, AdmissionOptions};
use crate::gateway::session::mailbox::{Control, MOST_CONTROLS};
use crate::gateway::session::stream::Polled;
use crate::identity::{Identity, IdentityOptions, Visitor};
use crate::protocol::{Close, Encoding};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Revocation, RevocationKind, SharedStore};
use crate::telemetry::Meters;

const LOCALHOST: ClientAddress = ClientAddress::Counted(IpAddr::V4(Ipv4Addr::LOCALHOST));
const HEARTBEAT_MS: u64 = 25_000;
pub(super) const QUEUED_BYTES: usize = 64 * 1024;

/// A node on this thread.
pub(super) struct World<E = ManualEnvironment> {
    pub(super) environment: Arc<E>,
    pub(super) identity: Identity,
    pub(super) node: Node,
    pub(super) hub: Rc<Hub<Polled<DuplexStream>>>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::bounded(bounds()).await
    }

    async fn bounded(bounds: Bounds) -> Self {
        Self::on(Arc::new(ManualEnvironment::new(1_700_000_000_000, 7)), bounds).await
    }

    /// Lets time pass, and the timers with it.
    async fn pass_ms(&self, ms: u64) {
        self.environment.advance_ms(ms);
        self.hub.turn_timers().await;
    }
}

impl<E: Environment + 'static> World<E> {
    pub(super) async fn on(environment: Arc<E>, bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shared: SharedEnvironment = Arc::clone(&environment) as SharedEnvironment;
        let options = SqliteOptions::new(folder.path().join("tidings.db"));
        let store: SharedStore = SqliteStore::open(options, Arc::clone(&shared)).await.expect("a database");
        let identity = IdentityOptions::for_tests(folder.path().to_owned());
        let identity = Identity::new(identity, Arc::clone(&store), Arc::clone(&shared)).expect("an identity");
        let meters = Arc::new(Meters::new());
        let inboxes = vec![Inbox::new(1 << 20, environment.clone())];
        let (router, holes) = Router::new(inboxes, Arc::clone(&meters), RouterOptions::default());
        let node = Node::start(
            store,
            Arc::clone(&shared),
            router,
            holes,
            meters,
            identity.audit().clone(),
            node_options(),
        );
        let admission = AdmissionOptions {
            per_address_per_second: 0,
            per_address_burst: 0,
            hellos_in_flight: 4,
            patience: Duration::from_secs(1),
            proxies: TrustedProxies::of(&Settings::for_tests().server),
        };
        let admission = Admission::new(admission, shared);
        let hub = Hub::start(0, node.clone(), identity.clone(), admission, bounds);
        Self { environment, identity, node, hub, _folder: folder }
    }

    /// A connection, not greeted yet, of which so many bytes fit into the stream.
    pub(super) fn connect(&self, stream_bytes: usize) -> Client {
        let (ours, theirs) = tokio::io::duplex(stream_bytes);
        let place = self.hub.worker().node.connections().count(LOCALHOST);
        self.hub.open(Polled::new(ours), Encoding::Json, None, BytesMut::new(), place);
        Client { stream: theirs, read: BytesMut::new() }
    }

    pub(super) async fn guest(&self, device: &str) -> (UserId, String) {
        let device = format!("{device}-0123456789-abcdefghij");
        let guest = self.identity.guest(Some(&device), None, &Visitor::HERE).await.expect("a guest");
        (guest.user.id, guest.access_token)
    }

    pub(super) async fn welcomed(&self, token: &str, stream_bytes: usize) -> Client {
        let mut client = self.connect(stream_bytes);
        client.say(&format!(r#"{{"type":"hello","token":"{token}"}}"#)).await;
        client.hear("welcome").await;
        client
    }

    async fn until_empty(&self) {
        within(async {
            while self.hub.sessions() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

pub(super) fn bounds() -> Bounds {
    Bounds::for_tests()
}

fn node_options() -> NodeOptions {
    let settings = Settings::for_tests();
    NodeOptions {
        limits: Limits::default(),
        writer: WriterOptions {
            writer: WriterSettings { shards: 1, ..settings.writer },
            timeout: Duration::from_secs(5),
            crash_after_commits: None,
        },
        receipts: ReceiptsSettings { flush_ms: 200, ..settings.receipts },
        presence: PresenceSettings { offline_after_ms: 1_000, typing_timeout_ms: 5_000, ..settings.presence },
        requests_per_second: 0,
        request_burst: 0,
        queued_bytes: QUEUED_BYTES,
    }
}

/// The peer of a session: speaks just enough WebSocket.
pub(super) struct Client {
    stream: DuplexStream,
    read: BytesMut,
}

pub(super) const TEXT: u8 = 0x1;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

impl Client {
    pub(super) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            0..=125 => frame.push(0x80 | payload.len() as u8),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
        }
        // Masked by zeroes, which leaves the payload as it is.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        within(self.stream.write_all(&frame)).await.expect("the stream is open");
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await;
    }

    /// Sends a message with `length` bytes of body to a user, and waits for its ack.
    pub(super) async fn send_message(&mut self, to: UserId, n: u32, length: usize) {
        let body = "b".repeat(length);
        let client_id = format!("0197f3c0-1111-7222-8333-{n:012x}");
        let text =
            format!(r#"{{"type":"send","id":{n},"to":"{to}","client_id":"{client_id}","body":"{body}"}}"#);
        self.say(&text).await;
        self.hear("ack").await;
    }

    /// The next frame: opcode and payload; `None` at the end of the stream.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        within(self.next_frame()).await
    }

    /// The same, however long it takes.
    pub(super) async fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.read).await.expect("the stream can be read") == 0 {
                return None;
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = *self.read.first()?;
        let (header, length) = match *self.read.get(1)? {
            126 => (4, usize::from(u16::from_be_bytes([*self.read.get(2)?, *self.read.get(3)?]))),
            127 => panic!("no frame of these tests is so long"),
            short => (2, usize::from(short)),
        };
        if self.read.len() < header + length {
            return None;
        }
        self.read.advance(header);
        Some((first & 0x0f, self.read.split_to(length).to_vec()))
    }

    /// The next frame with this opcode.
    async fn expect(&mut self, opcode: u8) -> Vec<u8> {
        loop {
            let (next, payload) = self.frame().await.expect("the stream is open");
            if next == opcode {
                return payload;
            }
            assert_ne!(next, CLOSE, "closed: {payload:?}");
        }
    }

    pub(super) async fn hear_any(&mut self) -> Value {
        serde_json::from_slice(&self.expect(TEXT).await).expect("JSON")
    }

    /// The next message of this type.
    pub(super) async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear_any().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Reads up to the close frame; answers its code.
    async fn closed(&mut self) -> u16 {
        loop {
            let (opcode, payload) = self.frame().await.expect("a close frame comes before the end");
            if opcode == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it happens in time")
}

#[actix_rt::test]
async fn a_session_lives_from_hello_to_the_close_it_asks_for() {
    let world = World::new().await;
    let (_, ada_token) = world.guest("ada").await;
    let (ben, ben_token) = world.guest("ben").await;
    let mut to_ben = world.welcomed(&ben_token, 1 << 16).await;
    let mut to_ada = world.welcomed(&ada_token, 1 << 16).await;
    to_ada.send_message(ben, 1, 5).await;
    let event = to_ben.hear("event").await;
    assert_eq!(event["seq"], 1, "{event}");

    to_ada.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(to_ada.closed().await, 1000, "the code is returned");
    assert_eq!(to_ada.frame().await, None, "our side is shut");
    drop((to_ada, to_ben));
    world.until_empty().await;
}

#[actix_rt::test]
async fn time_alone_pings_closes_and_ends_a_session() {
    let world = World::new().await;
    let silent = world.connect(1 << 16);
    world.pass_ms(4_000).await;
    assert_eq!(world.hub.sessions(), 1);
    let mut silent = silent;
    world.pass_ms(1_250).await;
    assert_eq!(silent.closed().await, Close::TimedOut.code(), "it said no hello");
    world.pass_ms(2_250).await;
    world.until_empty().await;

    let (_, token) = world.guest("ada").await;
    let mut client = world.welcomed(&token, 1 << 16).await;
    world.pass_ms(HEARTBEAT_MS + 250).await;
    client.expect(PING).await;
    client.send(PONG, b"").await;
    // A pong is handled before the text behind it.
    client.say(r#"{"type":"ping"}"#).await;
    client.hear("pong").await;
    for _ in 0..2 {
        world.pass_ms(HEARTBEAT_MS + 250).await;
        client.expect(PING).await;
    }
    world.pass_ms(HEARTBEAT_MS + 250).await;
    assert_eq!(client.closed().await, Close::TimedOut.code(), "two pings stayed unanswered");
    assert_eq!(world.hub.sessions(), 1, "the client has a moment to answer the close");
    world.pass_ms(2_250).await;
    world.until_empty().await;
    drop(client);
}

#[actix_rt::test]
async fn a_slow_reader_is_told_that_it_lags_then_its_heads_and_then_what_is_new() {
    let mut bounds = bounds();
    bounds.gateway.outbox_bytes = 16 * 1024;
    bounds.gateway.lag_resume_bytes = 4 * 1024;
    let world = World::bounded(bounds).await;
    let (_, ada_token) = world.guest("ada").await;
    let (ben, ben_token) = world.guest("ben").await;
    let mut slow = world.welcomed(&ben_token, 1_024).await;
    let mut ada = world.welcomed(&ada_token, 1 << 16).await;
    for n in 1..=12 {
        ada.send_message(ben, n, 3_000).await;
    }
    let mut pushed = 0;
    loop {
        let message = slow.hear_any().await;
        match message["type"].as_str() {
            Some("event") => {
                pushed += 1;
                assert_eq!(message["seq"], pushed, "in order, until it lags");
            }
            Some("lagging") => break,
            _ => {}
        }
    }
    assert!((1..12).contains(&pushed), "{pushed}");
    let heads = slow.hear("heads").await;
    assert_eq!(heads["heads"][0]["last_seq"], 12, "{heads}");
    assert!(heads["cursor"].is_string());
    ada.send_message(ben, 13, 5).await;
    assert_eq!(slow.hear("event").await["seq"], 13, "live again");
}

#[actix_rt::test]
async fn a_revocation_closes_the_session_before_anything_that_follows_it() {
    let world = World::new().await;
    let (_, ada_token) = world.guest("ada").await;
    let (ben, ben_token) = world.guest("ben").await;
    let mut to_ben = world.welcomed(&ben_token, 1 << 16).await;
    let mut to_ada = world.welcomed(&ada_token, 1 << 16).await;
    let claims = world.identity.authenticate(&ben_token).await.expect("good until now");
    world.environment.advance_ms(1_000);
    world.identity.sign_out(&claims, true).await.expect("signed out");
    let at = world.environment.now();
    let revoked =
        Signal::Revoked(Revocation { user: ben, family: claims.family, at, kind: RevocationKind::Tokens });
    world.node.router().inbox(0).put(&mut vec![Item::Signal { signal: revoked, users: Arc::new([ben]) }]);
    to_ada.send_message(ben, 1, 5).await;
    let close = Close::Unauthenticated.code().to_be_bytes();
    let (opcode, payload) = to_ben.frame().await.expect("a frame");
    assert!(
        opcode == CLOSE && payload.starts_with(&close),
        "nothing was pushed before: {opcode} {payload:?}"
    );
}

#[actix_rt::test]
async fn control_messages_are_handled_in_order_and_too_many_end_the_session() {
    let world = World::new().await;
    let (user, token) = world.guest("ada").await;
    let mut client = world.welcomed(&token, 1 << 16).await;
    let all = world.hub.directory.registry.borrow().all();
    all[0].post(Control::Reconnect { after_ms: 5, deadline_ms: 500 });
    all[0].post(Control::Close(Close::Release));
    assert_eq!(client.hear("reconnect").await["after_ms"], 5);
    assert_eq!(client.closed().await, Close::Release.code());
    drop((all, client));
    world.until_empty().await;

    let mut client = world.welcomed(&token, 1 << 16).await;
    let all = world.hub.directory.registry.borrow().all();
    for n in 0..=MOST_CONTROLS {
        all[0].post(Control::Blocked { other: user, by_other: true, on: n % 2 == 0 });
    }
    assert_eq!(client.closed().await, Close::Internal.code());
}

#[actix_rt::test]
async fn a_connection_that_breaks_is_forgotten_by_everything() {
    let world = World::new().await;
    let (ben, ben_token) = world.guest("ben").await;
    let (_, ada_token) = world.guest("ada").await;
    let client = world.welcomed(&ben_token, 1 << 16).await;
    assert_eq!(world.hub.directory.registry.borrow().of_user(ben).len(), 1);
    drop(client);
    world.until_empty().await;
    assert!(world.hub.directory.registry.borrow().of_user(ben).is_empty());
    let mut ada = world.welcomed(&ada_token, 1 << 16).await;
    ada.send_message(ben, 1, 5).await;
    let mut again = world.welcomed(&ben_token, 1 << 16).await;
    ada.send_message(ben, 2, 5).await;
    assert_eq!(again.hear("event").await["seq"], 2);
}
