//! Follows the wanted topics: one connection, made to agree with what is wanted again and again.
//!
//! A topic is subscribed when the server has confirmed it. After every new connection all are subscribed anew, and only then
//! the listener is told of the gap: whatever it reads from the log after that, the rest comes by the connection.

use std::collections::HashSet;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::Notify;

use super::connect::{Trouble, dial, primary, replaced, require_primary, role, within};
use super::link::Link;
use super::pulse::pulse;
use super::{Shared, reconnect_backoff};
use crate::domain::Topic;
use crate::environment::Backoff;

/// Channels per round trip: few enough that a server answers them well within a timeout.
const CHANNELS_AT_ONCE: usize = 1_000;

/// Runs for ever: connects, follows, and connects again when that fails.
pub async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let mut backoff = reconnect_backoff();
    let mut connected_before = false;
    loop {
        let trouble = follow(&shared, &link, &mut backoff, &mut connected_before).await;
        shared.status.down(link.subscriber, &trouble.0);
        shared.look_around();
        tokio::time::sleep(backoff.next_spread(&*shared.environment)).await;
    }
}

async fn follow(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    backoff: &mut Backoff,
    connected_before: &mut bool,
) -> Trouble {
    let ended = Arc::new(Notify::new());
    let (connection, address) = match connect(shared, link, &ended).await {
        Ok(connected) => connected,
        Err(trouble) => return trouble,
    };
    let mut subscribed = HashSet::new();
    let serving = async {
        let mut connection = connection.clone();
        link.stir(shared.wanted());
        if let Err(trouble) = agree(shared, link, &mut connection, &mut subscribed).await {
            return trouble;
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
            trouble = pulse(connection.clone(), options.ping, options.timeout, alive) => trouble,
            trouble = keep_agreeing(shared, link, &mut connection, &mut subscribed) => trouble,
            trouble = replaced(&link.place, &address, options.timeout) => trouble,
        }
    };
    tokio::select! {
        trouble = serving => trouble,
        () = ended.notified() => Trouble("the connection ended".to_owned()),
    }
}

async fn connect(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    ended: &Arc<Notify>,
) -> Result<(MultiplexedConnection, String), Trouble> {
    let timeout = shared.options.timeout;
    let server = primary(&link.place, timeout).await?;
    let (into, of, ended) = (Arc::clone(shared), Arc::clone(link), Arc::clone(ended));
    let pushes = move |push: PushInfo| -> Result<(), ()> {
        on_push(&into, &of, &ended, push);
        Ok(())
    };
    let mut connection = dial(&server, Some(pushes), timeout).await?;
    require_primary(within(timeout, role(&mut connection)).await?)?;
    Ok((connection, server.addr().to_string()))
}

/// Called by the connection as it reads: may not wait.
fn on_push(shared: &Shared, link: &Link, ended: &Notify, push: PushInfo) {
    match push.kind {
        PushKind::Message | PushKind::SMessage => {
            if let Some(Value::BulkString(envelope)) = push.data.into_iter().nth(1) {
                shared.arrived(envelope);
            }
        }
        PushKind::Disconnection => ended.notify_one(),
        // Nobody asked for it when the name is not what we gave up: the channel's slot moved to another server, and the
        // library has taken the word for the answer to another command. Only a new connection is sound.
        PushKind::SUnsubscribe if shared.is_wanted_channel(push.data.first(), link) => ended.notify_one(),
        _ => {}
    }
}

async fn keep_agreeing(
    shared: &Shared,
    link: &Link,
    connection: &mut MultiplexedConnection,
    subscribed: &mut HashSet<Topic>,
) -> Trouble {
    loop {
        link.stirred().await;
        let moved_here = link.take_moved_here();
        if let Err(trouble) = agree(shared, link, connection, subscribed).await {
            return trouble;
        }
        if moved_here && !subscribed.is_empty() {
            shared.gap();
        }
    }
}

/// Subscribes and unsubscribes until nothing is stale. What a failure leaves undone the next connection does anew.
async fn agree(
    shared: &Shared,
    link: &Link,
    connection: &mut MultiplexedConnection,
    subscribed: &mut HashSet<Topic>,
) -> Result<(), Trouble> {
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
            // A refusal says that the channel is not here any more, which is what was wanted.
            let _refused = tell(shared, connection, unsubscribe, part).await?;
            part.iter().for_each(|topic| {
                subscribed.remove(topic);
            });
        }
        for part in come.chunks(CHANNELS_AT_ONCE) {
            if let Some(refused) = tell(shared, connection, subscribe, part).await? {
                return Err(refused);
            }
            subscribed.extend(part);
        }
    }
}

/// One command per channel, all in one write; answers when the server has confirmed every one, or with its first refusal.
async fn tell(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    verb: &str,
    topics: &[Topic],
) -> Result<Option<Trouble>, Trouble> {
    let mut pipeline = Pipeline::with_capacity(topics.len());
    for topic in topics {
        pipeline.cmd(verb).arg(shared.channels.of(*topic));
    }
    pipeline.ignore_errors();
    let answers: Vec<RedisResult<Value>> =
        within(shared.options.timeout, pipeline.query_async(connection)).await?;
    Ok(answers.into_iter().find_map(Result::err).map(Trouble::from))
}
