//! Invitations: somebody who is no contact of a user wants to add the user to a group or a channel.

use super::{Connection, Decision, Result, Sql, accounts, quotas, statement, values};
use crate::domain::{ConsentRules, ConversationId, Refusal, Timestamp, UserId, may_wait};
use crate::store::InvitationView;
use crate::store::shared::columns::Columns;
use crate::store::shared::conversation::{CONVERSATION_COLUMNS, ConversationRow};
use crate::store::shared::part::Part;

pub(super) const PARTS: &[Part] = &[
    // How many invitations wait for a user at a time, at most `%3`; declined ones count until their end.
    Part::same(
        "waiting_for",
        "(SELECT count(*) FROM (SELECT 1 FROM invitations x WHERE x.user_id = %1 AND x.ends_at > %2 LIMIT %3) x)",
    ),
];

/// Somebody is to be invited. The rules have allowed it.
#[derive(Debug)]
pub(super) struct Invitation {
    pub conversation: ConversationId,
    pub user: UserId,
    pub by: UserId,
    pub now: Timestamp,
    pub rules: ConsentRules,
    /// People whom `by` may add in a day.
    pub most_added: u32,
}

const FORGET: Sql = statement!("DELETE FROM invitations WHERE user_id = $1 AND ends_at <= $2");
const WAITING: Sql = statement!("SELECT {waiting_for $1 $2 $3}");
const INVITE: Sql = statement!(
    "INSERT INTO invitations (user_id, conversation, invited_by, invited_at, ends_at, declined) VALUES ($1, $2, $3, $4, $5, 0) \
     ON CONFLICT DO NOTHING RETURNING user_id",
);

/// Invites, and counts it for the day; false when the user was invited before.
pub(super) async fn invite<C: Connection>(connection: &mut C, asked: &Invitation) -> Decision<bool> {
    let Invitation { conversation, user, by, now, rules, most_added } = asked;
    if !invite_uncounted(connection, (*conversation, *user, *by), *now, rules).await? {
        return Ok(false);
    }
    quotas::add_people(connection, *by, 1, *most_added, *now).await?;
    Ok(true)
}

/// Invites a user to a conversation, by somebody who counts it; false when the user was invited before.
pub(super) async fn invite_uncounted<C: Connection>(
    connection: &mut C,
    (conversation, user, by): (ConversationId, UserId, UserId),
    now: Timestamp,
    rules: &ConsentRules,
) -> Decision<bool> {
    connection.run(&FORGET, values![user, now]).await?;
    let most = rules.pending_invitations;
    let waiting = connection.one(&WAITING, values![user, now, most as i64]).await?.count(0)?;
    may_wait(waiting, most)?;
    let until = now.plus_ms(rules.invitation_ms);
    Ok(connection.optional(&INVITE, values![user, conversation, by, now, until]).await?.is_some())
}

const LIST: Sql = statement!(
    "SELECT {conversation_columns}, {user_columns}, i.invited_at, i.ends_at \
     FROM invitations i CROSS JOIN conversations c CROSS JOIN users u CROSS JOIN members m \
     WHERE i.user_id = $1 AND i.ends_at > $2 AND i.declined = 0 AND c.id = i.conversation AND c.deleted_at IS NULL \
     AND u.id = i.invited_by AND u.erased_at IS NULL AND m.user_id = i.invited_by AND m.conversation = i.conversation \
     AND NOT {is_blocked i.user_id i.invited_by} AND coalesce({banned_until i.user_id i.conversation} <= $2, TRUE) \
     ORDER BY i.invited_at, i.conversation LIMIT $3"
);

pub(super) async fn list<C: Connection>(
    connection: &mut C,
    user: UserId,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<InvitationView>> {
    let rows = connection.all(&LIST, values![user, now, limit as i64]).await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(stored) = ConversationRow::read(row, 0)? else { continue };
        let at = CONVERSATION_COLUMNS;
        views.push(InvitationView {
            conversation: stored.conversation,
            by: accounts::read_user(row, at)?,
            at: row.time(at + 5)?,
            until: row.time(at + 6)?,
        });
    }
    Ok(views)
}

const DECLINE: Sql = statement!(
    "UPDATE invitations SET declined = 1 WHERE user_id = $1 AND conversation = $2 AND ends_at > $3 RETURNING user_id",
);

pub(super) async fn decline<C: Connection>(
    connection: &mut C,
    user: UserId,
    conversation: ConversationId,
    now: Timestamp,
) -> Decision<()> {
    connection.optional(&DECLINE, values![user, conversation, now]).await?.ok_or(Refusal::NotFound)?;
    Ok(())
}
