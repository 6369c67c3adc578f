//! Publishes waiting messages: one connection, one pipeline at a time. Messages that arrive in the meantime
//! make the next pipeline.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisResult, Value};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::connect::{ConnectError, Connected, connect_to_primary, replaced, within};
use super::health_check::check_health;
use super::link::Link;
use super::outgoing::Outbound;
use super::{Shared, reconnect_backoff};
use crate::environment::Backoff;

/// About how many bytes one pipeline has.
const PIPELINE_BYTES: usize = 1 << 20;
const PIPELINE_MESSAGES: usize = 1_024;
/// An envelope for more channels than this is sent once, with all their names, and a script on the server
/// publishes it on each.
const CHANNELS_EACH: usize = 3;
/// A server that refuses every message is logged at this interval, not with every pipeline.
const SAY_EVERY_MS: u64 = 1_000;
const SPREAD: &str = "for at = 2, #ARGV do redis.call('PUBLISH', ARGV[at], ARGV[1]) end";

/// Connects and publishes, and connects again after a failure. Never returns.
pub async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let mut backoff = reconnect_backoff();
    loop {
        let error = serve(&shared, &link, &mut backoff).await;
        link.connection.store(None);
        shared.status.down(link.publisher, &error.0);
        shared.suspect_topology();
        tokio::time::sleep(backoff.next_spread(&*shared.environment)).await;
    }
}

async fn serve(shared: &Shared, link: &Link, backoff: &mut Backoff) -> ConnectError {
    let ended = Arc::new(Notify::new());
    let connected = match connect(shared, link, &ended).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    let Connected { connection, address, .. } = &connected;
    link.connection.store(Some(Arc::new(connection.clone())));
    shared.status.up(link.publisher);
    backoff.reset();
    let options = &shared.options;
    let alive = |alive| shared.alive(link.publisher, alive);
    let mut batch = Vec::new();
    let error = tokio::select! {
        error = check_health(connection.clone(), options.ping(), options.timeout(), alive) => error,
        error = publish(shared, link, connection.clone(), &mut batch) => error,
        error = replaced(&link.servers, address, options.timeout()) => error,
        () = ended.notified() => ConnectError("the connection ended".to_owned()),
    };
    // It is not known whether these were published.
    shared.meters.dropped.of("failed").increment(link.outgoing.put_back(batch));
    error
}

async fn connect(shared: &Shared, link: &Link, ended: &Arc<Notify>) -> Result<Connected, ConnectError> {
    let ended = Arc::clone(ended);
    let pushes = move |push: PushInfo| -> Result<(), ()> {
        if push.kind == PushKind::Disconnection {
            ended.notify_one();
        }
        Ok(())
    };
    connect_to_primary(&shared.options, &link.servers, pushes).await
}

/// Publishes until that fails. Messages in progress stay in `batch`, also when the caller cancels this.
async fn publish(
    shared: &Shared,
    link: &Link,
    mut connection: MultiplexedConnection,
    batch: &mut Vec<Outbound>,
) -> ConnectError {
    let mut said_ms = None;
    loop {
        *batch = link.outgoing.take(PIPELINE_BYTES, PIPELINE_MESSAGES);
        shared.meters.outgoing_bytes.set(link.outgoing.bytes() as f64);
        if batch.is_empty() {
            link.outgoing.filled().await;
            continue;
        }
        let pipeline = pipeline(batch, shared.sharded());
        let sent = pipeline.query_async::<Vec<RedisResult<Value>>>(&mut connection);
        let answers = match within(shared.options.timeout(), sent).await {
            Ok(answers) => answers,
            Err(error) => return error,
        };
        let (messages, bytes) = (batch.len() as u64, batch.iter().map(|one| one.envelope.len() as u64).sum());
        batch.clear();
        let refused = answers.iter().filter(|answer| answer.is_err()).count() as u64;
        if let Some(Err(error)) = answers.into_iter().find(RedisResult::is_err) {
            shared.meters.dropped.of("failed").increment(refused);
            let now_ms = shared.environment.monotonic_ms();
            if said_ms.is_none_or(|said_ms| now_ms >= said_ms + SAY_EVERY_MS) {
                tracing::warn!(%error, refused, "Redis refused to publish");
                said_ms = Some(now_ms);
            }
            // In a Cluster the channel may have moved to another server.
            shared.suspect_topology();
        }
        shared.meters.published.increment(messages.saturating_sub(refused));
        shared.meters.published_bytes.increment(bytes);
    }
}

fn pipeline(batch: &[Outbound], sharded: bool) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(batch.len());
    pipeline.ignore_errors();
    for Outbound { channels, envelope, .. } in batch {
        if channels.len() > CHANNELS_EACH && !sharded {
            pipeline.cmd("EVAL").arg(SPREAD).arg(0).arg(envelope).arg(channels.as_slice());
        } else {
            let verb = if sharded { "SPUBLISH" } else { "PUBLISH" };
            for channel in channels {
                pipeline.cmd(verb).arg(channel).arg(envelope);
            }
        }
    }
    pipeline
}

/// A link, and the channels to publish on through it.
pub(super) type Part = (Arc<Link>, SmallVec<[String; 2]>);

/// The channels of one envelope, grouped by their links. Channels without a server are left out.
pub fn by_link(
    topology: &super::topology::Topology,
    channels: impl Iterator<Item = String>,
) -> SmallVec<[Part; 1]> {
    let mut parts: SmallVec<[Part; 1]> = SmallVec::new();
    for channel in channels {
        let Some(link) = topology.owner(&channel) else { continue };
        match parts.iter_mut().find(|(known, _)| Arc::ptr_eq(known, link)) {
            Some((_, of_link)) => of_link.push(channel),
            None => {
                let link = Arc::clone(link);
                parts.push((link, SmallVec::from_iter([channel])));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn outbound(channels: usize) -> Outbound {
        let channels = (0..channels).map(|number| format!("c{number}")).collect();
        Outbound { channels, envelope: vec![7; 100], tried: false }
    }

    #[test]
    fn an_envelope_for_many_channels_is_sent_once() {
        let many = pipeline(&[outbound(256)], false);
        assert_eq!(many.len(), 1);
        assert!(many.get_packed_pipeline().len() < 256 * 12 + 300);
        assert_eq!(pipeline(&[outbound(2), outbound(1)], false).len(), 3);
    }

    #[test]
    fn in_a_cluster_each_channel_is_published_to_apart() {
        let text =
            String::from_utf8_lossy(&pipeline(&[outbound(5)], true).get_packed_pipeline()).into_owned();
        assert_eq!(text.matches("SPUBLISH").count(), 5);
        let one = Outbound { channels: smallvec!["c".to_owned()], envelope: vec![], tried: false };
        assert!(
            !String::from_utf8_lossy(&pipeline(&[one], false).get_packed_pipeline()).contains("SPUBLISH")
        );
    }
}
