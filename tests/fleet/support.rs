//! Nodes on one log, with a bus that loses messages on request of the test.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidings::actors::follower::{Follower, NOTICES};
use tidings::actors::inbox::{ChannelHold, Inbox, Item};
use tidings::actors::router::published::PublishedSet;
use tidings::actors::router::{Router, RouterOptions};
use tidings::bus::health::BusHealth;
use tidings::bus::local::{LocalBus, LocalExchange};
use tidings::bus::{Bus, BusMessage, Payload};
use tidings::consumers::relay::Relay;
use tidings::domain::{
    ClientId, Content, ConversationId, ConversationKind, HistoryPolicy, JoinPolicy, Role, Topic, User, UserId,
};
use tidings::environment::{SharedEnvironment, SystemEnvironment};
use tidings::store::postgres::{PostgresOptions, PostgresStore};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::store::{Change, NewConversation, NewMessage, NewUser, SharedStore, Target};
use tidings::telemetry::Meters;
use tidings::telemetry::inspect::{Inspection, observed};
use tokio::sync::{mpsc, watch};

use crate::counted::Counted;
use crate::servers::lent;
use crate::servers::postgres::Postgres;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The log and the exchange that all nodes share.
pub struct Fleet {
    /// What holds the log for as long as the fleet lives.
    _folder: Option<TempDir>,
    server: Option<Postgres>,
    pub store: SharedStore,
    /// The log as healers and followers see it.
    pub log: Arc<Counted>,
    environment: SharedEnvironment,
    exchange: Arc<LocalExchange>,
    bus: watch::Sender<BusHealth>,
}

/// A node as its sessions see it: one worker thread's inbox.
pub struct Station {
    pub router: Arc<Router>,
    inbox: Arc<Inbox>,
    spare: Vec<Item>,
    /// The channels that its sessions were put into: they go on reading them.
    channels: Vec<ChannelHold>,
    /// While set, events this node publishes are lost on the way.
    pub mute: Arc<AtomicBool>,
    /// What its healer and its follower show of themselves.
    inspection: Inspection,
}

struct Lossy {
    bus: LocalBus,
    mute: Arc<AtomicBool>,
}

impl Bus for Lossy {
    fn publish(&self, mut messages: Vec<BusMessage>) {
        if self.mute.load(Ordering::SeqCst) {
            // What a node publishes goes one way: its announcements are lost with its events.
            messages.retain(|message| matches!(message.payload, Payload::Digest(_)));
        }
        self.bus.publish(messages);
    }

    fn subscribe(&self, topic: Topic) {
        self.bus.subscribe(topic);
    }

    fn unsubscribe(&self, topic: Topic) {
        self.bus.unsubscribe(topic);
    }
}

fn health(up: bool) -> BusHealth {
    BusHealth { up, since_ms: 0, reason: String::new() }
}

impl Fleet {
    pub async fn new() -> Self {
        let (folder, environment) = (TempDir::new().unwrap(), SystemEnvironment::shared());
        let options =
            SqliteOptions { timeout_ms: 30_000, ..SqliteOptions::new(folder.path().join("tidings.db")) };
        let store: SharedStore = SqliteStore::open(options, environment.clone()).await.unwrap();
        Self::over(store, environment, Some(folder), None)
    }

    /// A fleet on a Postgres server of its own.
    pub async fn on_postgres() -> Self {
        let (server, environment) = (lent::borrow().await, SystemEnvironment::shared());
        let url = server.database("fleet").await;
        let mut options = PostgresOptions { timeout_ms: 30_000, ..PostgresOptions::new(url) };
        options.postgres.acquire_timeout_ms = 20_000;
        let store: SharedStore = PostgresStore::open(options, environment.clone()).await.unwrap();
        Self::over(store, environment, None, Some(server))
    }

    fn over(
        store: SharedStore,
        environment: SharedEnvironment,
        folder: Option<TempDir>,
        server: Option<Postgres>,
    ) -> Self {
        let (bus, log) = (watch::channel(health(true)).0, Counted::over(store.clone()));
        Self { _folder: folder, server, store, log, environment, exchange: Arc::default(), bus }
    }

    /// A connection to the database server, past the store. `database`: `fleet`, or another one of the
    /// server.
    pub async fn connect(&self, database: &str) -> sqlx::PgConnection {
        self.server.as_ref().expect("a fleet on Postgres").connect(database).await
    }

    /// The time that the nodes have, for measuring.
    pub fn now_ms(&self) -> u64 {
        self.environment.monotonic_ms()
    }

    /// The bus fails, or comes back.
    pub fn bus(&self, up: bool) {
        self.bus.send_replace(health(up));
    }

    /// A gateway.
    pub async fn station(&self) -> Station {
        let meters = Arc::new(Meters::new());
        let inbox = Inbox::new(1 << 24, self.environment.clone());
        let (router, holes) = Router::new(vec![inbox.clone()], meters.clone(), RouterOptions::default());
        let mute = Arc::new(AtomicBool::new(false));
        router.connect(Arc::new(Lossy { bus: self.exchange.attach(router.clone()), mute: mute.clone() }));
        let inspection = Inspection::default();
        let (observer, questions) = observed();
        inspection.add("healer", observer);
        let healer =
            tidings::actors::healer::run(router.clone(), self.log.clone(), meters.clone(), holes, questions);
        tokio::spawn(healer);
        let (observer, questions) = observed();
        inspection.add("follower", observer);
        let covered = self.store.end().await.unwrap();
        let (notify, notices) = mpsc::channel(NOTICES);
        router.follow(notify, covered);
        let follower = Follower {
            router: router.clone(),
            log: self.log.clone(),
            environment: self.environment.clone(),
            meters,
            notices,
            questions,
            bus: Some(self.bus.subscribe()),
        };
        tokio::spawn(follower.run(covered));
        Station { router, inbox, spare: Vec::new(), channels: Vec::new(), mute, inspection }
    }

    /// Waits until every node knows of all that is in the log now.
    pub async fn told_all(&self, stations: &[Station]) {
        let end = self.store.end().await.unwrap().position;
        for station in stations {
            let told = |state: &Value| state["watermark"].as_u64() >= Some(end.0);
            station.until_shown("follower", "at the log's end", told).await;
        }
    }

    /// A relay in a process of its own; dropping the answer ends it.
    pub fn relay(&self) -> watch::Sender<bool> {
        let meters = Arc::new(Meters::new());
        let (router, _holes) = Router::new(Vec::new(), meters.clone(), RouterOptions::default());
        router.connect(Arc::new(self.exchange.attach(router.clone())));
        let announced = Arc::new(PublishedSet::default());
        router.announce_to(announced.clone());
        let relay = Relay {
            process: "relay".to_owned(),
            store: self.store.clone(),
            router,
            announced,
            environment: self.environment.clone(),
            meters,
            questions: observed().1,
        };
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(relay.run(stopping));
        stop
    }

    pub async fn user(&self) -> UserId {
        let id = UserId::from_uuid(self.environment.new_uuid());
        let user = User {
            id,
            username: None,
            display_name: "somebody".to_owned(),
            guest: true,
            created_at: self.environment.now(),
        };
        self.store.create_user(&NewUser { user, password_hash: None, device_hash: None }).await.unwrap();
        id
    }

    /// Makes a conversation before anybody is connected.
    pub async fn room(&self, kind: ConversationKind, members: &[UserId]) -> ConversationId {
        let new = self.new_room(kind, members);
        self.store.create(&new, self.environment.now()).await.unwrap().unwrap();
        new.id
    }

    fn new_room(&self, kind: ConversationKind, members: &[UserId]) -> NewConversation {
        NewConversation {
            id: ConversationId::from_random(kind, self.environment.new_uuid()),
            creator: members[0],
            members: members[1..].to_vec(),
            name: None,
            topic: None,
            history: HistoryPolicy::FromJoin,
            join: JoinPolicy::Invite,
        }
    }

    /// Makes a conversation on `station`, as a client there asks for it.
    pub async fn make(
        &self,
        station: &Station,
        kind: ConversationKind,
        members: &[UserId],
    ) -> ConversationId {
        let new = self.new_room(kind, members);
        let made = self.store.create(&new, self.environment.now()).await.unwrap().unwrap();
        station.router.committed(&made.committed, Vec::new());
        new.id
    }

    /// `actor` changes something on `station`.
    pub async fn change(
        &self,
        station: &Station,
        actor: UserId,
        room: ConversationId,
        change: Change,
    ) -> u64 {
        let changed = self.store.change(actor, room, &change, self.environment.now()).await.unwrap().unwrap();
        station.router.committed(&changed.committed, Vec::new());
        changed.seq.get()
    }

    /// `actor` adds `user` on `station`.
    pub async fn invite(&self, station: &Station, actor: UserId, room: ConversationId, user: UserId) -> u64 {
        self.change(station, actor, room, Change::Join { user, role: Role::Member }).await
    }

    /// `sender` says something on `station`: committed, then published; answers its seq. `crash`: committed
    /// only.
    pub async fn say(&self, station: &Station, sender: UserId, room: ConversationId, crash: bool) -> u64 {
        let message = NewMessage {
            sender,
            target: Target::Conversation(room),
            client_id: ClientId::from_uuid(self.environment.new_uuid()),
            content: Content { body: Some("hello".to_owned()), ..Content::default() },
        };
        let appended =
            self.store.append(&[message], self.environment.now()).await.unwrap().remove(0).unwrap();
        if !crash {
            station.router.committed(&appended.committed.into_iter().collect::<Vec<_>>(), Vec::new());
        }
        appended.seq.get()
    }
}

impl Station {
    /// Waits until its `actor` shows a state as `wanted`.
    pub async fn until_shown(&self, actor: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
        let reached = async {
            loop {
                let parts = self.inspection.report().await;
                if parts.iter().any(|part| part.actor == actor && part.state.as_ref().is_some_and(&wanted)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = tokio::time::timeout(TIMEOUT, reached).await.is_ok();
        assert!(reached, "{actor} is never {what}: {:?}", self.inspection.report().await);
    }

    /// Takes what comes next for this node's sessions.
    pub async fn take(&mut self) -> Vec<Item> {
        let (inbox, spare) = (&self.inbox, &mut self.spare);
        let taken = poll_fn(|context| inbox.poll_take(spare, context));
        let overflowed = tokio::time::timeout(TIMEOUT, taken).await.expect("nothing came");
        assert!(!overflowed, "sessions are told to compare heads");
        self.spare.drain(..).collect()
    }

    /// Waits until the sessions are told to compare heads; answers the seqs of the events before that.
    pub async fn told_to_compare(&mut self) -> Vec<u64> {
        let mut seqs = Vec::new();
        loop {
            let (inbox, spare) = (&self.inbox, &mut self.spare);
            let taken = poll_fn(|context| inbox.poll_take(spare, context));
            let overflowed = tokio::time::timeout(TIMEOUT, taken).await.expect("nothing came");
            seqs.extend(self.spare.drain(..).filter_map(|item| seq_of(item, &mut self.channels)));
            if overflowed {
                return seqs;
            }
        }
    }

    /// Takes events until one has `last`; answers all their seqs.
    pub async fn receive(&mut self, last: u64) -> Vec<u64> {
        let mut seqs: Vec<u64> = Vec::new();
        while seqs.last() != Some(&last) {
            let items = self.take().await;
            seqs.extend(items.into_iter().filter_map(|item| seq_of(item, &mut self.channels)));
            assert!(seqs.last() <= Some(&last), "{last} did not come: {seqs:?}");
        }
        seqs
    }
}

fn seq_of(item: Item, channels: &mut Vec<ChannelHold>) -> Option<u64> {
    match item {
        Item::Event { delivery, hold, .. } => {
            channels.extend(hold);
            Some(delivery.event().seq.get())
        }
        Item::Signal { .. } | Item::Missed { .. } | Item::Joined { .. } | Item::Reply { .. } => None,
    }
}
