//! A thread's sessions: by slot, by user, by channel, by watched user. Bounded by the connections and what they may ask for.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;
use smallvec::SmallVec;

use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, UserId};
use crate::gateway::session::connection::Connection;
use crate::panics::shared;

/// A few connections, most often one.
pub type Sessions = SmallVec<[Rc<Connection>; 1]>;

/// See the module's documentation.
#[derive(Default)]
pub struct Registry {
    slots: Slab<Rc<Connection>>,
    generation: u32,
    users: HashMap<UserId, Sessions>,
    channels: HashMap<ConversationId, Vec<Rc<Connection>>>,
    watchers: HashMap<UserId, Sessions>,
}

impl Registry {
    /// Gives a connection its place.
    pub fn insert(&mut self, connection: &Rc<Connection>) {
        let _shared = shared();
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slots.insert(Rc::clone(connection));
        connection.set_key(SessionKey {
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: self.generation,
        });
    }

    /// Takes a connection's place away; `false` when it had none.
    pub fn remove(&mut self, connection: &Rc<Connection>) -> bool {
        let _shared = shared();
        let slot = connection.key().slot as usize;
        let here = self.slots.get(slot).is_some_and(|other| Rc::ptr_eq(other, connection));
        if here {
            self.slots.remove(slot);
        }
        here
    }

    /// The connection at a place, unless it has changed hands.
    pub fn get(&self, key: SessionKey) -> Option<Rc<Connection>> {
        self.slots.get(key.slot as usize).filter(|connection| connection.key() == key).cloned()
    }

    /// Every connection.
    pub fn all(&self) -> Vec<Rc<Connection>> {
        self.slots.iter().map(|(_, connection)| Rc::clone(connection)).collect()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The connections of a user.
    pub fn of_user(&self, user: UserId) -> &[Rc<Connection>] {
        self.users.get(&user).map_or(&[], SmallVec::as_slice)
    }

    /// A connection has entered as `user`.
    pub fn join_user(&mut self, user: UserId, connection: &Rc<Connection>) {
        let _shared = shared();
        self.users.entry(user).or_default().push(Rc::clone(connection));
    }

    /// A connection of `user` is gone.
    pub fn leave_user(&mut self, user: UserId, connection: &Rc<Connection>) {
        let _shared = shared();
        leave(&mut self.users, user, connection);
    }

    /// The connections subscribed to a channel.
    pub fn of_channel(&self, channel: ConversationId) -> &[Rc<Connection>] {
        self.channels.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// A connection is subscribed to a channel.
    pub fn join_channel(&mut self, channel: ConversationId, connection: &Rc<Connection>) {
        let _shared = shared();
        self.channels.entry(channel).or_default().push(Rc::clone(connection));
    }

    /// A connection is subscribed no more.
    pub fn leave_channel(&mut self, channel: ConversationId, connection: &Rc<Connection>) {
        let _shared = shared();
        let Some(connections) = self.channels.get_mut(&channel) else { return };
        connections.retain(|other| !Rc::ptr_eq(other, connection));
        if connections.is_empty() {
            self.channels.remove(&channel);
        }
    }

    /// The connections that watch a user.
    pub fn watchers(&self, user: UserId) -> &[Rc<Connection>] {
        self.watchers.get(&user).map_or(&[], SmallVec::as_slice)
    }

    /// A connection watches a user.
    pub fn watch(&mut self, user: UserId, connection: &Rc<Connection>) {
        let _shared = shared();
        self.watchers.entry(user).or_default().push(Rc::clone(connection));
    }

    /// A connection watches a user no more.
    pub fn unwatch(&mut self, user: UserId, connection: &Rc<Connection>) {
        let _shared = shared();
        leave(&mut self.watchers, user, connection);
    }
}

fn leave(map: &mut HashMap<UserId, Sessions>, user: UserId, connection: &Rc<Connection>) {
    let Some(connections) = map.get_mut(&user) else { return };
    connections.retain(|other| !Rc::ptr_eq(other, connection));
    if connections.is_empty() {
        map.remove(&user);
    }
}
