//! A thread's sessions: by slot, by user, by channel, by watched user. Bounded by the connections and what they may ask for.

use std::collections::HashMap;
use std::rc::Rc;

use slab::Slab;
use smallvec::SmallVec;

use crate::actors::inbox::SessionKey;
use crate::domain::{ConversationId, UserId};
use crate::gateway::line::Line;
use crate::panics::shared;

/// A few lines, most often one.
pub type Lines = SmallVec<[Rc<Line>; 1]>;

/// See the module's documentation.
#[derive(Default)]
pub struct Registry {
    slots: Slab<Rc<Line>>,
    generation: u32,
    users: HashMap<UserId, Lines>,
    channels: HashMap<ConversationId, Vec<Rc<Line>>>,
    watchers: HashMap<UserId, Lines>,
}

impl Registry {
    /// Gives a line its place.
    pub fn insert(&mut self, line: &Rc<Line>) {
        let _shared = shared();
        self.generation = self.generation.wrapping_add(1);
        let slot = self.slots.insert(Rc::clone(line));
        line.set_key(SessionKey {
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
            generation: self.generation,
        });
    }

    /// Takes a line's place away; `false` when it had none.
    pub fn remove(&mut self, line: &Rc<Line>) -> bool {
        let _shared = shared();
        let slot = line.key().slot as usize;
        let here = self.slots.get(slot).is_some_and(|other| Rc::ptr_eq(other, line));
        if here {
            self.slots.remove(slot);
        }
        here
    }

    /// The line at a place, unless it has changed hands.
    pub fn get(&self, key: SessionKey) -> Option<Rc<Line>> {
        self.slots.get(key.slot as usize).filter(|line| line.key() == key).cloned()
    }

    /// Every line.
    pub fn all(&self) -> Vec<Rc<Line>> {
        self.slots.iter().map(|(_, line)| Rc::clone(line)).collect()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The lines of a user.
    pub fn of_user(&self, user: UserId) -> &[Rc<Line>] {
        self.users.get(&user).map_or(&[], SmallVec::as_slice)
    }

    /// A line has entered as `user`.
    pub fn join_user(&mut self, user: UserId, line: &Rc<Line>) {
        let _shared = shared();
        self.users.entry(user).or_default().push(Rc::clone(line));
    }

    /// A line of `user` is gone.
    pub fn leave_user(&mut self, user: UserId, line: &Rc<Line>) {
        let _shared = shared();
        leave(&mut self.users, user, line);
    }

    /// The lines subscribed to a channel.
    pub fn of_channel(&self, channel: ConversationId) -> &[Rc<Line>] {
        self.channels.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// A line is subscribed to a channel.
    pub fn join_channel(&mut self, channel: ConversationId, line: &Rc<Line>) {
        let _shared = shared();
        self.channels.entry(channel).or_default().push(Rc::clone(line));
    }

    /// A line is subscribed no more.
    pub fn leave_channel(&mut self, channel: ConversationId, line: &Rc<Line>) {
        let _shared = shared();
        let Some(lines) = self.channels.get_mut(&channel) else { return };
        lines.retain(|other| !Rc::ptr_eq(other, line));
        if lines.is_empty() {
            self.channels.remove(&channel);
        }
    }

    /// The lines that watch a user.
    pub fn watchers(&self, user: UserId) -> &[Rc<Line>] {
        self.watchers.get(&user).map_or(&[], SmallVec::as_slice)
    }

    /// A line watches a user.
    pub fn watch(&mut self, user: UserId, line: &Rc<Line>) {
        let _shared = shared();
        self.watchers.entry(user).or_default().push(Rc::clone(line));
    }

    /// A line watches a user no more.
    pub fn unwatch(&mut self, user: UserId, line: &Rc<Line>) {
        let _shared = shared();
        leave(&mut self.watchers, user, line);
    }
}

fn leave(map: &mut HashMap<UserId, Lines>, user: UserId, line: &Rc<Line>) {
    let Some(lines) = map.get_mut(&user) else { return };
    lines.retain(|other| !Rc::ptr_eq(other, line));
    if lines.is_empty() {
        map.remove(&user);
    }
}
