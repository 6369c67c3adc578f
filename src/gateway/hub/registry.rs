//! The sessions of a thread: by slot, by user, by channel, by watched user. Bounded by the connections and
//! their subscriptions.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;
use smallvec::SmallVec;

use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, UserId};
use crate::gateway::session::Session;
use crate::gateway::session::stream::ByteStream;
use crate::panics::shared;

/// A few sessions, usually one.
pub type Sessions<S> = SmallVec<[Rc<Session<S>>; 1]>;

/// The sessions of one worker thread, found by user, channel, or watched user.
pub struct Registry<S> {
    slots: Slab<Rc<Session<S>>>,
    generation: u32,
    users: HashMap<UserId, Sessions<S>>,
    channels: HashMap<ConversationId, Vec<Rc<Session<S>>>>,
    watchers: HashMap<UserId, Sessions<S>>,
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
            users: HashMap::new(),
            channels: HashMap::new(),
            watchers: HashMap::new(),
        }
    }
}

impl<S: ByteStream> Registry<S> {
    /// Adds a session and gives it its key.
    pub fn insert(&mut self, session: &Rc<Session<S>>) {
        let _shared = shared();
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slots.insert(Rc::clone(session));
        session.set_key(SessionKey {
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: self.generation,
        });
    }

    /// Removes a session; `false` when it is not registered.
    pub fn remove(&mut self, session: &Rc<Session<S>>) -> bool {
        let _shared = shared();
        let slot = session.key().slot as usize;
        let here = self.slots.get(slot).is_some_and(|other| Rc::ptr_eq(other, session));
        if here {
            self.slots.remove(slot);
        }
        here
    }

    /// The session with this key. A later session in the same slot has another key.
    pub fn get(&self, key: SessionKey) -> Option<Rc<Session<S>>> {
        self.slots.get(key.slot as usize).filter(|session| session.key() == key).cloned()
    }

    /// Every session.
    pub fn all(&self) -> Vec<Rc<Session<S>>> {
        self.slots.iter().map(|(_, session)| Rc::clone(session)).collect()
    }

    /// Every session, in place.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Session<S>>> {
        self.slots.iter().map(|(_, session)| session)
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The sessions of a user.
    pub fn of_user(&self, user: UserId) -> &[Rc<Session<S>>] {
        self.users.get(&user).map_or(&[], SmallVec::as_slice)
    }

    /// A session has entered as `user`.
    pub fn join_user(&mut self, user: UserId, session: &Rc<Session<S>>) {
        let _shared = shared();
        self.users.entry(user).or_default().push(Rc::clone(session));
    }

    /// A session of `user` ended.
    pub fn leave_user(&mut self, user: UserId, session: &Rc<Session<S>>) {
        let _shared = shared();
        leave(&mut self.users, user, session);
    }

    /// The sessions subscribed to a channel.
    pub fn of_channel(&self, channel: ConversationId) -> &[Rc<Session<S>>] {
        self.channels.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// A session is subscribed to a channel.
    pub fn join_channel(&mut self, channel: ConversationId, session: &Rc<Session<S>>) {
        let _shared = shared();
        self.channels.entry(channel).or_default().push(Rc::clone(session));
    }

    /// A session is no longer subscribed.
    pub fn leave_channel(&mut self, channel: ConversationId, session: &Rc<Session<S>>) {
        let _shared = shared();
        let Some(sessions) = self.channels.get_mut(&channel) else { return };
        sessions.retain(|other| !Rc::ptr_eq(other, session));
        if sessions.is_empty() {
            self.channels.remove(&channel);
        }
    }

    /// The sessions that watch a user.
    pub fn watchers(&self, user: UserId) -> &[Rc<Session<S>>] {
        self.watchers.get(&user).map_or(&[], SmallVec::as_slice)
    }

    /// A session watches a user.
    pub fn watch(&mut self, user: UserId, session: &Rc<Session<S>>) {
        let _shared = shared();
        self.watchers.entry(user).or_default().push(Rc::clone(session));
    }

    /// A session no longer watches a user.
    pub fn unwatch(&mut self, user: UserId, session: &Rc<Session<S>>) {
        let _shared = shared();
        leave(&mut self.watchers, user, session);
    }
}

fn leave<S>(map: &mut HashMap<UserId, Sessions<S>>, user: UserId, session: &Rc<Session<S>>) {
    let Some(sessions) = map.get_mut(&user) else { return };
    sessions.retain(|other| !Rc::ptr_eq(other, session));
    if sessions.is_empty() {
        map.remove(&user);
    }
}
