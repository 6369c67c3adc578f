//! The log is replaced after a failover that lost its last events: the events at their seqs are new.

use tidings::actors::inbox::Item;
use tidings::bus::{BusMessage, Listener, Payload};
use tidings::domain::{ConversationKind, Topic};

use crate::support::Fleet;

/// What a promoted standby looks like that had not got everything: events after `last` are gone, and the
/// epoch is another.
async fn lose_after(fleet: &Fleet, last: u64) {
    let mut connection = fleet.connect("fleet").await;
    let statements = format!(
        "BEGIN; DELETE FROM events WHERE seq > {last}; DELETE FROM sends; \
         UPDATE conversations c SET last_seq = {last}, message_count = 0, \
             last_position = (SELECT max(position) FROM events e WHERE e.conversation = c.id); \
         UPDATE members SET read_seq = least(read_seq, {last}), delivered_seq = least(delivered_seq, {last}), read_count = 0; \
         UPDATE meta SET value = value + 1 WHERE name = 'epoch'; COMMIT"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn what_takes_the_place_of_lost_events_is_passed_on() {
    let fleet = Fleet::on_postgres().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    for _ in 0..4 {
        fleet.say(&one, ada, room, false).await;
    }
    assert_eq!(two.receive(6).await, [3, 4, 5, 6]);
    lose_after(&fleet, 4).await;
    assert!(two.told_to_compare().await.is_empty());
    let said = fleet.say(&one, ada, room, false).await;
    assert_eq!(said, 5);
    assert_eq!(two.receive(5).await, [5]);
    let said = fleet.say(&one, ada, room, true).await;
    assert_eq!(two.receive(said).await, [6]);
}

#[tokio::test]
async fn a_late_event_of_the_old_log_is_not_taken_for_one_of_the_new() {
    let fleet = Fleet::on_postgres().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    let before = fleet.store.end().await.unwrap();
    fleet.say(&one, ada, room, false).await;
    fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(4).await, [3, 4]);
    let old = fleet.store.tail(before.position, 10).await.unwrap().committed.remove(1);
    lose_after(&fleet, 3).await;
    assert!(two.told_to_compare().await.is_empty());
    let (topics, payload) = ([Topic::User(ben)].as_slice().into(), Payload::Events(vec![old.clone()]));
    two.router.on_messages(vec![BusMessage { topics, epoch: Some(before.epoch), payload }]);
    assert_eq!(fleet.say(&one, ada, room, false).await, 4);
    let told = loop {
        let events = two.take().await.into_iter().filter_map(|item| match item {
            Item::Event { delivery, .. } => Some(delivery),
            Item::Signal { .. } | Item::Missed { .. } | Item::Joined { .. } | Item::Reply { .. } => None,
        });
        let events: Vec<_> = events.collect();
        if !events.is_empty() {
            break events;
        }
    };
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event().seq, old.event.seq);
    assert_ne!(told[0].event().kind, old.event.kind, "that is the lost one");
}

/// The relay begins where the new log ends then: who went over before sees that something lies between.
#[tokio::test]
async fn what_is_committed_before_the_relay_goes_over_is_told() {
    let fleet = Fleet::on_postgres().await;
    let relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    let first = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(first).await, [first]);
    relay.send(true).unwrap();
    lose_after(&fleet, first).await;
    two.told_to_compare().await;
    let lost = fleet.say(&one, ada, room, true).await;
    let _relay = fleet.relay();
    let said = fleet.say(&one, ada, room, true).await;
    assert_eq!(two.receive(said).await, [lost, said]);
}

#[tokio::test]
async fn the_relay_goes_over_to_the_other_log_at_once() {
    let fleet = Fleet::on_postgres().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    let first = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(first).await, [first]);
    lose_after(&fleet, first).await;
    two.told_to_compare().await;
    // The relay keeps its place in the new log, and only the relay publishes what a node that died did not.
    let mut connection = fleet.connect("fleet").await;
    let kept = async {
        let asked =
            "SELECT EXISTS (SELECT 1 FROM consumers WHERE name = 'relay' AND epoch = tidings_epoch())";
        while !sqlx::query_scalar::<_, bool>(asked).fetch_one(&mut connection).await.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), kept).await.expect("the relay goes over");
    let said = fleet.say(&one, ada, room, true).await;
    assert_eq!(two.receive(said).await, [said]);
}
