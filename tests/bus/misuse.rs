//! What others may put on our channels.

use tidings::bus::envelope::{NodeId, Stamp, VERSION, encode};

use crate::ear::ear;
use crate::servers::Redis;
use crate::world::{channel, connected, counted, numbered, options, settle, topic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_later_versions_are_counted_and_ignored() {
    let redis = Redis::start().await;
    let ear = ear();
    let bus = connected(options(&redis), &ear).await;
    tidings::bus::Bus::subscribe(&*bus, topic(1));
    settle(&redis, topic(1), 1).await;
    let sound = encode(Stamp { node: NodeId(1), number: 1 }, &numbered(&[topic(1)], 1)).unwrap();
    let mut later = sound.clone();
    later[0] = VERSION + 1;
    let cut = sound[..sound.len() - 1].to_vec();
    let dropped = |reason: &str| counted(&format!("tidings_bus_dropped_total{{reason=\"{reason}\"}}"));
    let before = (dropped("unreadable"), dropped("unknown_version"));
    let mut connection = redis.connection().await;
    let empty = Vec::new();
    for bytes in [b"\xFFgarbage".to_vec(), empty, later, [VERSION].to_vec(), cut, sound] {
        let _: u64 = redis::cmd("PUBLISH")
            .arg(channel(topic(1)))
            .arg(bytes)
            .query_async(&mut connection)
            .await
            .unwrap();
    }
    // Number 1 was used by the damaged one already: what counts is the stamp, so a fresh one proves that all goes on.
    let fresh = encode(Stamp { node: NodeId(1), number: 2 }, &numbered(&[topic(1)], 2)).unwrap();
    let _: u64 =
        redis::cmd("PUBLISH").arg(channel(topic(1))).arg(fresh).query_async(&mut connection).await.unwrap();
    ear.number(2).await;
    assert!(dropped("unknown_version") >= before.1 + 2.0, "0xFF and the later version");
    assert!(dropped("unreadable") >= before.0 + 3.0, "nothing, a head alone, a cut one");
    assert!(bus.health().up);
}
