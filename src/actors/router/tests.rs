use std::sync::Mutex;
use std::task::{Context, Waker};

use uuid::Uuid;

use super::*;
use crate::bus::Bus;
use crate::domain::{Audience, ConversationKind, Event, EventKind, Position, Timestamp};
use crate::environment::ManualEnvironment;

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
