//! Joining, leaving and roles.

use super::{Made, Request};
use crate::domain::{ConversationId, ConversationKind, LeaveReason, Refusal, Role, Seq, UserId, permissions};
use crate::store::postgres::link::Link;
use crate::store::postgres::rooms::invited;
use crate::store::postgres::state::membership;
use crate::store::shared::columns::Columns;
use crate::store::shared::room::outsider;
use crate::store::sql::{self, Stop};

pub(super) async fn join(request: Request<'_>, user: UserId, role: Role) -> Result<Made, Stop> {
    let own_role = request.standing.as_ref().map(|standing| standing.member.role);
    permissions::may_add(&request.room.conversation, request.actor, own_role, user, role)?;
    if let Some(there) = membership(request.link, request.room.id(), user).await? {
        return Ok(Made::before(there.member.joined_seq));
    }
    let invited = invited(request.link, request.actor, &[user]).await?;
    if invited.first().ok_or(Refusal::NotFound)?.blocks_actor {
        return Err(Refusal::Blocked.into());
    }
    let members = request.room.conversation.member_count;
    if request.room.kind() == ConversationKind::Group && members >= request.most_members as u64 {
        return Err(Refusal::TooLarge("the group is full").into());
    }
    // Whoever enters a conversation that everyone has left takes it over: it would be nobody's for ever.
    let role = if members == 0 { Role::Owner } else { role };
    let actor = request.actor;
    let mut journal = request.journal().await?;
    let seq = journal.join(actor, user, role);
    Ok(Made { seq, recorded: journal.close().await? })
}

pub(super) async fn leave(request: Request<'_>, user: UserId) -> Result<Made, Stop> {
    let actor = request.actor;
    let Some(own) = request.standing.clone() else {
        let left = if user == actor { left_at(request.link, request.room.id(), user).await? } else { None };
        return left.map(Made::before).ok_or_else(|| outsider(Some(&request.room)).into());
    };
    let there = membership(request.link, request.room.id(), user).await?;
    let role = there.as_ref().map_or(Role::Member, |there| there.member.role);
    permissions::may_remove(&request.room.conversation, actor, own.member.role, user, role)?;
    if there.is_none() {
        let left = left_at(request.link, request.room.id(), user).await?;
        return left.map(Made::before).ok_or_else(|| Refusal::NotFound.into());
    }
    let reason = if user == actor { LeaveReason::Left } else { LeaveReason::Removed };
    let mut journal = request.journal().await?;
    let seq = journal.leave(actor, user, role, reason).await?;
    Ok(Made { seq, recorded: journal.close().await? })
}

async fn left_at(link: &mut Link, conversation: ConversationId, user: UserId) -> sql::Result<Option<Seq>> {
    let row = link
        .optional(
            sqlx::query("SELECT left_seq FROM departures WHERE user_id = $1 AND conversation = $2")
                .bind(*user.as_uuid())
                .bind(*conversation.as_uuid()),
        )
        .await?;
    row.map(|row| row.seq(0)).transpose()
}

pub(super) async fn set_role(request: Request<'_>, user: UserId, role: Role) -> Result<Made, Stop> {
    let actor = request.actor;
    permissions::may_set_role(&request.room.conversation, request.member()?.member.role)?;
    let there = membership(request.link, request.room.id(), user).await?.ok_or(Refusal::NotFound)?;
    if there.member.role == role {
        return Ok(Made::before(there.role_seq));
    }
    if user == actor {
        return Err(Refusal::Forbidden("hand ownership over to a member instead").into());
    }
    let mut journal = request.journal().await?;
    let seq = journal.give_role(actor, user, role);
    if role == Role::Owner {
        journal.give_role(actor, actor, Role::Admin);
    }
    Ok(Made { seq, recorded: journal.close().await? })
}
