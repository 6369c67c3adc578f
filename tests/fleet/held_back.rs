//! A transaction that has written and stays open, in any database of the server, holds back the log's end. It
//! delays no delivery.

use std::sync::atomic::Ordering;

use sqlx::PgConnection;
use tidings::domain::{ConversationKind, Topic};

use crate::support::Fleet;

/// Half of what is promised.
const SOON_MS: u64 = 1_500;

/// Holds the log's end back until it is committed.
async fn hold(fleet: &Fleet) -> PgConnection {
    let mut open = fleet.connect("postgres").await;
    sqlx::raw_sql("BEGIN; SELECT pg_current_xact_id()").execute(&mut open).await.unwrap();
    open
}

async fn release(fleet: &Fleet, mut open: PgConnection) {
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    // The next number is taken: the end moves on.
    sqlx::raw_sql("SELECT pg_current_xact_id()").execute(&mut open).await.unwrap();
    assert!(fleet.store.running().await.unwrap().numbers.is_empty());
}

#[tokio::test]
async fn without_a_bus_events_are_read_past_it_and_none_twice() {
    let fleet = Fleet::on_postgres().await;
    let _relay = fleet.relay();
    let [ada, ben, cleo] = [fleet.user().await, fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    let mut two = two;
    let first = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(first).await, [first]);
    let open = hold(&fleet).await;
    fleet.bus(false);
    one.mute.store(true, Ordering::SeqCst);
    let second = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(second).await, [second]);
    // More of the same, people who are added meanwhile, and what a transaction of the log's own commits late.
    let mut late = hold(&fleet).await;
    for _ in 0..5 {
        fleet.say(&one, ada, room, false).await;
    }
    let joined = fleet.invite(&one, ada, room, cleo).await;
    assert_eq!(two.receive(joined).await, (second + 1..=joined).collect::<Vec<_>>());
    let made = fleet.make(&one, ConversationKind::Group, &[ada, ben]).await;
    assert_eq!(two.receive(2).await, [2]);
    sqlx::raw_sql("COMMIT").execute(&mut late).await.unwrap();
    let said = fleet.say(&one, ada, made, false).await;
    assert_eq!(two.receive(said).await, [said]);
    release(&fleet, open).await;
    fleet.told_all(std::slice::from_ref(&two)).await;
    let last = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(last).await, [last], "nothing is told twice when it ends");
}

#[tokio::test]
async fn with_a_bus_what_it_loses_is_read_past_it() {
    let fleet = Fleet::on_postgres().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    fleet.told_all(std::slice::from_ref(&two)).await;
    let open = hold(&fleet).await;
    let first = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(first).await, [first], "by the bus");
    // The node that commits dies before it publishes, and no digest can name what it committed: at first, and
    // later on.
    let mut last = first;
    for _ in 0..3 {
        let begun_ms = fleet.now_ms();
        last = fleet.say(&one, ada, room, true).await;
        assert_eq!(two.receive(last).await, [last]);
        let took_ms = fleet.now_ms() - begun_ms;
        assert!(took_ms < SOON_MS, "told after {took_ms} ms");
    }
    assert!(two.router.held_back_ms() > 0, "it shows");
    release(&fleet, open).await;
    fleet.told_all(std::slice::from_ref(&two)).await;
    assert_eq!(fleet.say(&one, ada, room, false).await, last + 1);
    assert_eq!(two.receive(last + 1).await, [last + 1], "nothing is told twice when it ends");
}
