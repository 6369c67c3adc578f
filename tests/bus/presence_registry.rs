//! The contract of every presence registry, and of the registry in Redis when its server fails.

use std::sync::Arc;
use std::time::Duration;

use tidings::bus::Presence::{Away, Offline, Online};
use tidings::bus::presence_registry::{LocalPresenceRegistries, PresenceRegistry, RegistryUnavailable};
use tidings::bus::redis::{RedisBus, RedisPresenceRegistry};
use tidings::domain::UserId;

use crate::recording_listener::{DEADLINE, listener};
use crate::servers::Redis;
use crate::world::{connected, options, up, user};

/// Short, so that a death is soon noticed.
pub const LEASE: Duration = Duration::from_millis(600);

/// A registry for any number of nodes.
pub enum Shelf {
    Local(Arc<LocalPresenceRegistries>),
    Redis(Redis),
}

/// One node's handle on it.
pub struct Reader {
    pub registry: Arc<dyn PresenceRegistry>,
    /// The connections under it live as long as the node.
    _bus: Option<Arc<RedisBus>>,
}

impl Shelf {
    async fn local() -> Self {
        Self::Local(Arc::default())
    }

    async fn redis() -> Self {
        Self::Redis(Redis::start().await)
    }

    async fn open(&self) -> Reader {
        match self {
            Self::Local(registries) => Reader { registry: Arc::new(registries.open()), _bus: None },
            Self::Redis(redis) => {
                let (bus, registry) = handle(redis).await;
                Reader { registry, _bus: Some(bus) }
            }
        }
    }
}

async fn handle(redis: &Redis) -> (Arc<RedisBus>, Arc<RedisPresenceRegistry>) {
    let bus = connected(options(redis), &listener()).await;
    let registry = bus.presence_registry(LEASE);
    (bus, registry)
}

/// Waits until the registry answers `wanted` about one user.
pub async fn until(registry: &dyn PresenceRegistry, user: UserId, wanted: Option<tidings::bus::Presence>) {
    let answered = async {
        while registry.others(&[user]).await != Ok(vec![wanted]) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(DEADLINE, answered).await.is_err() {
        panic!("the registry never says {wanted:?} of {user} but {:?}", registry.others(&[user]).await);
    }
}

macro_rules! over_every_registry {
    ($($case:ident),+ $(,)?) => {
        mod local {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(super::Shelf::local().await).await;
                }
            )+
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(super::Shelf::redis().await).await;
                }
            )+
        }
    };
}

over_every_registry!(
    others_read_what_a_node_put_and_it_does_not,
    online_anywhere_is_online,
    many_users_are_answered_in_their_order,
    a_node_that_dies_is_forgotten,
    what_was_put_is_there_when_the_same_node_has_asked,
);

async fn others_read_what_a_node_put_and_it_does_not(shelf: Shelf) {
    let (one, other) = (shelf.open().await, shelf.open().await);
    one.registry.put(user(1), Some(Online));
    until(&*other.registry, user(1), Some(Online)).await;
    assert_eq!(one.registry.others(&[user(1)]).await, Ok(vec![None]));
    one.registry.put(user(1), Some(Away));
    until(&*other.registry, user(1), Some(Away)).await;
    one.registry.put(user(1), Some(Offline { last_seen: None }));
    until(&*other.registry, user(1), None).await;
    assert_eq!(other.registry.others(&[]).await, Ok(vec![]));
}

async fn online_anywhere_is_online(shelf: Shelf) {
    let (one, other, reader) = (shelf.open().await, shelf.open().await, shelf.open().await);
    one.registry.put(user(1), Some(Online));
    other.registry.put(user(1), Some(Away));
    until(&*reader.registry, user(1), Some(Online)).await;
    until(&*other.registry, user(1), Some(Online)).await;
    until(&*one.registry, user(1), Some(Away)).await;
    assert_eq!(reader.registry.nodes(&[user(2), user(1)]).await, Ok(vec![0, 2]));
    assert_eq!(one.registry.nodes(&[user(1)]).await, Ok(vec![1]), "its own does not count");
    one.registry.put(user(1), None);
    until(&*reader.registry, user(1), Some(Away)).await;
}

async fn many_users_are_answered_in_their_order(shelf: Shelf) {
    let (one, reader) = (shelf.open().await, shelf.open().await);
    let users: Vec<UserId> = (0..1_300).map(user).collect();
    for (at, user) in users.iter().enumerate() {
        let presence = [None, Some(Online), Some(Away)][at % 3];
        one.registry.put(*user, presence);
    }
    // Asking writes first.
    one.registry.others(&[]).await.unwrap();
    until(&*reader.registry, users[1], Some(Online)).await;
    let answers = reader.registry.others(&users).await.unwrap();
    for (at, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, [None, Some(Online), Some(Away)][at % 3], "{at}");
    }
}

async fn a_node_that_dies_is_forgotten(shelf: Shelf) {
    let (one, reader) = (shelf.open().await, shelf.open().await);
    one.registry.put(user(1), Some(Online));
    until(&*reader.registry, user(1), Some(Online)).await;
    // Longer than the lease: it is renewed while the node lives.
    tokio::time::sleep(LEASE * 2).await;
    assert_eq!(reader.registry.others(&[user(1)]).await, Ok(vec![Some(Online)]));
    drop(one);
    until(&*reader.registry, user(1), None).await;
}

async fn what_was_put_is_there_when_the_same_node_has_asked(shelf: Shelf) {
    let (one, reader) = (shelf.open().await, shelf.open().await);
    one.registry.put(user(1), Some(Online));
    until(&*reader.registry, user(1), Some(Online)).await;
    // Two nodes let go at once: the one that asks last sees that nobody is left.
    for _ in 0..50 {
        one.registry.put(user(1), Some(Online));
        reader.registry.put(user(1), Some(Online));
        one.registry.others(&[]).await.unwrap();
        reader.registry.others(&[]).await.unwrap();
        one.registry.put(user(1), None);
        reader.registry.put(user(1), None);
        let (first, second) = ([user(1)], [user(1)]);
        let (first, second) = tokio::join!(one.registry.others(&first), reader.registry.others(&second));
        assert!(first == Ok(vec![None]) || second == Ok(vec![None]), "{first:?} {second:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_written_anew() {
    let redis = Redis::start().await;
    let (_one_bus, one) = handle(&redis).await;
    let (_bus, reader) = handle(&redis).await;
    (0..700).for_each(|number| one.put(user(number), Some(Online)));
    until(&*reader, user(699), Some(Online)).await;
    redis.flush().await;
    for number in [0, 350, 699] {
        until(&*reader, user(number), Some(Online)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_said_to_be_in_time() {
    let mut redis = Redis::start().await;
    let (bus, one) = handle(&redis).await;
    let (_bus, reader) = handle(&redis).await;
    one.put(user(1), Some(Online));
    until(&*reader, user(1), Some(Online)).await;
    redis.freeze();
    let asked = tokio::time::timeout(Duration::from_secs(3), reader.others(&[user(1)])).await;
    assert_eq!(asked, Ok(Err(RegistryUnavailable)));
    redis.thaw();
    until(&*reader, user(1), Some(Online)).await;
    redis.kill9();
    up(&bus, false).await;
    let asked = tokio::time::timeout(Duration::from_millis(500), one.others(&[user(1)])).await;
    assert_eq!(asked, Ok(Err(RegistryUnavailable)), "at once: there is no connection to wait for");
    one.put(user(2), Some(Away));
    redis.restart().await;
    until(&*reader, user(1), Some(Online)).await;
    until(&*reader, user(2), Some(Away)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_is_gone_at_once() {
    let redis = Redis::start().await;
    let bus = connected(options(&redis), &listener()).await;
    let one = bus.presence_registry(Duration::from_secs(600));
    let (_bus, reader) = handle(&redis).await;
    one.put(user(1), Some(Online));
    until(&*reader, user(1), Some(Online)).await;
    one.leave().await;
    assert_eq!(reader.others(&[user(1)]).await, Ok(vec![None]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_counts_for_as_long_as_its_lease() {
    let redis = Redis::start().await;
    let (short_bus, short) = handle(&redis).await;
    let long_bus = connected(options(&redis), &listener()).await;
    let long = long_bus.presence_registry(Duration::from_secs(600));
    let (_bus, reader) = handle(&redis).await;
    short.put(user(1), Some(Online));
    long.put(user(2), Some(Online));
    until(&*reader, user(1), Some(Online)).await;
    until(&*reader, user(2), Some(Online)).await;
    drop((short, short_bus, long, long_bus));
    until(&*reader, user(1), None).await;
    assert_eq!(reader.others(&[user(2)]).await, Ok(vec![Some(Online)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dead_nodes_left_is_removed_by_whoever_reads_it() {
    let redis = Redis::start().await;
    let (_staying_bus, staying) = handle(&redis).await;
    let (_bus, reader) = handle(&redis).await;
    staying.put(user(1), Some(Online));
    for _ in 0..3 {
        let (bus, restarted) = handle(&redis).await;
        restarted.put(user(1), Some(Away));
        until(&*staying, user(1), Some(Away)).await;
        drop((restarted, bus));
        until(&*staying, user(1), None).await;
    }
    let removed = async {
        loop {
            reader.others(&[user(1)]).await.unwrap();
            let key = format!("{}on:{}", options(&redis).redis.prefix, user(1).as_uuid().simple());
            if redis.order(&format!("HLEN {key}")).await == ::redis::Value::Int(1) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE * 2, removed).await.expect("only the living node's entry is left");
    assert_eq!(reader.others(&[user(1)]).await, Ok(vec![Some(Online)]));
}
