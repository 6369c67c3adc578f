//! Which users type in which conversations, as a plain value. Typing ends by a frame, by a message, by time,
//! or with its connections.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::actors::inbox::SessionKey;
use crate::actors::router::interest::WorkerId;
use crate::domain::{ConversationId, UserId};

/// A connection of this node.
pub type TypingConnection = (WorkerId, SessionKey);

/// Conversations that one user may be typing in at once.
const MOST_PER_USER: usize = 16;

#[derive(Debug)]
struct TypingUser {
    conversation: ConversationId,
    until_ms: u64,
    /// Differs from the number of every other beginning.
    number: u64,
    /// Whether a signal was sent.
    sent: bool,
    connections: SmallVec<[TypingConnection; 1]>,
}

/// The users who type. Bounded: so many users at once, each in [`MOST_PER_USER`] conversations.
#[derive(Debug)]
pub struct TypingState {
    users: HashMap<UserId, SmallVec<[TypingUser; 1]>>,
    timeout_ms: u64,
    most_users: usize,
    numbers: u64,
}

impl TypingState {
    /// An empty state. Typing that is not repeated within `timeout_ms` ends.
    pub fn new(timeout_ms: u64, most_users: usize) -> Self {
        Self { users: HashMap::new(), timeout_ms, most_users, numbers: 0 }
    }

    /// `user` begins or continues to type. Returns the number to call [`TypingState::begin_sending`] with.
    /// `None`: there is no room, and no signal may be sent, because nothing would end the typing.
    pub fn begin(
        &mut self,
        user: UserId,
        conversation: ConversationId,
        connection: TypingConnection,
        now_ms: u64,
    ) -> Option<u64> {
        if self.users.len() >= self.most_users && !self.users.contains_key(&user) {
            return None;
        }
        let places = self.users.entry(user).or_default();
        self.numbers += 1;
        let (until_ms, number) = (now_ms + self.timeout_ms, self.numbers);
        match places.iter().position(|typing| typing.conversation == conversation) {
            Some(at) => {
                let typing = &mut places[at];
                (typing.until_ms, typing.number) = (until_ms, number);
                if !typing.connections.contains(&connection) {
                    typing.connections.push(connection);
                }
            }
            None if places.len() >= MOST_PER_USER => return None,
            None => {
                let connections = SmallVec::from_buf([connection]);
                places.push(TypingUser { conversation, until_ms, number, sent: false, connections });
            }
        }
        Some(number)
    }

    /// A signal for the beginning of this number is about to be sent. Returns `false` if it ended or began
    /// again in the meantime.
    pub fn begin_sending(&mut self, user: UserId, conversation: ConversationId, number: u64) -> bool {
        let places = self.users.get_mut(&user).into_iter().flatten();
        let mut found =
            places.filter(|typing| typing.conversation == conversation && typing.number == number);
        found.next().map(|typing| typing.sent = true).is_some()
    }

    /// Whether `user` is typing there now.
    pub fn is_typing(&self, user: UserId, conversation: ConversationId) -> bool {
        self.users.get(&user).is_some_and(|places| places.iter().any(|one| one.conversation == conversation))
    }

    /// The typing ended by a frame, a message, or because the user left. Returns whether a signal of its
    /// beginning was sent.
    pub fn stop(&mut self, user: UserId, conversation: ConversationId) -> bool {
        let ended = self.end(user, |typing| typing.conversation == conversation);
        !ended.is_empty()
    }

    /// A connection ended. Returns the conversations in which `user` no longer types and whose members were
    /// sent the beginning.
    pub fn connection_ended(&mut self, user: UserId, connection: TypingConnection) -> Vec<ConversationId> {
        self.end(user, |typing| {
            typing.connections.retain(|other| *other != connection);
            typing.connections.is_empty()
        })
    }

    fn end(&mut self, user: UserId, ends: impl FnMut(&mut TypingUser) -> bool) -> Vec<ConversationId> {
        let Some(places) = self.users.get_mut(&user) else { return Vec::new() };
        let was_sent = remove(places, ends);
        if places.is_empty() {
            self.users.remove(&user);
        }
        was_sent
    }

    /// Ends typing that was not repeated in time. Returns the conversations whose members were sent the
    /// beginning.
    pub fn expire(&mut self, now_ms: u64) -> Vec<(UserId, ConversationId)> {
        let mut ended = Vec::new();
        self.users.retain(|user, places| {
            let was_sent = remove(places, |typing| now_ms >= typing.until_ms);
            ended.extend(was_sent.into_iter().map(|conversation| (*user, conversation)));
            !places.is_empty()
        });
        ended
    }

    /// How many users are typing.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether no user is typing.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// Removes the typing for which `ends` is true. Returns the conversations whose members were sent the
/// beginning.
fn remove(
    places: &mut SmallVec<[TypingUser; 1]>,
    mut ends: impl FnMut(&mut TypingUser) -> bool,
) -> Vec<ConversationId> {
    let mut ended = Vec::new();
    places.retain(|typing| {
        let ends = ends(typing);
        if ends && typing.sent {
            ended.push(typing.conversation);
        }
        !ends
    });
    ended
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::ConversationKind;

    const TIMEOUT_MS: u64 = 6_000;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    fn room(n: u128) -> ConversationId {
        ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(n << 8))
    }

    fn line(slot: u32) -> TypingConnection {
        (0, SessionKey { slot, generation: 0 })
    }

    fn typing(state: &mut TypingState, who: u128, place: u128, slot: u32, now_ms: u64) -> bool {
        let number = state.begin(user(who), room(place), line(slot), now_ms);
        number.is_some_and(|number| state.begin_sending(user(who), room(place), number))
    }

    #[test]
    fn it_ends_by_itself_once() {
        let mut state = TypingState::new(TIMEOUT_MS, 10);
        assert!(typing(&mut state, 1, 1, 1, 0));
        assert!(typing(&mut state, 1, 1, 1, 4_000), "it goes on");
        assert!(state.expire(TIMEOUT_MS).is_empty());
        assert_eq!(state.expire(4_000 + TIMEOUT_MS), [(user(1), room(1))]);
        assert!(state.is_empty() && state.expire(u64::MAX).is_empty());
    }

    #[test]
    fn it_ends_with_the_last_connection_that_typed() {
        let mut state = TypingState::new(TIMEOUT_MS, 10);
        typing(&mut state, 1, 1, 1, 0);
        typing(&mut state, 1, 1, 2, 0);
        typing(&mut state, 1, 2, 2, 0);
        assert!(state.connection_ended(user(1), line(1)).is_empty());
        assert!(state.connection_ended(user(1), line(3)).is_empty(), "it did not type");
        assert_eq!(state.connection_ended(user(1), line(2)), [room(1), room(2)]);
        assert!(state.is_empty());
    }

    #[test]
    fn what_nobody_was_told_of_ends_without_a_word() {
        let mut state = TypingState::new(TIMEOUT_MS, 10);
        let first = state.begin(user(1), room(1), line(1), 0).expect("there is room");
        assert!(!state.stop(user(1), room(1)), "the message came before the others were told");
        assert!(!state.begin_sending(user(1), room(1), first));
        let first = state.begin(user(1), room(1), line(1), 0).expect("there is room");
        let second = state.begin(user(1), room(1), line(1), 0).expect("there is room");
        assert!(
            !state.begin_sending(user(1), room(1), first) && state.begin_sending(user(1), room(1), second)
        );
        assert!(state.stop(user(1), room(1)) && !state.stop(user(1), room(1)));
    }

    #[test]
    fn without_room_nobody_is_told() {
        let mut state = TypingState::new(TIMEOUT_MS, 1);
        for place in 0..MOST_PER_USER as u128 {
            assert!(typing(&mut state, 1, place, 1, 0));
        }
        assert!(!typing(&mut state, 1, 99, 1, 0) && !typing(&mut state, 2, 1, 2, 0));
        assert!(typing(&mut state, 1, 0, 1, 0), "what is typed already goes on");
    }

    proptest! {
        /// In any order of steps, the others are sent the end of everything whose beginning they were sent,
        /// and no other end.
        #[test]
        fn whatever_began_ends(acts in proptest::collection::vec((0..5_u8, 0..3_u128, 0..3_u128, 0..3_u32, 0..5_000_u64), 0..60)) {
            let mut state = TypingState::new(TIMEOUT_MS, 2);
            let mut shown = std::collections::BTreeSet::new();
            let mut now_ms = 0;
            for (act, who, place, slot, later_ms) in acts {
                now_ms += later_ms;
                let ended = match act {
                    0 | 1 => {
                        if typing(&mut state, who, place, slot, now_ms) {
                            shown.insert((user(who), room(place)));
                        }
                        Vec::new()
                    }
                    2 => state.stop(user(who), room(place)).then_some((user(who), room(place))).into_iter().collect(),
                    3 => state.connection_ended(user(who), line(slot)).into_iter().map(|place| (user(who), place)).collect(),
                    _ => state.expire(now_ms),
                };
                for one in ended {
                    prop_assert!(shown.remove(&one), "{one:?} had not begun");
                }
                prop_assert!(shown.iter().all(|(who, place)| state.is_typing(*who, *place)));
            }
            for one in state.expire(u64::MAX) {
                prop_assert!(shown.remove(&one));
            }
            prop_assert!(shown.is_empty() && state.is_empty());
        }
    }
}
