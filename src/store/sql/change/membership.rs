//! Joining, leaving, roles, mutes and bans.

use super::{Decision, Request};
use crate::domain::{
    Adding, ConversationKind, LeaveReason, Refusal, Role, Timestamp, UserId, how_to_add, may_wait,
    permissions, quotas,
};
use crate::store::shared::content::without_nul;
use crate::store::shared::conversation::outsider;
use crate::store::shared::numbers::MOST_ADMINS;
use crate::store::sql::invitations::Invitation;

/// The maximum number of admins of a conversation. One of them becomes the owner when the owner leaves.
fn may_make_an_admin(request: &Request<'_>) -> Result<(), Refusal> {
    if request.facts.admins < MOST_ADMINS {
        Ok(())
    } else {
        Err(Refusal::TooLarge("the conversation has as many admins as it can have"))
    }
}

pub(super) fn join(request: &Request<'_>, user: UserId, role: Role) -> Result<Decision, Refusal> {
    let facts = &request.facts;
    let (conversation, actor) = (&facts.stored.conversation, request.actor());
    let own_role = facts.actor.as_ref().map(|own| own.member.role);
    let accepted = accepted(request, user, role);
    if accepted.is_none() {
        permissions::may_add(conversation, actor, own_role, user, role)?;
    }
    if let Some(there) = &facts.subject.membership {
        rare!(JoinRepeated);
        return Ok(Decision::Before(there.member.joined_seq));
    }
    if !facts.subject.lives {
        return Err(Refusal::NotFound);
    }
    permissions::may_enter(facts.subject.banned_until, request.asked.now)?;
    if permissions::is_blocked(facts.subject.block) {
        rare!(InvitationMeetsABlock);
        return Err(Refusal::Blocked);
    }
    let members = conversation.member_count;
    if facts.stored.kind() == ConversationKind::Group && members >= request.asked.limits.group_members as u64
    {
        return Err(Refusal::TooLarge("the group is full"));
    }
    if role == Role::Admin {
        may_make_an_admin(request)?;
    }
    let (limits, consent) = (&request.asked.limits, &request.asked.consent);
    let groups = facts.subject.groups.unwrap_or(consent.defaults.groups);
    if user != actor && how_to_add(groups, facts.subject.knows_actor)? == Adding::Invited {
        return invite(request, user, role);
    }
    quotas::may_be_in_one_more(facts.counted.conversations, limits.conversations, user == actor)?;
    let mut journal = request.journal_about(user);
    if user != actor {
        quotas::may_have_added(facts.counted.added + 1, limits.invitations_per_day)?;
        journal.added = 1;
    }
    journal.guard.rely_on_no_block(actor, user);
    if let Some(by) = accepted {
        journal.guard.rely_on_no_block(by, user);
        journal.met = Some(by);
    }
    // The first user who enters a conversation without members becomes its owner; otherwise it would never
    // have one.
    let role = if members == 0 { Role::Owner } else { role };
    if members == 0 || role == Role::Admin {
        journal.guard.version = Some(facts.stored.members_version);
    }
    journal.join(actor, user, role);
    Ok(Decision::Write(Box::new(journal)))
}

/// The user whose invitation the actor accepts by joining. It counts as long as that user may invite.
fn accepted(request: &Request<'_>, user: UserId, role: Role) -> Option<UserId> {
    let facts = &request.facts;
    let invitation = facts.subject.invitation.as_ref().filter(|invitation| !invitation.declined)?;
    let conversation = &facts.stored.conversation;
    let invites =
        permissions::may_add(conversation, invitation.by, invitation.role, user, Role::Member).is_ok();
    (user == request.actor() && role == Role::Member && invitation.role.is_some() && invites)
        .then_some(invitation.by)
}

/// The user is asked, and becomes a member by accepting.
fn invite(request: &Request<'_>, user: UserId, role: Role) -> Result<Decision, Refusal> {
    let (facts, asked) = (&request.facts, request.asked);
    if role > Role::Member {
        return Err(Refusal::Forbidden("this user is invited first: give the role when they have joined"));
    }
    if facts.subject.invitation.is_some() {
        return Ok(Decision::Invited);
    }
    may_wait(facts.counted.waiting, asked.consent.pending_invitations)?;
    quotas::may_have_added(facts.counted.added + 1, asked.limits.invitations_per_day)?;
    Ok(Decision::Invite(Box::new(Invitation {
        conversation: facts.stored.id(),
        user,
        by: asked.actor,
        now: asked.now,
        rules: asked.consent,
        most_added: asked.limits.invitations_per_day,
    })))
}

pub(super) fn leave(request: &Request<'_>, user: UserId) -> Result<Decision, Refusal> {
    let (facts, actor) = (&request.facts, request.actor());
    let left_before = facts.subject.left_seq.map(Decision::Before);
    let Some(own) = &facts.actor else {
        return left_before.filter(|_| user == actor).ok_or_else(|| outsider(Some(&facts.stored)));
    };
    let role = facts.subject.membership.as_ref().map_or(Role::Member, |there| there.member.role);
    permissions::may_remove(&facts.stored.conversation, actor, own.member.role, user, role)?;
    if facts.subject.membership.is_none() {
        return left_before.ok_or(Refusal::NotFound);
    }
    end(request, user, if user == actor { LeaveReason::Left } else { LeaveReason::Removed })
}

/// Ends a membership, if it exists. When the owner leaves, the admin of longest standing becomes the owner,
/// or else the member of longest standing.
pub(super) fn end(request: &Request<'_>, user: UserId, reason: LeaveReason) -> Result<Decision, Refusal> {
    let facts = &request.facts;
    let Some(there) = &facts.subject.membership else {
        return Ok(Decision::Before(facts.subject.left_seq.unwrap_or(facts.stored.conversation.last_seq)));
    };
    let mut journal = request.journal_about(user);
    let owned = there.member.role == Role::Owner;
    if owned {
        journal.guard.version = Some(facts.stored.members_version);
    }
    journal.leave(request.actor(), user, reason, facts.heir.filter(|_| owned));
    Ok(Decision::Write(Box::new(journal)))
}

pub(super) fn set_role(request: &Request<'_>, user: UserId, role: Role) -> Result<Decision, Refusal> {
    let (facts, actor) = (&request.facts, request.actor());
    permissions::may_set_role(&facts.stored.conversation, request.member()?.member.role)?;
    let there = facts.subject.membership.as_ref().ok_or(Refusal::NotFound)?;
    if there.member.role == role {
        return Ok(Decision::Before(there.role_seq));
    }
    if user == actor {
        return Err(Refusal::Forbidden("hand ownership over to a member instead"));
    }
    let mut journal = request.journal_about(user);
    // A user who transfers the ownership becomes an admin.
    if role == Role::Admin || (role == Role::Owner && there.member.role != Role::Admin) {
        may_make_an_admin(request)?;
        journal.guard.version = Some(facts.stored.members_version);
    }
    journal.give_role(actor, user, role);
    if role == Role::Owner {
        journal.give_role(actor, actor, Role::Admin);
    }
    Ok(Decision::Write(Box::new(journal)))
}

pub(super) fn mute(request: &Request<'_>, user: UserId, duration_ms: u64) -> Result<Decision, Refusal> {
    let (facts, now) = (&request.facts, request.asked.now);
    let own = request.member()?;
    let role = facts.subject.membership.as_ref().map_or(Role::Member, |there| there.member.role);
    permissions::may_mute(&facts.stored.conversation, own.member.role, role)?;
    let there = facts.subject.membership.as_ref().ok_or(Refusal::NotFound)?;
    let speaks = permissions::may_speak(there.member.muted_until, now).is_ok();
    let until = now.plus_ms(i64::try_from(duration_ms).unwrap_or(i64::MAX));
    if (speaks && until == now) || there.member.muted_until == Some(until) {
        return Ok(Decision::Before(there.role_seq));
    }
    let mut journal = request.journal_about(user);
    journal.mute(request.actor(), user, until);
    Ok(Decision::Write(Box::new(journal)))
}

pub(super) fn ban(
    request: &Request<'_>,
    user: UserId,
    until: Timestamp,
    reason: Option<&str>,
) -> Result<Decision, Refusal> {
    let (facts, now) = (&request.facts, request.asked.now);
    without_nul("reason", reason.unwrap_or_default())?;
    let own = request.member()?;
    let there = facts.subject.membership.as_ref();
    let role = there.map_or(Role::Member, |there| there.member.role);
    permissions::may_ban(&facts.stored.conversation, own.member.role, role)?;
    let lifts = until <= now;
    if !facts.subject.lives && !lifts {
        return Err(Refusal::NotFound);
    }
    let before = facts.subject.banned_until;
    let is_free = permissions::may_enter(before, now).is_ok();
    if (lifts && is_free) || (there.is_none() && before == Some(until)) {
        return Ok(Decision::Before(facts.subject.left_seq.unwrap_or(facts.stored.conversation.last_seq)));
    }
    let mut journal = request.journal_about(user);
    journal.ban(request.actor(), user, until, reason);
    if there.is_some() && !lifts {
        rare!(BanOfAMember);
        journal.leave(request.actor(), user, LeaveReason::Removed, None);
    }
    Ok(Decision::Write(Box::new(journal)))
}
