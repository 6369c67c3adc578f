//! A user who is added to a conversation receives it live, no matter what happened just before and to which
//! nodes the other members are connected.

use std::sync::atomic::Ordering;

use tidings::actors::inbox::Item;
use tidings::domain::{ConversationKind, Seq, Topic};
use tidings::store::Change;

use crate::support::{Fleet, Station};

async fn fleets() -> [Fleet; 2] {
    [Fleet::new().await, Fleet::on_postgres().await]
}

/// Within this time a user who is added is told, with the bus up, lossy or away.
const SOON_MS: u64 = 1_000;

/// The ways from one node to another.
const BUS: [Way; 3] = [Way::Up, Way::Lossy, Way::Away];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Lossy,
    Away,
}

impl Way {
    fn begins(self, fleet: &Fleet, speaker: &Station) {
        fleet.bus(self != Self::Away);
        speaker.mute.store(self != Self::Up, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn whoever_is_in_a_group_when_it_is_made_is_told() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        for way in BUS {
            let [ada, ben, cleo] = [fleet.user().await, fleet.user().await, fleet.user().await];
            let (one, mut two, mut three) =
                (fleet.station().await, fleet.station().await, fleet.station().await);
            two.router.subscribe(0, Topic::User(ben));
            three.router.subscribe(0, Topic::User(cleo));
            way.begins(&fleet, &one);
            fleet.make(&one, ConversationKind::Group, &[ada, ben, cleo]).await;
            // The store joins them in the order of their ids.
            let (first, second) = if ben < cleo { (&mut two, &mut three) } else { (&mut three, &mut two) };
            assert_eq!(first.receive(3).await, [2, 3], "{way:?}");
            assert_eq!(second.receive(3).await, [3], "{way:?}");
        }
    }
}

#[tokio::test]
async fn where_nobody_else_is_connected_the_invited_are_told_all_the_same() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        let [ada, ben] = [fleet.user().await, fleet.user().await];
        let mut one = fleet.station().await;
        one.router.subscribe(0, Topic::User(ben));
        fleet.make(&one, ConversationKind::Group, &[ada, ben]).await;
        assert_eq!(one.receive(2).await, [2]);
    }
}

/// The heads of another user's session count the join, and then nothing of it is delivered here any more.
#[tokio::test]
async fn whoever_joined_a_channel_before_another_user_here_began_to_read_it_is_told() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        for way in BUS {
            let [ada, ben] = [fleet.user().await, fleet.user().await];
            let (one, mut two) = (fleet.station().await, fleet.station().await);
            two.router.subscribe(0, Topic::User(ben));
            way.begins(&fleet, &one);
            let room = fleet.make(&one, ConversationKind::Channel, &[ada, ben]).await;
            two.router.begin(room, Seq::new(2).unwrap());
            let told = |item: &Item| match item {
                Item::Event { delivery, .. } => delivery.event().conversation == room,
                Item::Joined { channel, user } => (*channel, *user) == (room, ben),
                Item::Signal { .. } | Item::Missed { .. } | Item::Reply { .. } => false,
            };
            while !two.take().await.iter().any(told) {}
        }
    }
}

#[tokio::test]
async fn whoever_is_added_right_after_a_message_is_told() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        for kind in [ConversationKind::Group, ConversationKind::Channel] {
            for way in BUS {
                let [ada, ben] = [fleet.user().await, fleet.user().await];
                let (one, mut two) = (fleet.station().await, fleet.station().await);
                two.router.subscribe(0, Topic::User(ben));
                let room = fleet.make(&one, kind, &[ada]).await;
                way.begins(&fleet, &one);
                for _ in 0..60 {
                    fleet.say(&one, ada, room, false).await;
                }
                let begun_ms = fleet.now_ms();
                let joined = fleet.invite(&one, ada, room, ben).await;
                assert_eq!(two.receive(joined).await, [joined], "{kind:?}, {way:?}");
                let took_ms = fleet.now_ms() - begun_ms;
                assert!(took_ms < SOON_MS, "{kind:?}, {way:?}: told after {took_ms} ms");
                let said = fleet.say(&one, ada, room, false).await;
                assert_eq!(two.receive(said).await, [said], "{kind:?}, {way:?}");
            }
        }
    }
}

#[tokio::test]
async fn whoever_is_removed_right_after_a_message_is_told() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        for way in BUS {
            let [ada, ben] = [fleet.user().await, fleet.user().await];
            let room = fleet.room(ConversationKind::Group, &[ada, ben]).await;
            let other = fleet.room(ConversationKind::Group, &[ada, ben]).await;
            let (one, mut two) = (fleet.station().await, fleet.station().await);
            two.router.subscribe(0, Topic::User(ben));
            way.begins(&fleet, &one);
            fleet.say(&one, ada, room, false).await;
            let left = fleet.change(&one, ada, room, Change::Leave { user: ben }).await;
            fleet.say(&one, ada, room, false).await;
            assert_eq!(two.receive(left).await, [left - 1, left], "{way:?}");
            fleet.told_all(std::slice::from_ref(&two)).await;
            let said = fleet.say(&one, ada, other, false).await;
            assert_eq!(two.receive(said).await, [said], "nothing that was said after the removal, {way:?}");
        }
    }
}

#[tokio::test]
async fn who_comes_goes_and_comes_back_at_once_is_told_each_time() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        let [ada, ben, cleo] = [fleet.user().await, fleet.user().await, fleet.user().await];
        let (one, mut two) = (fleet.station().await, fleet.station().await);
        two.router.subscribe(0, Topic::User(ben));
        two.router.subscribe(0, Topic::User(cleo));
        let room = fleet.make(&one, ConversationKind::Group, &[ada]).await;
        fleet.invite(&one, ada, room, ben).await;
        fleet.change(&one, ben, room, Change::Leave { user: ben }).await;
        fleet.say(&one, ada, room, false).await;
        fleet.invite(&one, ada, room, cleo).await;
        assert_eq!(fleet.invite(&one, ada, room, ben).await, 6);
        assert_eq!(two.receive(6).await, [2, 3, 5, 6]);
    }
}

#[tokio::test]
async fn an_invitation_costs_few_transactions() {
    for fleet in fleets().await {
        let _relay = fleet.relay();
        let [ada, ben, cleo] = [fleet.user().await, fleet.user().await, fleet.user().await];
        let mut stations = [fleet.station().await, fleet.station().await, fleet.station().await];
        for (station, user) in stations.iter().zip([ada, ben, cleo]) {
            station.router.subscribe(0, Topic::User(user));
        }
        let room = fleet.room(ConversationKind::Group, &[ada]).await;
        fleet.told_all(&stations).await;
        let before = fleet.log.calls();
        fleet.make(&stations[0], ConversationKind::Group, &[ada, ben, cleo]).await;
        for station in &mut stations {
            station.receive(3).await;
        }
        fleet.say(&stations[0], ada, room, false).await;
        for user in [ben, cleo] {
            let last = fleet.invite(&stations[0], ada, room, user).await;
            let station = if user == ben { &mut stations[1] } else { &mut stations[2] };
            station.receive(last).await;
        }
        fleet.told_all(&stations).await;
        let calls = fleet.log.calls() - before;
        assert!(calls < 20, "{calls} transactions for three invitations");
    }
}

#[tokio::test]
async fn a_hole_that_cannot_be_healed_concerns_its_conversation_alone() {
    let fleet = Fleet::new().await;
    let _relay = fleet.relay();
    let [ada, ben] = [fleet.user().await, fleet.user().await];
    let (room, other) = (
        fleet.room(ConversationKind::Group, &[ada, ben]).await,
        fleet.room(ConversationKind::Group, &[ada, ben]).await,
    );
    let (one, mut two) = (fleet.station().await, fleet.station().await);
    two.router.subscribe(0, Topic::User(ben));
    fleet.log.damaged.store(true, Ordering::SeqCst);
    one.mute.store(true, Ordering::SeqCst);
    fleet.say(&one, ada, room, false).await;
    one.mute.store(false, Ordering::SeqCst);
    fleet.say(&one, ada, room, false).await;
    loop {
        let missed = two.take().await.into_iter().find_map(|item| match item {
            Item::Missed { conversation, users } => Some((conversation, users)),
            Item::Event { .. } | Item::Signal { .. } | Item::Joined { .. } | Item::Reply { .. } => None,
        });
        if let Some((conversation, users)) = missed {
            assert_eq!(conversation, room);
            assert!(users.contains(&ben));
            break;
        }
    }
    let seq = fleet.say(&one, ada, other, false).await;
    assert_eq!(two.receive(seq).await, [seq]);
    // And what comes after the hole is passed on.
    let seq = fleet.say(&one, ada, room, false).await;
    assert_eq!(two.receive(seq).await, [seq]);
}
