//! Records the changes of one conversation: the events are collected in memory and written together at the
//! end.
//!
//! The seqs are unknown until the writing statement assigns them. Until then events are counted from 1.

use std::sync::Arc;

use super::Result;
use crate::domain::{
    Changes, ClientId, Committed, Conversation, ConversationId, ConversationKind, Event, EventKind,
    LeaveReason, Position, Role, Seq, Timestamp, UserId,
};
use crate::store::Invited;
use crate::store::shared::conversation::{ConversationRow, Membership};
use crate::store::shared::roster::{Roster, audience};

/// The index of an event in the journal, from 1.
pub(in crate::store) type Nth = u64;

/// A connection that writes journals.
pub(in crate::store) trait Recorder {
    /// Writes the whole journal, or writes nothing and returns `None` when the facts of the decision have
    /// changed.
    fn write(&mut self, journal: &Journal) -> impl Future<Output = Result<Option<Written>>> + Send;
}

/// The seqs and positions of a written journal.
#[derive(Debug)]
pub(in crate::store) struct Written {
    /// The first event's seq, or the seq of the earlier event that already made the change.
    pub first: Seq,
    /// The position of the event before the first.
    pub previous: Position,
    /// The position of each event.
    pub positions: Vec<Position>,
    /// The new version of the membership.
    pub version: i64,
}

/// A conversation being changed.
#[derive(Debug)]
pub(in crate::store) struct Journal {
    pub conversation: ConversationId,
    pub now: Timestamp,
    pub actor: UserId,
    /// The conditions that must still be true when it is written.
    pub guard: Guard,
    pub events: Vec<Noted>,
    /// The changes of members, each with its event.
    pub members: Vec<(UserId, MemberAct, Nth)>,
    /// The new name, topic, history and join policy.
    pub settings: Option<Conversation>,
    /// The conversation is deleted.
    pub ended: bool,
    pub touched: Option<Touched>,
    pub key: Option<Key>,
    /// The people whom the actor adds, to be counted for the day. Who creates a conversation counts them
    /// itself.
    pub added: u64,
    /// Somebody whom the actor accepts as a contact.
    pub met: Option<UserId>,
    /// The current audience, with the seq or event that made each user a member; empty for channels, whose
    /// subscribers receive the events.
    present: Vec<(UserId, Since)>,
}

/// An event that has no seq yet.
#[derive(Debug)]
pub(in crate::store) struct Noted {
    pub sender: UserId,
    pub kind: EventKind,
    present: Arc<[UserId]>,
}

#[derive(Debug, Clone, Copy)]
enum Since {
    Seq(Seq),
    Nth(Nth),
}

/// The facts that the decision depends on, besides the existence of the conversation.
#[derive(Debug, Default)]
pub(in crate::store) struct Guard {
    /// The version of the membership, if the decision depends on the other members.
    pub version: Option<i64>,
    /// The event that set the current settings.
    pub settings_seq: Seq,
    /// Memberships: the user, and the events that began the membership, gave the role or muted; `None` when
    /// there is none.
    pub memberships: Vec<(UserId, Option<(Seq, Seq)>)>,
    /// Blocks that must not exist: the blocking user, and the blocked user.
    pub unblocked: Vec<(UserId, UserId)>,
}

impl Guard {
    pub(in crate::store) fn rely_on(&mut self, user: UserId, membership: Option<&Membership>) {
        let since = membership.map(|found| (found.member.joined_seq, found.role_seq));
        self.memberships.push((user, since));
    }

    /// Adds the condition that there is no block between two users.
    pub(in crate::store) fn rely_on_no_block(&mut self, one: UserId, other: UserId) {
        self.unblocked.extend([(one, other), (other, one)]);
    }
}

/// The change of a member.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum MemberAct {
    Join(Role),
    Leave,
    Rank(Role),
    /// The member is muted until this time.
    Mute(Timestamp),
    /// The user is kept out until this time; not later than the event: a ban is lifted, and its row goes.
    Ban(Timestamp),
}

/// The numbers of [`MemberAct`] for `tidings_record`.
pub(super) mod member_acts {
    crate::store::shared::numbers::numbers! {
        JOIN member_join = 0;
        LEAVE member_leave = 1;
        RANK member_rank = 2;
        MUTE member_mute = 3;
        BAN member_ban = 4;
    }
}

impl MemberAct {
    /// Its number, and the value that goes with it.
    pub(in crate::store) fn as_numbers(self) -> (i64, i64) {
        match self {
            Self::Join(role) => (member_acts::JOIN, i64::from(role.as_stored())),
            Self::Leave => (member_acts::LEAVE, 0),
            Self::Rank(role) => (member_acts::RANK, i64::from(role.as_stored())),
            Self::Mute(until) => (member_acts::MUTE, until.as_unix_ms()),
            Self::Ban(until) => (member_acts::BAN, until.as_unix_ms()),
        }
    }
}

/// The change of a message. It still has its content.
#[derive(Debug)]
pub(in crate::store) struct Touched {
    pub target: Seq,
    pub author: UserId,
    /// The current edit, zero when there was none.
    pub edit_seq: Seq,
    pub act: Act,
}

/// The kind of change.
#[derive(Debug)]
pub(in crate::store) enum Act {
    Edit { body: String },
    Delete,
    React { emoji: String, on: bool, given: Given },
}

/// The reactions of a message, without the one concerned.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Given {
    /// The actor's latest event for the reaction concerned; zero when there was none.
    pub said_seq: Seq,
    /// The number of different other reactions.
    pub others: u64,
    /// The number of these that the actor gave.
    pub own: u64,
}

/// The idempotency key of a change.
#[derive(Debug)]
pub(in crate::store) struct Key {
    pub client_id: ClientId,
    pub fingerprint: i64,
    /// The earlier event that made the change; `None`: the first event of the journal.
    pub seq: Option<Seq>,
}

/// The results of a written journal that are used after the commit.
#[derive(Debug)]
pub(in crate::store) struct Recorded {
    pub seq: Seq,
    /// The author of the message that was changed.
    pub author: Option<UserId>,
    pub committed: Vec<Committed>,
    pub invited: Option<Invited>,
    pub roster: Option<(ConversationId, Roster)>,
}

impl Journal {
    pub(in crate::store) fn new(
        actor: UserId,
        stored: &ConversationRow,
        roster: Option<&Roster>,
        now: Timestamp,
    ) -> Self {
        let present = match roster {
            Some(roster) if stored.kind() != ConversationKind::Channel => {
                roster.members().map(|(user, joined)| (user, Since::Seq(joined))).collect()
            }
            _ => Vec::new(),
        };
        let version = (stored.kind() != ConversationKind::Channel).then_some(stored.members_version);
        Self {
            conversation: stored.id(),
            now,
            actor,
            guard: Guard { version, settings_seq: stored.settings_seq, ..Guard::default() },
            events: Vec::new(),
            members: Vec::new(),
            settings: None,
            ended: false,
            touched: None,
            key: None,
            added: 0,
            met: None,
            present,
        }
    }

    /// Adds one event by `sender`.
    pub(in crate::store) fn record(&mut self, sender: UserId, kind: EventKind) -> Nth {
        let present = self.present.iter().map(|(user, _)| *user).collect();
        self.events.push(Noted { sender, kind, present });
        self.events.len() as Nth
    }

    /// Makes `user` a member who has read everything so far.
    pub(in crate::store) fn join(&mut self, sender: UserId, user: UserId, role: Role) {
        let nth = self.events.len() as Nth + 1;
        if self.conversation.kind() != ConversationKind::Channel {
            self.present.push((user, Since::Nth(nth)));
        }
        self.record(sender, EventKind::MemberJoined { user, role });
        self.members.push((user, MemberAct::Join(role), nth));
    }

    /// Ends a membership; `heir` becomes the owner when the owner leaves.
    pub(in crate::store) fn leave(
        &mut self,
        sender: UserId,
        user: UserId,
        reason: LeaveReason,
        heir: Option<UserId>,
    ) {
        self.present.retain(|(member, _)| *member != user);
        let nth = self.record(sender, EventKind::MemberLeft { user, reason });
        self.members.push((user, MemberAct::Leave, nth));
        if let Some(heir) = heir {
            self.give_role(sender, heir, Role::Owner);
        }
    }

    /// Changes a member's role.
    pub(in crate::store) fn give_role(&mut self, sender: UserId, user: UserId, role: Role) {
        let changes = Changes { role: Some((user, role)), ..Changes::default() };
        let nth = self.record(sender, EventKind::ConversationChanged(changes));
        self.members.push((user, MemberAct::Rank(role), nth));
    }

    /// Keeps a member from saying anything until then.
    pub(in crate::store) fn mute(&mut self, sender: UserId, user: UserId, until: Timestamp) {
        let changes = Changes { muted: Some((user, until)), ..Changes::default() };
        let nth = self.record(sender, EventKind::ConversationChanged(changes));
        self.members.push((user, MemberAct::Mute(until), nth));
    }

    /// Keeps a user from being a member until then. It does not end a membership.
    pub(in crate::store) fn ban(
        &mut self,
        sender: UserId,
        user: UserId,
        until: Timestamp,
        reason: Option<&str>,
    ) {
        let reason = reason.map(str::to_owned);
        let changes = Changes { banned: Some((user, until)), reason, ..Changes::default() };
        let nth = self.record(sender, EventKind::ConversationChanged(changes));
        self.members.push((user, MemberAct::Ban(until), nth));
    }

    /// The events as stored in the log, and the new members.
    pub(in crate::store) fn close(&self, written: Written) -> Recorded {
        let (id, kind) = (self.conversation, self.conversation.kind());
        let seq_of = |nth: Nth| written.first.plus(nth - 1);
        let mut previous = written.previous;
        let mut committed = Vec::with_capacity(self.events.len());
        for ((noted, position), nth) in self.events.iter().zip(written.positions).zip(1..) {
            let audience = audience(kind, &noted.kind, &noted.present);
            let event = Event {
                conversation: id,
                seq: seq_of(nth),
                sender: noted.sender,
                sent_at: self.now,
                kind: noted.kind.clone(),
            };
            committed.push(Committed { event: Arc::new(event), position, previous, audience });
            previous = position;
        }
        let members = self.present.iter().map(|(user, since)| match since {
            Since::Seq(seq) => (*user, *seq),
            Since::Nth(nth) => (*user, seq_of(*nth)),
        });
        let roster = (kind == ConversationKind::Group)
            .then(|| (id, Roster::new(written.version, &members.collect::<Vec<_>>())));
        let author = self.touched.as_ref().map(|touched| touched.author);
        Recorded { seq: written.first, author, committed, invited: None, roster }
    }
}
