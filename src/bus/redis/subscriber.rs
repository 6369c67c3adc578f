//! Subscribes to the wanted topics: one connection, whose subscriptions are reconciled with what is wanted.
//!
//! A topic is subscribed when the server has confirmed it. After every new connection all topics are
//! subscribed again, and only then the listener gets the gap. So everything that is published after the
//! listener's read of the log arrives by the connection.

use std::collections::HashSet;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::Notify;

use super::connect::{ConnectError, Connected, connect_to_primary, replaced, within};
use super::health_check::check_health;
use super::link::Link;
use super::{Shared, reconnect_backoff};
use crate::domain::Topic;
use crate::environment::Backoff;

/// Channels per round trip: few enough that a server answers well within the timeout.
const CHANNELS_AT_ONCE: usize = 1_000;

/// Connects and subscribes, and connects again after a failure. Never returns.
pub async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let mut backoff = reconnect_backoff();
    let mut connected_before = false;
    loop {
        let error = follow(&shared, &link, &mut backoff, &mut connected_before).await;
        shared.status.down(link.subscriber, &error.0);
        shared.suspect_topology();
        tokio::time::sleep(backoff.next_spread(&*shared.environment)).await;
    }
}

async fn follow(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    backoff: &mut Backoff,
    connected_before: &mut bool,
) -> ConnectError {
    let ended = Arc::new(Notify::new());
    let connected = match connect(shared, link, &ended).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    let Connected { connection, address, .. } = &connected;
    let mut subscribed = HashSet::new();
    let serving = async {
        let mut connection = connection.clone();
        link.mark_stale(shared.wanted());
        if let Err(error) = reconcile(shared, link, &mut connection, &mut subscribed).await {
            return error;
        }
        shared.status.up(link.subscriber);
        backoff.reset();
        if *connected_before {
            shared.meters.reconnects.increment(1);
        }
        if *connected_before || !subscribed.is_empty() {
            shared.gap();
        }
        *connected_before = true;
        let options = &shared.options;
        let alive = |alive| shared.alive(link.subscriber, alive);
        tokio::select! {
            error = check_health(connection.clone(), options.ping(), options.timeout(), alive) => error,
            error = keep_reconciling(shared, link, &mut connection, &mut subscribed) => error,
            error = replaced(&link.servers, address, options.timeout()) => error,
        }
    };
    tokio::select! {
        error = serving => error,
        () = ended.notified() => ConnectError("the connection ended".to_owned()),
    }
}

async fn connect(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    ended: &Arc<Notify>,
) -> Result<Connected, ConnectError> {
    let (into, of, ended) = (Arc::clone(shared), Arc::clone(link), Arc::clone(ended));
    let pushes = move |push: PushInfo| -> Result<(), ()> {
        on_push(&into, &of, &ended, push);
        Ok(())
    };
    connect_to_primary(&shared.options, &link.servers, pushes).await
}

/// Called by the connection while it reads. Must not wait.
fn on_push(shared: &Shared, link: &Link, ended: &Notify, push: PushInfo) {
    match push.kind {
        PushKind::Message | PushKind::SMessage => {
            if let Some(Value::BulkString(envelope)) = push.data.into_iter().nth(1) {
                shared.arrived(envelope);
            }
        }
        PushKind::Disconnection => ended.notify_one(),
        // If this node still wants the channel, its slot moved to another server, and the library has taken
        // this message for the answer to another command. Only a new connection is safe.
        PushKind::SUnsubscribe if shared.is_wanted_channel(push.data.first(), link) => ended.notify_one(),
        _ => {}
    }
}

async fn keep_reconciling(
    shared: &Shared,
    link: &Link,
    connection: &mut MultiplexedConnection,
    subscribed: &mut HashSet<Topic>,
) -> ConnectError {
    loop {
        link.marked().await;
        let moved_here = link.take_moved_here();
        if let Err(error) = reconcile(shared, link, connection, subscribed).await {
            return error;
        }
        if moved_here && !subscribed.is_empty() {
            shared.gap();
        }
    }
}

/// Subscribes and unsubscribes until nothing is stale. After a failure the next connection does it again.
async fn reconcile(
    shared: &Shared,
    link: &Link,
    connection: &mut MultiplexedConnection,
    subscribed: &mut HashSet<Topic>,
) -> Result<(), ConnectError> {
    loop {
        let stale = link.take_stale();
        if stale.is_empty() {
            return Ok(());
        }
        let (mut come, mut go) = (Vec::new(), Vec::new());
        for topic in stale {
            match (shared.is_wanted(topic, link), subscribed.contains(&topic)) {
                (true, false) => come.push(topic),
                (false, true) => go.push(topic),
                (true, true) | (false, false) => {}
            }
        }
        let (subscribe, unsubscribe) =
            if shared.sharded() { ("SSUBSCRIBE", "SUNSUBSCRIBE") } else { ("SUBSCRIBE", "UNSUBSCRIBE") };
        for part in go.chunks(CHANNELS_AT_ONCE) {
            // A refusal says that the channel is no longer here, which is what was wanted.
            let _refused = command_each(shared, connection, unsubscribe, part).await?;
            part.iter().for_each(|topic| {
                subscribed.remove(topic);
            });
        }
        for part in come.chunks(CHANNELS_AT_ONCE) {
            if let Some(refused) = command_each(shared, connection, subscribe, part).await? {
                return Err(refused);
            }
            subscribed.extend(part);
        }
    }
}

/// Sends one command per channel, all in one write. Returns after the server has confirmed every one, or its
/// first refusal.
async fn command_each(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    verb: &str,
    topics: &[Topic],
) -> Result<Option<ConnectError>, ConnectError> {
    let mut pipeline = Pipeline::with_capacity(topics.len());
    for topic in topics {
        pipeline.cmd(verb).arg(shared.channels.of(*topic));
    }
    pipeline.ignore_errors();
    let answers: Vec<RedisResult<Value>> =
        within(shared.options.timeout(), pipeline.query_async(connection)).await?;
    Ok(answers.into_iter().find_map(Result::err).map(ConnectError::from))
}
