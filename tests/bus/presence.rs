//! Presence on several nodes. As in a process, each has its router and its presence actor; they share one bus
//! and one registry.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tidings::actors::inbox::{Inbox, Item};
use tidings::actors::presence::PresenceBoard;
use tidings::actors::presence::across_nodes::GONE;
use tidings::actors::presence::state::Device;
use tidings::actors::router::{Router, RouterOptions};
use tidings::bus::local::LocalExchange;
use tidings::bus::presence_registry::LocalPresenceRegistries;
use tidings::bus::redis::RedisBus;
use tidings::bus::{Presence, Signal};
use tidings::config::{PresenceSettings, Settings};
use tidings::domain::{Topic, UserId};
use tidings::environment::{ManualEnvironment, SystemEnvironment};
use tokio::sync::Mutex;

use crate::presence_registry::LEASE;
use crate::recording_listener::DEADLINE;
use crate::servers::Redis;
use crate::world::{meters, options, settle, up, user};

const GRACE_MS: u64 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(180);

struct Process {
    router: Arc<Router>,
    board: PresenceBoard,
    /// The board's clock.
    environment: Arc<ManualEnvironment>,
    bus: Option<Arc<RedisBus>>,
    sharing: tokio::task::AbortHandle,
    told: Mutex<VecDeque<Item>>,
    /// What a watcher here would see.
    shown: Mutex<Option<Presence>>,
}

impl Process {
    fn start() -> (Arc<Router>, PresenceBoard, Arc<ManualEnvironment>) {
        let now_ms = SystemEnvironment::shared().now().as_unix_ms() as u64;
        let environment = Arc::new(ManualEnvironment::new(now_ms, 1));
        let meters = Arc::new(meters());
        let (router, holes) = Router::new(
            vec![Inbox::new(1 << 20, environment.clone())],
            meters.clone(),
            RouterOptions::default(),
        );
        std::mem::forget(holes);
        let settings = PresenceSettings { offline_after_ms: GRACE_MS, ..Settings::for_tests().presence };
        let board = PresenceBoard::new(router.clone(), environment.clone(), meters, settings);
        (router, board, environment)
    }

    fn local(exchange: &Arc<LocalExchange>, registries: &Arc<LocalPresenceRegistries>) -> Self {
        let (router, board, environment) = Self::start();
        router.connect(Arc::new(exchange.attach(router.clone())));
        let sharing = tokio::spawn(board.share(Arc::new(registries.open()), LOOK_EVERY)).abort_handle();
        Self {
            router,
            board,
            environment,
            bus: None,
            sharing,
            told: Mutex::default(),
            shown: Mutex::default(),
        }
    }

    async fn redis(redis: &Redis) -> Self {
        let (router, board, environment) = Self::start();
        let bus = RedisBus::start(options(redis), router.clone(), &meters(), SystemEnvironment::shared());
        router.connect(bus.clone());
        up(&bus, true).await;
        let sharing = tokio::spawn(board.share(bus.presence_registry(LEASE), LOOK_EVERY)).abort_handle();
        let (told, shown) = (Mutex::default(), Mutex::default());
        Self { router, board, environment, bus: Some(bus), sharing, told, shown }
    }

    /// As a `watch` does it: subscribes, then looks.
    async fn watch(&self, whom: UserId) -> Presence {
        self.router.subscribe(0, Topic::Presence(whom));
        let looked = self.board.seen(&[whom]).await[0];
        let answer = self.board.answer(whom, looked);
        *self.shown.lock().await = Some(answer);
        answer
    }

    /// The next change that watchers here see. A signal that came while they looked says the same as the
    /// look.
    async fn told(&self) -> (UserId, Presence) {
        let mut told = self.told.lock().await;
        let mut shown = self.shown.lock().await;
        let inbox = self.router.inbox(0);
        let next = async {
            loop {
                match told.pop_front() {
                    Some(Item::Signal { signal: Signal::Presence { user, presence }, .. }) => {
                        if shown.replace(presence) != Some(presence) {
                            return (user, presence);
                        }
                    }
                    Some(other) => panic!("not a presence: {other:?}"),
                    None => {
                        let mut items = Vec::new();
                        poll_fn(|context| inbox.poll_take(&mut items, context)).await;
                        told.extend(items);
                    }
                }
            }
        };
        tokio::time::timeout(DEADLINE, next).await.expect("watchers are told of the change")
    }

    /// The next change for which `wanted` holds. The announcements of two nodes cross: watchers may see an
    /// older state for a moment, and then the present one again.
    async fn comes_to(&self, wanted: impl Fn(Presence) -> bool) -> UserId {
        loop {
            let (user, presence) = self.told().await;
            if wanted(presence) {
                return user;
            }
        }
    }

    /// Lets the board notice who is gone, as its keeper would.
    fn expire(&self) {
        self.environment.advance_ms(GRACE_MS);
        self.board.expire();
    }
}

fn is_offline(presence: Presence) -> bool {
    matches!(presence, Presence::Offline { .. })
}

/// The story that both worlds go through.
async fn a_user_on_two_nodes(one: &Process, other: &Process, watcher: &Process, subscribed: impl AsyncFn()) {
    let whom = user(1);
    one.board.connected(whom, Device::Foreground);
    // A user who watches one that is online elsewhere learns so: at once, or when the registry has it.
    if watcher.watch(whom).await != Presence::Online {
        assert_eq!(watcher.told().await, (whom, Presence::Online));
    }
    subscribed().await;
    // A second device on another node is no news, nor is its end, nor the end of the first while the second
    // stays.
    other.board.connected(whom, Device::Background);
    other.board.moved(whom, Device::Background, Device::Foreground);
    other.board.moved(whom, Device::Foreground, Device::Background);
    one.board.disconnected(whom, Device::Foreground);
    one.expire();
    // What is left is the device in the background.
    assert_eq!(watcher.told().await, (whom, Presence::Away));
    other.board.moved(whom, Device::Background, Device::Foreground);
    assert_eq!(watcher.comes_to(|presence| presence == Presence::Online).await, whom);
    other.board.disconnected(whom, Device::Foreground);
    other.expire();
    let gone = |presence| matches!(presence, Presence::Offline { last_seen: Some(_) });
    assert_eq!(watcher.comes_to(gone).await, whom);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_one_over_all_nodes_of_a_process() {
    let (exchange, registries) = (Arc::default(), Arc::default());
    let [one, other, watcher] = std::array::from_fn(|_| Process::local(&exchange, &registries));
    a_user_on_two_nodes(&one, &other, &watcher, async || {}).await;
}

/// A node that cannot read the registry announces what it knows itself, which may be wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_connected_here_is_shown_as_online_here() {
    let (exchange, registries) = (Arc::default(), Arc::default());
    let [here, other] = std::array::from_fn(|_| Process::local(&exchange, &registries));
    here.board.connected(user(1), Device::Foreground);
    if here.watch(user(1)).await != Presence::Online {
        assert_eq!(here.told().await, (user(1), Presence::Online));
    }
    other.router.signal(Signal::Presence { user: user(1), presence: GONE }, Arc::new([]));
    assert_eq!(here.told().await, (user(1), GONE));
    assert_eq!(here.told().await, (user(1), Presence::Online));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_is_one_over_all_processes() {
    let redis = Redis::start().await;
    let one = Process::redis(&redis).await;
    let other = Process::redis(&redis).await;
    let watcher = Process::redis(&redis).await;
    let subscribed = async || settle(&redis, Topic::Presence(user(1)), 1).await;
    a_user_on_two_nodes(&one, &other, &watcher, subscribed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_of_a_node_that_dies_go_offline_without_a_word() {
    let redis = Redis::start().await;
    let (one, watcher) = (Process::redis(&redis).await, Process::redis(&redis).await);
    one.board.connected(user(1), Device::Foreground);
    one.board.connected(user(2), Device::Foreground);
    watcher.router.subscribe(0, Topic::Presence(user(1)));
    settle(&redis, Topic::Presence(user(1)), 1).await;
    if watcher.watch(user(1)).await != Presence::Online {
        assert_eq!(watcher.told().await, (user(1), Presence::Online));
    }
    // All that a node holds in Redis is its lease; without the one that renews it, it is as good as dead.
    one.sharing.abort();
    one.bus.as_ref().unwrap().end();
    let (who, presence) = watcher.told().await;
    let Presence::Offline { last_seen: Some(last_seen) } = presence else { panic!("{presence:?}") };
    let ago_ms = SystemEnvironment::shared().now().ms_since(last_seen);
    assert!(who == user(1) && (0..DEADLINE.as_millis() as i64).contains(&ago_ms), "{ago_ms}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_node_goes_by_what_it_knows() {
    let mut redis = Redis::start().await;
    let node = Process::redis(&redis).await;
    node.board.connected(user(1), Device::Foreground);
    node.board.connected(user(2), Device::Background);
    assert_eq!(node.watch(user(1)).await, Presence::Online);
    redis.kill9();
    up(node.bus.as_ref().unwrap(), false).await;
    let users = [user(1), user(2), user(3)];
    let seen = tokio::time::timeout(Duration::from_millis(500), node.board.seen(&users)).await;
    let seen = seen.expect("nobody waits for a Redis that is away");
    assert_eq!(seen[..2], [Presence::Online, Presence::Away]);
    assert!(is_offline(seen[2]));
    node.board.disconnected(user(1), Device::Foreground);
    node.expire();
    let (who, presence) = node.told().await;
    assert!(who == user(1) && is_offline(presence));
}
