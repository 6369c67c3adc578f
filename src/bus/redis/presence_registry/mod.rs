//! The presence registry in Redis.
//!
//! ```text
//! PREFIX on:USER     hash: a node's id → "o" (online) or "a" (away); for an hour, written again every 20 minutes
//! PREFIX node:NODE   "1"; the node's lease, renewed at a quarter of it
//! PREFIX seen:NODE   when the node last renewed it, in ms since 1970; for an hour
//! ```
//!
//! There is one lease per node, not per user: keeping 100,000 users alive is one command every few seconds.
//! An entry is valid while its node has a lease. A node whose lease was lost (an emptied or new Redis, or the
//! node was frozen) writes all its entries again. The entries of a crashed node in `on:` show when its users
//! were last there. A node that reads them removes them after the crashed node has been dead for long.
//! Commands use the publisher's connections; while there is none, the registry is unavailable.

mod dead;
mod own;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use self::dead::Dead;
use self::own::Own;
use super::link::Link;
use super::{RedisBus, Shared, connect};
use crate::bus::Presence;
use crate::bus::envelope::NodeId;
use crate::bus::presence_registry::{PresenceRegistry, RegistryUnavailable, together};
use crate::domain::{Timestamp, UserId};

/// How long an entry stays in a Redis to which nobody writes any more.
const ENTRY_S: u64 = 3_600;
/// Every entry is written again within this time, well before it expires.
const REWRITE: Duration = Duration::from_secs(1_200);
/// How often the lease is renewed within its duration.
const RENEWALS: u32 = 4;
/// Entries and reads per round trip.
const USERS_AT_ONCE: usize = 500;
/// After this many lease durations the entries of a crashed node are removed.
const LONG_DEAD_LEASES: u32 = 10;
/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);

/// This node's handle to the presence registry in Redis. After it is dropped its lease expires.
pub struct RedisPresenceRegistry {
    handle: Arc<Handle>,
    keeper: AbortHandle,
}

struct Handle {
    shared: Arc<Shared>,
    own: Own,
    dead: Dead,
    lease: Duration,
    /// The lease need not be renewed now.
    leased: AtomicBool,
    /// One writer at a time, so that a user's changes are written in order.
    writing: Mutex<()>,
}

impl RedisBus {
    /// Opens the presence registry in the same Redis. A crashed node is forgotten after `lease`. Call inside
    /// a tokio runtime.
    pub fn presence_registry(&self, lease: Duration) -> Arc<RedisPresenceRegistry> {
        let handle = Arc::new(Handle {
            shared: Arc::clone(&self.shared),
            own: Own::default(),
            dead: Dead::default(),
            lease,
            leased: AtomicBool::new(false),
            writing: Mutex::default(),
        });
        let keeper = self.shared.options.spawn(keep(Arc::clone(&handle)));
        Arc::new(RedisPresenceRegistry { handle, keeper })
    }
}

impl RedisPresenceRegistry {
    /// Ends the lease at once: this node is about to stop. Best effort, with a timeout.
    pub async fn leave(&self) {
        self.keeper.abort();
        let key = self.handle.node_key(&self.handle.shared.node.text());
        let mut command = redis::cmd("DEL");
        command.arg(&key);
        // After a failure the lease expires by itself.
        let _ = self.handle.ask(vec![(key, command)]).await;
    }
}

impl Drop for RedisPresenceRegistry {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl PresenceRegistry for RedisPresenceRegistry {
    fn put(&self, user: UserId, presence: Option<Presence>) {
        self.handle.own.put(user, presence.filter(|presence| !matches!(presence, Presence::Offline { .. })));
    }

    async fn others(&self, users: &[UserId]) -> Result<Vec<Option<Presence>>, RegistryUnavailable> {
        self.handle.write().await?;
        let known = self.handle.read_all(users).await?;
        Ok(known.into_iter().map(|words| words.into_iter().fold(None, together)).collect())
    }

    async fn last_on_dead(&self, users: &[UserId]) -> Vec<Option<Timestamp>> {
        self.handle.last_on_dead(users).await.unwrap_or_else(|_| vec![None; users.len()])
    }

    async fn nodes(&self, users: &[UserId]) -> Result<Vec<u32>, RegistryUnavailable> {
        let known = self.handle.read_all(users).await?;
        Ok(known.into_iter().map(|words| words.len() as u32).collect())
    }
}

/// Renews the lease and writes changes. Never returns.
async fn keep(handle: Arc<Handle>) {
    let every = handle.lease / RENEWALS;
    let mut lease_due = tokio::time::interval(every);
    lease_due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut health = handle.shared.status.health();
    loop {
        tokio::select! {
            biased;
            _ = lease_due.tick() => {
                handle.leased.store(false, Ordering::SeqCst);
                handle.own.some_changed(every, REWRITE);
            }
            // Redis may have been emptied or replaced.
            Ok(()) = health.changed() => handle.leased.store(false, Ordering::SeqCst),
            () = handle.own.changed() => tokio::time::sleep(GATHER).await,
        }
        // A change that could not be written stays marked. It is tried again with the next change or renewal.
        let _ = handle.write().await;
    }
}

impl Handle {
    fn node_key(&self, node: &str) -> String {
        format!("{}node:{node}", self.shared.options.redis.prefix)
    }

    fn seen_key(&self, node: &str) -> String {
        format!("{}seen:{node}", self.shared.options.redis.prefix)
    }

    fn user_key(&self, user: UserId) -> String {
        format!("{}on:{}", self.shared.options.redis.prefix, user.as_uuid().simple())
    }

    /// Renews the lease if that is due. If there was none, the other entries of this node are taken to be
    /// lost too.
    async fn renew(&self) -> Result<(), RegistryUnavailable> {
        if self.leased.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let key = self.node_key(&self.shared.node.text());
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(1).arg("PX").arg(self.lease.as_millis() as u64).arg("GET");
        let seen_key = self.seen_key(&self.shared.node.text());
        let mut seen = redis::cmd("SET");
        seen.arg(&seen_key).arg(self.shared.environment.now().as_unix_ms()).arg("EX").arg(ENTRY_S);
        let answers = self.ask(vec![(key, command), (seen_key, seen)]).await?;
        if matches!(answers.first(), Some(Value::Nil)) {
            self.own.all_changed();
        }
        Ok(())
    }

    /// Writes changes of this node. The lease comes first, because entries without a lease are not valid.
    async fn write(&self) -> Result<(), RegistryUnavailable> {
        let _turn = self.writing.lock().await;
        self.renew().await?;
        let node = self.shared.node.text();
        loop {
            let changes = self.own.take_changed(USERS_AT_ONCE);
            if changes.is_empty() {
                return Ok(());
            }
            let mut commands = Vec::with_capacity(changes.len() * 2);
            for (user, presence) in &changes {
                let key = self.user_key(*user);
                match presence {
                    Some(presence) => {
                        let mut expire = redis::cmd("EXPIRE");
                        expire.arg(&key).arg(ENTRY_S);
                        let mut set = redis::cmd("HSET");
                        set.arg(&key).arg(&node).arg(letter(*presence));
                        commands.extend([(key.clone(), set), (key, expire)]);
                    }
                    None => {
                        let mut remove = redis::cmd("HDEL");
                        remove.arg(&key).arg(&node);
                        commands.push((key, remove));
                    }
                }
            }
            if let Err(away) = self.ask(commands).await {
                self.own.changed_again(changes.into_iter().map(|(user, _)| user));
                return Err(away);
            }
        }
    }

    async fn read_all(&self, users: &[UserId]) -> Result<Vec<Vec<Option<Presence>>>, RegistryUnavailable> {
        let mut known = Vec::with_capacity(users.len());
        for part in users.chunks(USERS_AT_ONCE) {
            known.extend(self.read(part).await?);
        }
        Ok(known)
    }

    /// What each other living node says of each user. Entries of nodes that have been dead for long are
    /// removed.
    async fn read(&self, users: &[UserId]) -> Result<Vec<Vec<Option<Presence>>>, RegistryUnavailable> {
        let entries = self.entries(users).await?;
        let living = self.living(&entries).await?;
        let known = entries.iter().map(|entry| {
            let counted = entry.iter().filter(|(node, _)| living.contains(node.as_str()));
            counted.map(|(_, word)| presence_of(word)).collect()
        });
        let known = known.collect();
        self.remove_long_dead(users, &entries, &living).await;
        Ok(known)
    }

    async fn remove_long_dead(
        &self,
        users: &[UserId],
        entries: &[HashMap<String, String>],
        living: &HashSet<&str>,
    ) {
        let own = self.shared.node.text();
        let named = entries.iter().flat_map(HashMap::keys).map(String::as_str).filter(|node| *node != own);
        let long_ms = (self.lease * LONG_DEAD_LEASES).as_millis() as u64;
        let now_ms = self.shared.environment.monotonic_ms();
        let long_dead = self.dead.long_dead(&named.collect(), living, now_ms, long_ms);
        let mut removals = Vec::new();
        for (user, entry) in users.iter().zip(entries) {
            let fields: Vec<&str> =
                entry.keys().map(String::as_str).filter(|node| long_dead.contains(node)).collect();
            if !fields.is_empty() {
                let key = self.user_key(*user);
                let mut remove = redis::cmd("HDEL");
                remove.arg(&key).arg(fields);
                removals.push((key, remove));
            }
        }
        if !removals.is_empty() {
            // Best effort: the next node that reads them tries again.
            let _ = self.ask(removals).await;
        }
    }

    /// When each user was last on a crashed node.
    async fn last_on_dead(&self, users: &[UserId]) -> Result<Vec<Option<Timestamp>>, RegistryUnavailable> {
        let mut last = Vec::with_capacity(users.len());
        for part in users.chunks(USERS_AT_ONCE) {
            let entries = self.entries(part).await?;
            let named: HashSet<&str> = entries.iter().flat_map(HashMap::keys).map(String::as_str).collect();
            let named: Vec<&str> = named.into_iter().collect();
            let questions = named.iter().map(|node| {
                let key = self.seen_key(node);
                let mut command = redis::cmd("GET");
                command.arg(&key);
                (key, command)
            });
            let answers = self.ask(questions.collect()).await?;
            let seen: HashMap<&str, i64> = named
                .into_iter()
                .zip(answers)
                .filter_map(|(node, answer)| {
                    Some((node, redis::from_redis_value::<Option<i64>>(answer).ok()??))
                })
                .collect();
            last.extend(entries.iter().map(|entry| {
                let times = entry.keys().filter_map(|node| seen.get(node.as_str()).copied());
                times.max().map(Timestamp::from_unix_ms)
            }));
        }
        Ok(last)
    }

    /// The entries of all nodes for each user, also of nodes that ended.
    async fn entries(&self, users: &[UserId]) -> Result<Vec<HashMap<String, String>>, RegistryUnavailable> {
        let questions = users.iter().map(|user| {
            let key = self.user_key(*user);
            let mut command = redis::cmd("HGETALL");
            command.arg(&key);
            (key, command)
        });
        let mut entries: Vec<HashMap<String, String>> = Vec::with_capacity(users.len());
        for answer in self.ask(questions.collect()).await? {
            entries.push(redis::from_redis_value(answer).map_err(|_| RegistryUnavailable)?);
        }
        Ok(entries)
    }

    /// Which of the other nodes named in `entries` have a lease.
    async fn living<'a>(
        &self,
        entries: &'a [HashMap<String, String>],
    ) -> Result<HashSet<&'a str>, RegistryUnavailable> {
        let own = self.shared.node.text();
        let named: HashSet<&str> =
            entries.iter().flat_map(HashMap::keys).map(String::as_str).filter(|node| *node != own).collect();
        let named: Vec<&str> = named.into_iter().collect();
        let questions = named.iter().map(|node| {
            let key = self.node_key(node);
            let mut command = redis::cmd("EXISTS");
            command.arg(&key);
            (key, command)
        });
        let answers = self.ask(questions.collect()).await?;
        let living = named.into_iter().zip(answers).filter(|(_, answer)| matches!(answer, Value::Int(1)));
        Ok(living.map(|(node, _)| node).collect())
    }

    /// Sends commands to the servers of their keys, one pipeline each. Returns the answers in the order of
    /// the commands.
    async fn ask(&self, commands: Vec<(String, Cmd)>) -> Result<Vec<Value>, RegistryUnavailable> {
        let asked = self.try_ask(commands).await;
        if asked.is_err() {
            self.leased.store(false, Ordering::SeqCst);
        }
        asked
    }

    async fn try_ask(&self, commands: Vec<(String, Cmd)>) -> Result<Vec<Value>, RegistryUnavailable> {
        let topology = self.shared.topology.load_full();
        let mut answers = vec![Value::Nil; commands.len()];
        let mut parts: Vec<(&Arc<Link>, Pipeline, Vec<usize>)> = Vec::new();
        for (at, (key, command)) in commands.into_iter().enumerate() {
            let link = topology.owner(&key).ok_or(RegistryUnavailable)?;
            let part = match parts.iter().position(|(known, ..)| Arc::ptr_eq(known, link)) {
                Some(part) => part,
                None => {
                    parts.push((link, Pipeline::new(), Vec::new()));
                    parts.len() - 1
                }
            };
            parts[part].1.add_command(command);
            parts[part].2.push(at);
        }
        for (link, pipeline, places) in parts {
            let mut connection = link.connection.load_full().ok_or(RegistryUnavailable)?.as_ref().clone();
            let asked = pipeline.query_async::<Vec<RedisResult<Value>>>(&mut connection);
            let got = connect::within(self.shared.options.timeout(), asked)
                .await
                .map_err(|_| RegistryUnavailable)?;
            for (at, answer) in places.into_iter().zip(got) {
                answers[at] = answer.map_err(|_| RegistryUnavailable)?;
            }
        }
        Ok(answers)
    }
}

impl NodeId {
    /// The node id as it is written in keys and fields.
    fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

fn letter(presence: Presence) -> &'static str {
    match presence {
        Presence::Online => "o",
        Presence::Away | Presence::Offline { .. } => "a",
    }
}

/// A value of a later release counts as online.
fn presence_of(word: &str) -> Option<Presence> {
    Some(if word == "a" { Presence::Away } else { Presence::Online })
}
