//! The presence book in Redis.
//!
//! ```text
//! PREFIX on:USER     hash: a node's id → "o" (online) or "a" (away)      an hour, written anew every 20 minutes
//! PREFIX node:NODE   "1"                                                 the node's lease, renewed at a quarter of it
//! PREFIX seen:NODE   when the node last renewed it, in ms since 1970     an hour
//! ```
//!
//! One lease per node, not per user: keeping 100,000 users alive is one command every few seconds. An entry counts while its
//! node's lease stands. A node whose lease was gone (an emptied or new Redis, or it was frozen itself) writes all its entries
//! anew. What a node that died left in `on:` tells when its users were last there; it is removed by whoever reads it once the node has been
//! dead for long. Commands go over the publisher's connections; while there is none, the book is away.

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
use crate::bus::book::{BookAway, PresenceBook, together};
use crate::bus::envelope::NodeId;
use crate::domain::{Timestamp, UserId};

/// How long an entry stays in a Redis that nobody writes to any more.
const ENTRY_S: u64 = 3_600;
/// Every entry is written anew within this time, well before it would go.
const REWRITE: Duration = Duration::from_secs(1_200);
/// How often the lease is renewed before it would run out.
const RENEWALS: u32 = 4;
/// Entries and questions per round trip.
const USERS_AT_ONCE: usize = 500;
/// Leases after which the entries of a dead node are removed.
const LONG_DEAD_LEASES: u32 = 10;
/// Changes are gathered for so long before they are written.
const GATHER: Duration = Duration::from_millis(20);

/// This node's handle to the presence book in Redis. When it is dropped, its lease runs out.
pub struct RedisBook {
    hand: Arc<Hand>,
    keeper: AbortHandle,
}

struct Hand {
    shared: Arc<Shared>,
    own: Own,
    dead: Dead,
    lease: Duration,
    /// The lease need not be renewed just now.
    leased: AtomicBool,
    /// One writer at a time, so that a user's changes are written in their order.
    writing: Mutex<()>,
}

impl RedisBus {
    /// Opens the presence book in the same Redis. A node that dies is forgotten after `lease`. Call inside a tokio runtime.
    pub fn book(&self, lease: Duration) -> Arc<RedisBook> {
        let hand = Arc::new(Hand {
            shared: Arc::clone(&self.shared),
            own: Own::default(),
            dead: Dead::default(),
            lease,
            leased: AtomicBool::new(false),
            writing: Mutex::default(),
        });
        let keeper = tokio::spawn(keep(Arc::clone(&hand))).abort_handle();
        Arc::new(RedisBook { hand, keeper })
    }
}

impl RedisBook {
    /// Ends the lease at once: this node is about to stop, and its users are gone from here. Best effort, in time.
    pub async fn leave(&self) {
        self.keeper.abort();
        let key = self.hand.node_key(&self.hand.shared.node.text());
        let mut command = redis::cmd("DEL");
        command.arg(&key);
        // Nobody to tell: the lease runs out by itself.
        let _ = self.hand.ask(vec![(key, command)]).await;
    }
}

impl Drop for RedisBook {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl PresenceBook for RedisBook {
    fn put(&self, user: UserId, presence: Option<Presence>) {
        self.hand.own.put(user, presence.filter(|presence| !matches!(presence, Presence::Offline { .. })));
    }

    async fn others(&self, users: &[UserId]) -> Result<Vec<Option<Presence>>, BookAway> {
        self.hand.write().await?;
        let known = self.hand.read_all(users).await?;
        Ok(known.into_iter().map(|words| words.into_iter().fold(None, together)).collect())
    }

    async fn last_on_dead(&self, users: &[UserId]) -> Vec<Option<Timestamp>> {
        self.hand.last_on_dead(users).await.unwrap_or_else(|_| vec![None; users.len()])
    }

    async fn nodes(&self, users: &[UserId]) -> Result<Vec<u32>, BookAway> {
        let known = self.hand.read_all(users).await?;
        Ok(known.into_iter().map(|words| words.len() as u32).collect())
    }
}

/// Renews the lease and writes what changed, for ever.
async fn keep(hand: Arc<Hand>) {
    let every = hand.lease / RENEWALS;
    let mut lease_due = tokio::time::interval(every);
    lease_due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut health = hand.shared.status.health();
    loop {
        tokio::select! {
            biased;
            _ = lease_due.tick() => {
                hand.leased.store(false, Ordering::SeqCst);
                hand.own.some_changed(every, REWRITE);
            }
            // Redis may have come back empty, or be another one.
            Ok(()) = health.changed() => hand.leased.store(false, Ordering::SeqCst),
            () = hand.own.changed() => tokio::time::sleep(GATHER).await,
        }
        // What could not be written stays marked and is tried again with the next change or renewal.
        let _ = hand.write().await;
    }
}

impl Hand {
    fn node_key(&self, node: &str) -> String {
        format!("{}node:{node}", self.shared.options.prefix)
    }

    fn seen_key(&self, node: &str) -> String {
        format!("{}seen:{node}", self.shared.options.prefix)
    }

    fn user_key(&self, user: UserId) -> String {
        format!("{}on:{}", self.shared.options.prefix, user.as_uuid().simple())
    }

    /// Renews the lease if that is due. Where there was none, nothing else of this node's is believed to be there either.
    async fn renew(&self) -> Result<(), BookAway> {
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

    /// Writes what changed here; the lease first, since entries of a node without one do not count.
    async fn write(&self) -> Result<(), BookAway> {
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

    async fn read_all(&self, users: &[UserId]) -> Result<Vec<Vec<Option<Presence>>>, BookAway> {
        let mut known = Vec::with_capacity(users.len());
        for part in users.chunks(USERS_AT_ONCE) {
            known.extend(self.read(part).await?);
        }
        Ok(known)
    }

    /// What each other living node says of each user. What nodes that are dead for long say is removed.
    async fn read(&self, users: &[UserId]) -> Result<Vec<Vec<Option<Presence>>>, BookAway> {
        let entries = self.entries(users).await?;
        let living = self.living(&entries).await?;
        let known = entries.iter().map(|entry| {
            let counted = entry.iter().filter(|(node, _)| living.contains(node.as_str()));
            counted.map(|(_, word)| presence_of(word)).collect()
        });
        let known = known.collect();
        self.bury(users, &entries, &living).await;
        Ok(known)
    }

    async fn bury(&self, users: &[UserId], entries: &[HashMap<String, String>], living: &HashSet<&str>) {
        let own = self.shared.node.text();
        let named = entries.iter().flat_map(HashMap::keys).map(String::as_str).filter(|node| *node != own);
        let long_ms = (self.lease * LONG_DEAD_LEASES).as_millis() as u64;
        let now_ms = self.shared.environment.monotonic_ms();
        let buried = self.dead.long_dead(&named.collect(), living, now_ms, long_ms);
        let mut removals = Vec::new();
        for (user, entry) in users.iter().zip(entries) {
            let fields: Vec<&str> =
                entry.keys().map(String::as_str).filter(|node| buried.contains(node)).collect();
            if !fields.is_empty() {
                let key = self.user_key(*user);
                let mut remove = redis::cmd("HDEL");
                remove.arg(&key).arg(fields);
                removals.push((key, remove));
            }
        }
        if !removals.is_empty() {
            // Best effort: whoever reads them next tries again.
            let _ = self.ask(removals).await;
        }
    }

    /// When each user was last on a node that is dead.
    async fn last_on_dead(&self, users: &[UserId]) -> Result<Vec<Option<Timestamp>>, BookAway> {
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

    /// What every node says of each user, living or not.
    async fn entries(&self, users: &[UserId]) -> Result<Vec<HashMap<String, String>>, BookAway> {
        let questions = users.iter().map(|user| {
            let key = self.user_key(*user);
            let mut command = redis::cmd("HGETALL");
            command.arg(&key);
            (key, command)
        });
        let mut entries: Vec<HashMap<String, String>> = Vec::with_capacity(users.len());
        for answer in self.ask(questions.collect()).await? {
            entries.push(redis::from_redis_value(answer).map_err(|_| BookAway)?);
        }
        Ok(entries)
    }

    /// Which of the nodes named in `entries`, this one left out, have a lease.
    async fn living<'a>(&self, entries: &'a [HashMap<String, String>]) -> Result<HashSet<&'a str>, BookAway> {
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

    /// Sends commands to the servers that their keys belong to, one pipeline each; answers in the commands' order.
    async fn ask(&self, commands: Vec<(String, Cmd)>) -> Result<Vec<Value>, BookAway> {
        let asked = self.try_ask(commands).await;
        if asked.is_err() {
            self.leased.store(false, Ordering::SeqCst);
        }
        asked
    }

    async fn try_ask(&self, commands: Vec<(String, Cmd)>) -> Result<Vec<Value>, BookAway> {
        let layout = self.shared.layout.load_full();
        let mut answers = vec![Value::Nil; commands.len()];
        let mut parts: Vec<(&Arc<Link>, Pipeline, Vec<usize>)> = Vec::new();
        for (at, (key, command)) in commands.into_iter().enumerate() {
            let link = layout.owner(&key).ok_or(BookAway)?;
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
            let mut connection = link.connection.load_full().ok_or(BookAway)?.as_ref().clone();
            let asked = pipeline.query_async::<Vec<RedisResult<Value>>>(&mut connection);
            let got = connect::within(self.shared.options.timeout, asked).await.map_err(|_| BookAway)?;
            for (at, answer) in places.into_iter().zip(got) {
                answers[at] = answer.map_err(|_| BookAway)?;
            }
        }
        Ok(answers)
    }
}

impl NodeId {
    /// As keys and fields write it.
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

/// A word of a later release counts as being there.
fn presence_of(word: &str) -> Option<Presence> {
    Some(if word == "a" { Presence::Away } else { Presence::Online })
}
