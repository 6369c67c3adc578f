//! A Redis Cluster: one link per primary, created and ended as the topology changes.
//!
//! Channels and keys belong to slots, and slots to primaries (`CLUSTER SLOTS`). The topology is read every
//! few seconds, and at once when something fails. A topic whose slot moved is subscribed at the new server,
//! and the listener gets a gap, because anything may have been lost between the two servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionInfo, PushInfo, Value};

use super::Shared;
use super::connect::{ConnectError, at, open_connection, within};
use super::link::Link;
use super::options::RedisServers;
use super::topology::{SLOTS, Topology};

/// Between two reads of the topology while nothing fails.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two reads while something fails.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A primary's address.
type Address = (String, u16);

/// Which slots belong to which primary: ranges with both ends, by address.
type Ranges = BTreeMap<Address, Vec<(u16, u16)>>;

/// Keeps the topology up to date. Never returns.
pub async fn run(shared: Arc<Shared>, seed: ConnectionInfo) {
    let part = shared.status.add("cluster".to_owned());
    let mut links: BTreeMap<Address, Arc<Link>> = BTreeMap::new();
    let mut known = Ranges::new();
    loop {
        match ask_any(&shared, &seed, links.keys()).await {
            Ok(ranges) => {
                if ranges != known {
                    arrange(&shared, &seed, &mut links, &ranges);
                    known = ranges;
                }
                shared.status.up(part);
            }
            Err(error) => shared.status.down(part, &error.0),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        // Ends at once when something failed in the meantime.
        let _ = tokio::time::timeout(LOOK_EVERY, shared.topology_suspect.notified()).await;
    }
}

/// Creates and ends links, and stores the topology.
fn arrange(
    shared: &Arc<Shared>,
    seed: &ConnectionInfo,
    links: &mut BTreeMap<Address, Arc<Link>>,
    ranges: &Ranges,
) {
    tracing::info!(primaries = ranges.len(), "the topology of the Redis Cluster changed");
    for (host, port) in ranges.keys() {
        links.entry((host.clone(), *port)).or_insert_with(|| {
            let server = at(seed, host.clone(), *port);
            shared.start_link(RedisServers::Cluster(server), &format!("at {host}:{port}"))
        });
    }
    let mut slots = vec![None; usize::from(SLOTS)];
    let mut serving = Vec::with_capacity(ranges.len());
    for (address, owned) in ranges {
        let place = serving.len() as u16;
        serving.push(Arc::clone(&links[address]));
        for (first, last) in owned {
            slots[usize::from(*first)..=usize::from(*last)].fill(Some(place));
        }
    }
    let gone: Vec<Address> = links.keys().filter(|address| !ranges.contains_key(*address)).cloned().collect();
    shared.topology.store(Arc::new(Topology::slotted(serving, slots)));
    for address in gone {
        if let Some(link) = links.remove(&address) {
            shared.retire(&link);
        }
    }
    for link in links.values() {
        link.mark_stale(shared.wanted());
        link.moved_here();
    }
}

/// Asks the known primaries, then the configured server.
async fn ask_any(
    shared: &Shared,
    seed: &ConnectionInfo,
    known: impl Iterator<Item = &Address>,
) -> Result<Ranges, ConnectError> {
    let mut error = None;
    let nodes = known.map(|(host, port)| at(seed, host.clone(), *port));
    for node in nodes.chain([seed.clone()]) {
        match ask(shared, &node).await {
            Ok(ranges) => return Ok(ranges),
            Err(asked) => error = Some(ConnectError(format!("{}: {asked}", node.addr()))),
        }
    }
    Err(error.unwrap_or_else(|| ConnectError("no node is known".to_owned())))
}

async fn ask(shared: &Shared, node: &ConnectionInfo) -> Result<Ranges, ConnectError> {
    let timeout = shared.options.timeout();
    let mut connection = open_connection(node, None::<fn(PushInfo) -> Result<(), ()>>, timeout).await?;
    let command = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
    let answer = within(timeout, command.query_async::<Value>(&mut connection)).await?;
    let asked = node.addr().to_string();
    let host = asked.rsplit_once(':').map_or(asked.as_str(), |(host, _)| host);
    read(answer, host).ok_or_else(|| ConnectError("has no topology: is it a node of a Cluster?".to_owned()))
}

/// Reads the answer of `CLUSTER SLOTS`; a primary without a host is the node that was asked.
fn read(answer: Value, asked: &str) -> Option<Ranges> {
    let mut ranges = Ranges::new();
    for range in redis::from_redis_value::<Vec<Value>>(answer).ok()? {
        let mut fields = redis::from_redis_value::<Vec<Value>>(range).ok()?.into_iter();
        let first: u16 = redis::from_redis_value(fields.next()?).ok()?;
        let last: u16 = redis::from_redis_value(fields.next()?).ok()?;
        if first > last || last >= SLOTS {
            return None;
        }
        let mut primary = redis::from_redis_value::<Vec<Value>>(fields.next()?).ok()?.into_iter();
        let host: Option<String> = redis::from_redis_value(primary.next()?).ok()?;
        let port: u16 = redis::from_redis_value(primary.next()?).ok()?;
        let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.to_owned());
        ranges.entry((host, port)).or_default().push((first, last));
    }
    (!ranges.is_empty()).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let primary = Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])]);
        let replica = Value::Array(vec![text("10.0.0.9"), Value::Int(9), text("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
    }

    #[test]
    fn primaries_are_read_with_their_ranges() {
        let answer = Value::Array(vec![
            range(0, 99, text("10.0.0.1"), 1),
            range(100, 16_383, Value::Nil, 2),
            range(200, 300, text("10.0.0.1"), 1),
        ]);
        let ranges = read(answer, "seed").unwrap();
        assert_eq!(ranges[&("10.0.0.1".to_owned(), 1)], [(0, 99), (200, 300)]);
        assert_eq!(ranges[&("seed".to_owned(), 2)], [(100, 16_383)]);
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        assert_eq!(read(Value::Okay, "seed"), None);
        assert_eq!(read(Value::Array(vec![]), "seed"), None);
        assert_eq!(read(Value::Array(vec![range(5, 16_384, text("h"), 1)]), "seed"), None);
        assert_eq!(read(Value::Array(vec![Value::Array(vec![Value::Int(1)])]), "seed"), None);
    }
}
