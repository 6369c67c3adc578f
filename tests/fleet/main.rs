//! Several nodes on one log: no matter what the bus loses, every node delivers every event in order and once.

mod another_log;
mod blocks;
mod counted;
mod held_back;
mod invitations;
mod revocation;
mod support;

#[path = "../servers/database.rs"]
#[expect(dead_code, reason = "other tests do more with their servers")]
mod servers;

use std::sync::atomic::Ordering;

use support::Fleet;
use tidings::domain::{ConversationKind, Topic};

fn run(first: u64, last: u64) -> Vec<u64> {
    (first..=last).collect()
}

#[tokio::test]
async fn the_bus_carries_events_to_the_other_node() {
    let fleet = Fleet::new().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (mut one, mut two) = (fleet.station().await, fleet.station().await);
    one.router.subscribe(0, Topic::User(ada));
    two.router.subscribe(0, Topic::User(ben));
    for seq in 3..=20 {
        assert_eq!(fleet.say(&one, ada, room, false).await, seq);
    }
    assert_eq!(one.receive(20).await, run(3, 20));
    assert_eq!(two.receive(20).await, run(3, 20));
}

#[tokio::test]
async fn what_a_node_could_not_publish_comes_from_the_relay_in_order() {
    let fleet = Fleet::new().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    for seq in 3..=30 {
        // Events at the beginning, in the middle and at the end are lost; two were committed by a node that
        // crashed.
        one.mute.store(seq < 5 || (10..15).contains(&seq) || seq > 28, Ordering::SeqCst);
        fleet.say(&one, ada, room, seq == 7 || seq == 30).await;
    }
    assert_eq!(two.receive(30).await, run(3, 30));
}

#[tokio::test]
async fn a_channel_is_healed_like_a_group() {
    let fleet = Fleet::new().await;
    let _relay = fleet.relay();
    let ada = fleet.user().await;
    let room = fleet.room(ConversationKind::Channel, &[ada]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::Channel(room));
    for seq in 2..=12 {
        one.mute.store(seq % 3 != 0, Ordering::SeqCst);
        fleet.say(&one, ada, room, false).await;
    }
    assert_eq!(two.receive(12).await, run(2, 12));
}

#[tokio::test]
async fn without_a_bus_each_node_reads_the_log() {
    let fleet = Fleet::new().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (mut one, mut two) = (fleet.station().await, fleet.station().await);
    one.router.subscribe(0, Topic::User(ada));
    two.router.subscribe(0, Topic::User(ben));
    for seq in 3..=30 {
        let lost = (10..20).contains(&seq);
        fleet.bus(!lost);
        one.mute.store(lost, Ordering::SeqCst);
        two.mute.store(lost, Ordering::SeqCst);
        let (speaker, station) = if seq % 2 == 0 { (ada, &one) } else { (ben, &two) };
        fleet.say(station, speaker, room, false).await;
    }
    assert_eq!(one.receive(30).await, run(3, 30));
    assert_eq!(two.receive(30).await, run(3, 30));
}

#[tokio::test]
async fn without_a_relay_each_node_reads_the_log() {
    let fleet = Fleet::new().await;
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    one.mute.store(true, Ordering::SeqCst);
    let first = fleet.say(&one, ada, room, false).await;
    let last = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(last).await, run(first, last));
}

#[tokio::test]
async fn a_standby_takes_over_when_the_relay_stops() {
    let fleet = Fleet::new().await;
    let (first, _second) = (fleet.relay(), fleet.relay());
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    one.mute.store(true, Ordering::SeqCst);
    fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(3).await, run(3, 3));
    first.send(true).unwrap();
    fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(4).await, run(4, 4));
}
