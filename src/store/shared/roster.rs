//! The members of a group: read once, and valid as long as the conversation's version of its membership stays
//! the same.
//!
//! An entry is valid exactly when its version equals the version that the calling transaction read. So the
//! cache can be old but never wrong. Entries are added after their transaction is committed. The limit counts
//! members, not groups.

use std::collections::HashSet;
use std::sync::Arc;

use moka::sync::Cache;

use super::conversation::ConversationRow;
use crate::domain::{Audience, ConversationId, ConversationKind, Event, EventKind, Seq, UserId};

/// The members of one direct or group conversation as of a version.
#[derive(Debug, Clone)]
pub(in crate::store) struct Roster {
    pub version: i64,
    pub users: Arc<[UserId]>,
    joined: Arc<[Seq]>,
}

impl Roster {
    pub(in crate::store) fn new(version: i64, members: &[(UserId, Seq)]) -> Self {
        Self {
            version,
            users: members.iter().map(|(user, _)| *user).collect(),
            joined: members.iter().map(|(_, joined)| *joined).collect(),
        }
    }

    /// The members of a direct conversation, as long as neither account is erased.
    pub(in crate::store) fn of_pair(version: i64, (low, high): (UserId, UserId)) -> Self {
        let members = [(low, Seq::ZERO), (high, Seq::ZERO)];
        Self::new(version, if low == high { &members[..1] } else { &members })
    }

    pub(in crate::store) fn members(&self) -> impl Iterator<Item = (UserId, Seq)> + '_ {
        self.users.iter().copied().zip(self.joined.iter().copied())
    }

    /// The members who had joined when `seq` was assigned: a later member does not receive earlier events.
    pub(in crate::store) fn present_at(&self, seq: Seq) -> Arc<[UserId]> {
        if self.joined.iter().all(|joined| *joined <= seq) {
            Arc::clone(&self.users)
        } else {
            self.members().filter(|(_, joined)| *joined <= seq).map(|(user, _)| user).collect()
        }
    }
}

/// The members of a direct or group conversation at any seq since a first one.
#[derive(Debug)]
pub(in crate::store) struct Memberships {
    /// The members now.
    roster: Roster,
    /// The joins and leaves since then, oldest first.
    changes: Vec<(Seq, UserId, Turn)>,
    /// The last result, and the number of changes before it.
    answered: Option<(usize, Arc<[UserId]>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Joined,
    Left,
}

impl Memberships {
    /// Built from the members now and the events since; events that are neither a join nor a leave are
    /// ignored.
    pub(in crate::store) fn new(roster: Roster, events: Vec<Event>) -> Self {
        let turn = |event: Event| match event.kind {
            EventKind::MemberJoined { user, .. } => Some((event.seq, user, Turn::Joined)),
            EventKind::MemberLeft { user, .. } => Some((event.seq, user, Turn::Left)),
            EventKind::Message(_)
            | EventKind::Edit { .. }
            | EventKind::Delete { .. }
            | EventKind::Reaction { .. }
            | EventKind::ConversationChanged(_) => None,
        };
        Self { roster, changes: events.into_iter().filter_map(turn).collect(), answered: None }
    }

    /// The members when `seq` was assigned. A user who joined by that event is included; a user who left by
    /// it is not.
    pub(in crate::store) fn present_at(&mut self, seq: Seq) -> Arc<[UserId]> {
        let before = self.changes.partition_point(|(changed, ..)| *changed <= seq);
        if before == self.changes.len() {
            return self.roster.present_at(seq);
        }
        if let Some((known, present)) = &self.answered
            && *known == before
        {
            return Arc::clone(present);
        }
        let mut present = self.roster.present_at(seq);
        let mut seen = HashSet::new();
        let first_turns = self.changes[before..].iter().filter(|(_, user, _)| seen.insert(*user));
        // A user whose next change is a leave was a member. The roster distinguishes users who join next from
        // users who never left.
        let left: Vec<UserId> = first_turns
            .filter(|(_, user, turn)| *turn == Turn::Left && !present.contains(user))
            .map(|(_, user, _)| *user)
            .collect();
        if !left.is_empty() {
            present = present.iter().copied().chain(left).collect();
        }
        self.answered = Some((before, Arc::clone(&present)));
        present
    }
}

/// The audience of an event, given the members at that time.
pub(in crate::store) fn audience(
    kind: ConversationKind,
    event: &EventKind,
    present: &Arc<[UserId]>,
) -> Audience {
    let users = match (kind, event) {
        (
            ConversationKind::Channel,
            EventKind::MemberJoined { user, .. } | EventKind::MemberLeft { user, .. },
        ) => Arc::from([*user]),
        (ConversationKind::Channel, _) => Arc::from([]),
        // A user who leaves receives the event, so that their devices stop showing the conversation.
        (_, EventKind::MemberLeft { user, .. }) if !present.contains(user) => {
            present.iter().copied().chain([*user]).collect()
        }
        (_, _) => Arc::clone(present),
    };
    Audience { users }
}

/// The cache of group memberships; a clone shares it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Rosters(Cache<ConversationId, Roster>);

impl Rosters {
    pub(in crate::store) fn new(most_members: u64) -> Self {
        let weigh =
            |_: &ConversationId, roster: &Roster| u32::try_from(roster.users.len() + 4).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(most_members).weigher(weigh).build())
    }

    /// Keeps what a committed transaction knows, where nothing newer is there.
    pub(in crate::store) fn keep(&self, rosters: impl IntoIterator<Item = (ConversationId, Roster)>) {
        for (conversation, roster) in rosters {
            if self.0.get(&conversation).is_none_or(|known| known.version < roster.version) {
                self.0.insert(conversation, roster);
            }
        }
    }

    /// Empties the cache, because its entries may be of another log.
    pub(in crate::store) fn clear(&self) {
        self.0.invalidate_all();
    }

    /// What the cache holds, at any version.
    pub(in crate::store) fn cached(&self, conversation: ConversationId) -> Option<Roster> {
        self.0.get(&conversation)
    }

    /// What the cache knows of a conversation as it was just read; `None` when its members must be read too.
    pub(in crate::store) fn known(&self, stored: &ConversationRow) -> Option<Roster> {
        if let Some(pair) = stored.pair
            && stored.conversation.member_count == if pair.0 == pair.1 { 1 } else { 2 }
        {
            return Some(Roster::of_pair(stored.members_version, pair));
        }
        self.0.get(&stored.id()).filter(|roster| roster.version == stored.members_version)
    }
}
