//! What sessions do when too much waits for all clients together.

use std::sync::Arc;

use serde_json::Value;

use super::tests::{QUEUED_BYTES, World, bounds};
use crate::environment::ManualEnvironment;

#[actix_rt::test]
async fn the_slowest_reader_gives_way_and_is_told_everything_it_lost() {
    let mut bounds = bounds();
    bounds.gateway.lag_resume_bytes = 4 * 1024;
    let world = World::on(Arc::new(ManualEnvironment::new(1_700_000_000_000, 7)), bounds).await;
    let (_, ada_token) = world.guest("ada").await;
    let (ben, ben_token) = world.guest("ben").await;
    // One socket takes twice as much before it is full.
    let mut slower = world.welcomed(&ben_token, 1_024).await;
    let mut slow = world.welcomed(&ben_token, 16 * 1_024).await;
    let mut ada = world.welcomed(&ada_token, 1 << 16).await;
    let messages = 16_u32;
    for n in 1..=messages {
        ada.send_message(ben, n, 3_000).await;
    }
    let budget = world.node.budget();
    while budget.queued() > QUEUED_BYTES {
        tokio::task::yield_now().await;
    }
    let seen = budget.observed();
    assert!(seen.live > 16_384 && seen.connections == 2, "only one had to give way: {seen:?}");

    let (mut pushed, mut lagged) = (0, false);
    let heads = loop {
        let message = slower.hear_any().await;
        match message["type"].as_str() {
            Some("event") => {
                pushed += 1;
                assert_eq!(message["seq"], pushed, "what had begun is whole");
                assert!(!lagged);
            }
            Some("lagging") => lagged = true,
            Some("heads") => break message,
            _ => {}
        }
    };
    assert!(lagged && pushed < 4, "{pushed} were not dropped");
    let told = heads["heads"][0]["last_seq"].as_u64().expect("a seq");
    assert!(told > pushed, "{heads}");
    for seq in told + 1..=u64::from(messages) {
        assert_eq!(slower.hear("event").await["seq"], seq, "what was said after the heads were read");
    }
    for seq in 1..=messages {
        let event: Value = slow.hear("event").await;
        assert_eq!(event["seq"], seq, "the other one gets all of it");
    }
    ada.send_message(ben, 99, 5).await;
    for client in [&mut slower, &mut slow] {
        assert_eq!(client.hear("event").await["seq"], messages + 1, "both are live");
    }
    assert_eq!(budget.queued(), 0);
}
