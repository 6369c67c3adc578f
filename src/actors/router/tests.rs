use std::sync::Mutex;
use std::task::{Context, Waker};

use uuid::Uuid;

use super::*;
use crate::bus::{Bus, Digest, Moved};
use crate::domain::{Audience, ConversationKind, Event, EventKind, Position, Role, Timestamp};
use crate::environment::ManualEnvironment;
use crate::store::Cursor;

/// A bus that looks what local sessions have when it is given something.
struct Witness {
    inbox: Arc<Inbox>,
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Bus for Witness {
    fn publish(&self, messages: Vec<BusMessage>) {
        assert!(messages.iter().any(|message| matches!(message.payload, Payload::Events(_))));
        let mut items = Vec::new();
        let _ = self.inbox.poll_take(&mut items, &Context::from_waker(Waker::noop()));
        self.seen.lock().unwrap().push(items.len());
    }

    fn subscribe(&self, _topic: Topic) {}

    fn unsubscribe(&self, _topic: Topic) {}
}

#[test]
fn local_readers_have_an_event_before_the_bus_is_given_it() {
    let inbox = Inbox::new(1 << 20, Arc::new(ManualEnvironment::new(0, 1)));
    let (router, _holes) =
        Router::new(vec![Arc::clone(&inbox)], Arc::new(Meters::new()), RouterOptions::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    router.connect(Arc::new(Witness { inbox, seen: Arc::clone(&seen) }));
    let user = UserId::from_uuid(Uuid::from_u128(1));
    router.subscribe(0, Topic::User(user));
    let seq = Seq::ZERO.next();
    let event = Event {
        conversation: ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(1)),
        seq,
        sender: user,
        sent_at: Timestamp::default(),
        kind: EventKind::Delete { target: seq },
    };
    let one = Committed {
        event: Arc::new(event),
        position: Position(1),
        previous: Position(0),
        audience: Audience { users: Arc::new([user]) },
    };
    router.committed(&[one], Vec::new());
    assert_eq!(*seen.lock().unwrap(), [1], "published once, after the local reader was served");
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

/// A digest that names events `first..=last` of a conversation, which are for `users`.
fn digest(conversation: ConversationId, (first, last): (u64, u64), users: &[UserId]) -> Digest {
    let [first, last] = [first, last].map(|n| Seq::new(n).unwrap_or_default());
    let moved = vec![Moved { conversation, first, last, users: users.into() }];
    Digest { epoch: 1, from: Position(1), to: Position(9), held_back: false, moved }
}

/// What a worker with sessions of users 1 to 3 is told, in short.
fn told(inbox: &Inbox) -> Vec<String> {
    let mut items = Vec::new();
    let _ = inbox.poll_take(&mut items, &Context::from_waker(Waker::noop()));
    let name = |user: &UserId| (1..4).position(|n| self::user(n as u128) == *user).map_or(0, |at| at + 1);
    let text = |item: &Item| match item {
        Item::Missed { users, .. } => format!("missed {:?}", users.iter().map(name).collect::<Vec<_>>()),
        Item::Joined { user, .. } => format!("joined {}", name(user)),
        other => format!("{other:?}"),
    };
    items.iter().map(text).collect()
}

fn following() -> (Arc<Router>, mpsc::Receiver<Repair>, Arc<Inbox>) {
    following_with(RouterOptions::default())
}

fn following_with(options: RouterOptions) -> (Arc<Router>, mpsc::Receiver<Repair>, Arc<Inbox>) {
    let inbox = Inbox::new(1 << 20, Arc::new(ManualEnvironment::new(0, 1)));
    let (router, holes) = Router::new(vec![Arc::clone(&inbox)], Arc::new(Meters::new()), options);
    let (follower, _) = mpsc::channel(1);
    router.follow(follower, Cursor { epoch: 1, position: Position(1) });
    for n in 1..4 {
        router.subscribe(0, Topic::User(user(n)));
    }
    (router, holes, inbox)
}

#[test]
fn who_joins_a_channel_in_a_hole_that_is_given_up_is_told_at_once() {
    let channel = ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(1));
    let (router, mut holes, inbox) = following();
    router.subscribe(0, Topic::Channel(channel));
    router.begin(channel, Seq::new(5).unwrap_or_default());
    assert!(router.compare(&digest(channel, (6, 6), &[user(1)])));
    assert_eq!(holes.try_recv(), Ok(Repair::Hole(channel)));
    // User 9 has no session here.
    assert!(router.compare(&digest(channel, (7, 9), &[user(2), user(9)])), "named while it is healed");
    assert!(told(&inbox).is_empty());
    router.give_up(channel);
    assert_eq!(told(&inbox), ["missed [1, 2]", "joined 1", "joined 2"]);
    assert!(router.compare(&digest(channel, (9, 9), &[user(3)])), "named afterwards");
    assert_eq!(told(&inbox), ["joined 3"]);
}

/// No event of such a conversation may come again for long, and the log may not be readable as far.
#[test]
fn the_readers_of_a_hole_that_finds_the_queue_full_compare_heads_at_once() {
    let (router, mut holes, inbox) =
        following_with(RouterOptions { healing_conversations: 1, ..RouterOptions::default() });
    let beyond_a_hole = |n: u128| {
        let conversation = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n));
        let seq = Seq::new(5).unwrap_or_default();
        let (sender, kind) = (user(9), EventKind::Delete { target: Seq::ZERO.next() });
        let event = Event { conversation, seq, sender, sent_at: Timestamp::default(), kind };
        let audience = Audience { users: Arc::new([user(1), user(2)]) };
        Committed { event: Arc::new(event), position: Position(9), previous: Position(8), audience }
    };
    let (first, second) = (beyond_a_hole(1 << 8), beyond_a_hole(2 << 8));
    router.read_ahead(std::slice::from_ref(&first));
    assert!(told(&inbox).is_empty(), "it is being healed");
    router.read_ahead(std::slice::from_ref(&second));
    assert_eq!(told(&inbox), ["missed [1, 2]"]);
    assert_eq!(holes.try_recv(), Ok(Repair::Hole(first.event.conversation)));
    assert!(holes.try_recv().is_err());
    router.read_ahead(&[second]);
    assert!(told(&inbox).is_empty(), "the heads counted it");
}

#[test]
fn who_left_a_group_in_a_hole_that_is_given_up_is_told_by_the_digest_that_names_it() {
    let group = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(1));
    let (router, _holes, inbox) = following();
    assert!(router.compare(&digest(group, (3, 4), &[user(1)])));
    router.give_up(group);
    assert_eq!(told(&inbox), ["missed [1]"]);
    assert!(router.compare(&digest(group, (3, 4), &[user(1), user(2)])));
    assert_eq!(told(&inbox), ["missed [1, 2]"]);
}

#[test]
fn a_second_reader_whose_heads_are_newer_hides_nothing_from_the_first() {
    let channel = ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(1));
    let (router, mut holes, _inbox) = following();
    // Both have subscribed and read heads; those of the second one count event 6.
    router.subscribe(0, Topic::Channel(channel));
    router.subscribe(0, Topic::Channel(channel));
    router.begin(channel, Seq::new(6).unwrap_or_default());
    router.begin(channel, Seq::new(5).unwrap_or_default());
    assert!(router.compare(&digest(channel, (6, 6), &[])));
    assert_eq!(holes.try_recv(), Ok(Repair::Hole(channel)), "the first one lacks it");
}

#[test]
fn a_join_that_finds_no_room_lets_its_channel_go() {
    let channel = ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(1));
    let inbox = Inbox::new(10, Arc::new(ManualEnvironment::new(0, 1)));
    let (router, _holes) = Router::new(vec![inbox], Arc::new(Meters::new()), RouterOptions::default());
    router.subscribe(0, Topic::User(user(1)));
    let event = Event {
        conversation: channel,
        seq: Seq::ZERO.next(),
        sender: user(1),
        sent_at: Timestamp::default(),
        kind: EventKind::MemberJoined { user: user(1), role: Role::Member },
    };
    let join = Committed {
        event: Arc::new(event),
        position: Position(1),
        previous: Position(0),
        audience: Audience { users: Arc::new([user(1)]) },
    };
    // The last reader of a channel takes the router's lock when it goes.
    router.committed(std::slice::from_ref(&join), Vec::new());
    router.tailed(&[join]);
    assert_eq!(router.interest.readers(Topic::Channel(channel)), 0);
}
