//! The permissions: the one place that decides them, from facts that the caller read.
//!
//! Stores call these rules inside the transaction that carries out the change, so a decision never rests on a
//! membership that has changed since.

use super::{
    Approach, Conversation, ConversationKind, JoinPolicy, Refusal, Role, Timestamp, UserId, may_approach,
};

const DIRECT_IS_FIXED: Refusal =
    Refusal::Forbidden("a direct conversation has its two members and no settings");

fn not_direct(conversation: &Conversation) -> Result<(), Refusal> {
    match conversation.id.kind() {
        ConversationKind::Direct => Err(DIRECT_IS_FIXED),
        ConversationKind::Group | ConversationKind::Channel => Ok(()),
    }
}

/// May `actor` (with `actor_role`, `None` when no member) make `user` a member with `role`?
///
/// Joining oneself to an open conversation needs no membership; a stranger to an invite-only or direct one
/// learns nothing. Otherwise anyone could find out whether two others ever talked.
pub fn may_add(
    conversation: &Conversation,
    actor: UserId,
    actor_role: Option<Role>,
    user: UserId,
    role: Role,
) -> Result<(), Refusal> {
    if actor_role.is_some() {
        not_direct(conversation)?;
    }
    let open = conversation.join == JoinPolicy::Open && conversation.id.kind() != ConversationKind::Direct;
    match actor_role {
        None if actor == user && open && role == Role::Member => Ok(()),
        None if open => Err(Refusal::NotMember),
        None => Err(Refusal::NotFound),
        Some(_) if actor == user => Ok(()),
        Some(Role::Member) if !open => Err(Refusal::Forbidden("only owner and admins invite here")),
        Some(own) if role > Role::Member && own < Role::Owner => {
            Err(Refusal::Forbidden("only the owner gives roles"))
        }
        Some(_) if role == Role::Owner => Err(Refusal::Forbidden("hand ownership over to a member instead")),
        Some(_) => Ok(()),
    }
}

/// May a user with a ban that ends at `banned_until` be a member at `now`? A ban ends at its time.
pub fn may_enter(banned_until: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match banned_until.map(|until| until.ms_since(now)) {
        Some(left_ms) if left_ms > 0 => Err(Refusal::Banned { left_ms: left_ms.unsigned_abs() }),
        Some(_) | None => Ok(()),
    }
}

/// Who of two users has blocked the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block {
    /// The one who acts has blocked the other.
    pub by_actor: bool,
    /// The other has blocked the one who acts.
    pub by_other: bool,
}

impl Block {
    /// One block, set by one of the two.
    pub const fn one(by_other: bool) -> Self {
        Self { by_actor: !by_other, by_other }
    }

    /// The blocks of both.
    pub const fn and(self, more: Self) -> Self {
        Self { by_actor: self.by_actor || more.by_actor, by_other: self.by_other || more.by_other }
    }
}

/// Does a block keep the actor from what they do to the other user: write to them directly, add or invite
/// them?
///
/// A block of either of them holds. Two users who share a group or a channel see each other's messages in it
/// nevertheless. `src/store/sql/permissions.rs` has the rule as SQL, for statements that decide it.
pub const fn is_blocked(block: Block) -> bool {
    block.by_actor || block.by_other
}

/// Are two users shown to each other: their presence, typing and receipts, wherever they are?
pub const fn may_be_shown(block: Block) -> bool {
    !is_blocked(block)
}

/// The facts that decide whether a user may send to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// The join policy of the conversation; `None` when there is none.
    pub there: Option<JoinPolicy>,
    /// It is between two users, or would be: a direct one is made with its first message.
    pub direct: bool,
    /// The sender is a member.
    pub member: bool,
    /// The sender's account is there and not erased.
    pub sender_lives: bool,
    /// So is that of the other user of a direct conversation.
    pub peer_lives: bool,
    /// The blocks between the two.
    pub block: Block,
    /// How the other user of a direct conversation stands to the sender.
    pub approach: Approach,
    /// Until when the sender is muted there.
    pub muted_until: Option<Timestamp>,
}

/// Whether a member may add something new at `now`: a message, an edit or a reaction. A mute ends at its
/// time.
pub fn may_speak(muted_until: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match muted_until.map(|until| until.ms_since(now)) {
        Some(left_ms) if left_ms > 0 => Err(Refusal::Muted { left_ms: left_ms.unsigned_abs() }),
        Some(_) | None => Ok(()),
    }
}

/// May somebody send at `now`? On Postgres a send is one round trip, so `tidings_append` decides it by this
/// rule as `src/store/sql/permissions.rs` says it. `tests/contract/suite/sending.rs` compares the two.
pub fn may_send(sending: Sending, now: Timestamp) -> Result<(), Refusal> {
    let Sending { there, direct, member, sender_lives, peer_lives, block, approach, muted_until } = sending;
    match there {
        Some(_) | None if !sender_lives => Err(Refusal::NotFound),
        None if !direct => Err(Refusal::NotFound),
        Some(JoinPolicy::Open) if !member => Err(Refusal::NotMember),
        Some(JoinPolicy::Invite) if !member => Err(Refusal::NotFound),
        Some(_) | None if direct && !peer_lives => Err(Refusal::NotFound),
        Some(_) | None if direct && is_blocked(block) => Err(Refusal::Blocked),
        Some(_) | None => {
            if direct {
                may_approach(approach)?;
            }
            may_speak(muted_until, now)
        }
    }
}

/// May `actor` end `user`'s membership?
pub fn may_remove(
    conversation: &Conversation,
    actor: UserId,
    actor_role: Role,
    user: UserId,
    user_role: Role,
) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if actor == user || outranks(actor_role, user_role) {
        Ok(())
    } else {
        Err(Refusal::Forbidden("your role does not allow removing this member"))
    }
}

/// Admins and the owner act on members below them.
fn outranks(actor_role: Role, user_role: Role) -> bool {
    actor_role >= Role::Admin && actor_role > user_role
}

/// May `actor` ban `user`, or lift that? The same members whom the actor may remove, apart from oneself.
/// Somebody who is no member counts as a member without a role.
pub fn may_ban(conversation: &Conversation, actor_role: Role, user_role: Role) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if outranks(actor_role, user_role) {
        Ok(())
    } else {
        Err(Refusal::Forbidden("your role does not allow banning this user"))
    }
}

/// May a member with this role read who is banned?
pub fn may_see_bans(conversation: &Conversation, role: Role) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if role >= Role::Admin { Ok(()) } else { Err(Refusal::Forbidden("only owner and admins see bans")) }
}

/// May `actor` mute `user`, or lift that? The same members whom the actor may remove, apart from oneself.
pub fn may_mute(conversation: &Conversation, actor_role: Role, user_role: Role) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if outranks(actor_role, user_role) {
        Ok(())
    } else {
        Err(Refusal::Forbidden("your role does not allow muting this member"))
    }
}

/// May a member with `actor_role` give roles?
pub fn may_set_role(conversation: &Conversation, actor_role: Role) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if actor_role == Role::Owner { Ok(()) } else { Err(Refusal::Forbidden("only the owner gives roles")) }
}

/// May a member with `actor_role` change settings?
pub fn may_change_settings(conversation: &Conversation, actor_role: Role) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if actor_role >= Role::Admin {
        Ok(())
    } else {
        Err(Refusal::Forbidden("only owner and admins change settings"))
    }
}

/// May a member with `actor_role` delete the conversation?
pub fn may_delete_conversation(conversation: &Conversation, actor_role: Role) -> Result<(), Refusal> {
    not_direct(conversation)?;
    if actor_role == Role::Owner { Ok(()) } else { Err(Refusal::Forbidden("only the owner deletes it")) }
}

/// May `actor` edit a message of `sender`?
pub fn may_edit(actor: UserId, sender: UserId) -> Result<(), Refusal> {
    if actor == sender { Ok(()) } else { Err(Refusal::Forbidden("only one's own messages can be edited")) }
}

/// May `actor` delete a message of `sender`?
pub fn may_delete(
    conversation: &Conversation,
    actor: UserId,
    actor_role: Role,
    sender: UserId,
) -> Result<(), Refusal> {
    let moderates = conversation.id.kind() != ConversationKind::Direct && actor_role >= Role::Admin;
    if actor == sender || moderates {
        Ok(())
    } else {
        Err(Refusal::Forbidden("only one's own messages can be deleted, or any by owner and admins"))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationId, HistoryPolicy, Seq, Timestamp};

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    fn conversation(kind: ConversationKind, join: JoinPolicy) -> Conversation {
        Conversation {
            id: ConversationId::from_random(kind, Uuid::from_u128(9)),
            name: None,
            topic: None,
            history: HistoryPolicy::FromJoin,
            join,
            last_seq: Seq::ZERO,
            member_count: 1,
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn strangers_join_open_conversations_only_and_cannot_probe_the_others() {
        let open = conversation(ConversationKind::Channel, JoinPolicy::Open);
        let closed = conversation(ConversationKind::Group, JoinPolicy::Invite);
        assert_eq!(may_add(&open, user(1), None, user(1), Role::Member), Ok(()));
        assert_eq!(may_add(&open, user(1), None, user(2), Role::Member), Err(Refusal::NotMember));
        assert!(may_add(&open, user(1), None, user(1), Role::Admin).is_err());
        assert_eq!(may_add(&closed, user(1), None, user(1), Role::Member), Err(Refusal::NotFound));
    }

    #[test]
    fn roles_rank_removal() {
        let group = conversation(ConversationKind::Group, JoinPolicy::Invite);
        for (actor_role, user_role, allowed) in [
            (Role::Member, Role::Member, false),
            (Role::Admin, Role::Member, true),
            (Role::Admin, Role::Admin, false),
            (Role::Owner, Role::Admin, true),
        ] {
            assert_eq!(may_remove(&group, user(1), actor_role, user(2), user_role).is_ok(), allowed);
            assert_eq!(may_mute(&group, actor_role, user_role).is_ok(), allowed);
        }
        assert!(may_remove(&group, user(1), Role::Member, user(1), Role::Member).is_ok(), "anyone leaves");
    }

    #[test]
    fn a_block_of_either_hides_two_users_from_each_other_wherever_they_are() {
        for (by_actor, by_other) in [(false, false), (false, true), (true, false), (true, true)] {
            let block = Block { by_actor, by_other };
            assert_eq!(may_be_shown(block), !by_actor && !by_other, "{block:?}");
            assert_eq!(is_blocked(block), by_actor || by_other, "{block:?}");
        }
        assert_eq!(Block::one(true).and(Block::one(false)), Block { by_actor: true, by_other: true });
    }

    #[test]
    fn nobody_moderates_a_direct_conversation() {
        let direct = conversation(ConversationKind::Direct, JoinPolicy::Invite);
        assert!(may_delete(&direct, user(1), Role::Owner, user(2)).is_err());
        assert!(may_delete(&direct, user(1), Role::Member, user(1)).is_ok());
        assert_eq!(may_add(&direct, user(1), Some(Role::Owner), user(3), Role::Member), Err(DIRECT_IS_FIXED));
        assert_eq!(may_add(&direct, user(3), None, user(3), Role::Member), Err(Refusal::NotFound));
        assert_eq!(may_add(&direct, user(3), None, user(4), Role::Member), Err(Refusal::NotFound));
        assert_eq!(may_mute(&direct, Role::Owner, Role::Member), Err(DIRECT_IS_FIXED));
    }

    #[test]
    fn a_mute_ends_by_itself() {
        let at = Timestamp::from_unix_ms;
        assert_eq!(may_speak(Some(at(1_000)), at(400)), Err(Refusal::Muted { left_ms: 600 }));
        assert_eq!(may_speak(Some(at(1_000)), at(1_000)), Ok(()));
        assert_eq!(may_speak(None, at(400)), Ok(()));
    }
}
