//! Pages of conversations and members, and which users share a conversation.

use uuid::Uuid;

use super::look::membership_of;
use crate::domain::{ConsentRules, ConversationId, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::conversation::{CONVERSATION_COLUMNS, ConversationRow, MEMBER_COLUMNS, Membership};
use crate::store::shared::part::Part;
use crate::store::sql::accounts::read_user;
use crate::store::sql::page::page;
use crate::store::sql::{Connection, Result, Sql, Stop, Value, statement, values};
use crate::store::{ConversationView, Head, MemberView, Page};

fn view(stored: ConversationRow, membership: &Membership, stranger: bool) -> ConversationView {
    let member = &membership.member;
    let head = Head {
        conversation: stored.id(),
        name: stored.conversation.name.clone(),
        peer: stored.peer_of(member.user),
        last_seq: stored.conversation.last_seq,
        first_seq: stored.conversation.history.first_visible(member.joined_seq),
        read_seq: member.read_seq,
        unread: stored.message_count.saturating_sub(membership.read_count),
        stranger,
    };
    ConversationView {
        conversation: stored.conversation,
        head,
        role: member.role,
        muted_until: member.muted_until,
    }
}

/// SQLite joins in the order of the text: memberships first, by their key.
const CONVERSATIONS: Sql = statement!(
    "SELECT {view_columns}, {from_stranger} FROM members m CROSS JOIN conversations c \
     WHERE c.id = m.conversation AND m.user_id = $1 AND m.conversation > $2 AND c.deleted_at IS NULL \
     ORDER BY m.conversation LIMIT $3"
);

pub(super) async fn conversations<C: Connection>(
    connection: &mut C,
    user: UserId,
    after: Option<ConversationId>,
    limit: usize,
) -> Result<Page<ConversationView, ConversationId>> {
    let after = after.map_or_else(Uuid::nil, |id| *id.as_uuid());
    let rows = connection.all(&CONVERSATIONS, values![user, after, limit as i64 + 1]).await?;
    page(&rows, limit, seen, |view| view.head.conversation)
}

/// A row of `{view_columns}, {from_stranger}`; `None` for a user who is no member.
fn seen(row: &impl Columns) -> Result<Option<ConversationView>> {
    let Some(stored) = ConversationRow::read(row, 0)? else { return Ok(None) };
    let Some(membership) = Membership::read(row, CONVERSATION_COLUMNS)? else { return Ok(None) };
    let stranger = row.flag(CONVERSATION_COLUMNS + MEMBER_COLUMNS)?;
    Ok(Some(view(stored, &membership, stranger)))
}

const CONVERSATION: Sql = statement!(
    "SELECT {view_columns}, {from_stranger} FROM members m CROSS JOIN conversations c \
     WHERE c.id = $1 AND m.user_id = $2 AND m.conversation = $1 AND c.deleted_at IS NULL"
);

/// A conversation as a member sees it.
pub(super) async fn conversation<C: Connection>(
    connection: &mut C,
    id: ConversationId,
    user: UserId,
) -> Result<Option<ConversationView>> {
    match connection.optional(&CONVERSATION, values![id, user]).await? {
        Some(row) => seen(&row),
        None => Ok(None),
    }
}

const MEMBERS: Sql = statement!(
    "SELECT {member_columns m}, {user_columns} FROM members m CROSS JOIN users u \
     WHERE u.id = m.user_id AND m.conversation = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3"
);

pub(super) async fn members<C: Connection>(
    connection: &mut C,
    user: UserId,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: usize,
) -> std::result::Result<Page<MemberView, UserId>, Stop> {
    let after = after.map_or_else(Uuid::nil, |user| *user.as_uuid());
    let rows = connection.all(&MEMBERS, values![conversation, after, limit as i64 + 1]).await?;
    // The membership is read after the rows: a user who is a member now may see earlier members. In the other
    // order the rows could be newer than the end of the membership.
    membership_of(connection, conversation, user).await?;
    let read = |row: &C::Row| {
        let membership = Membership::read(row, 0)?;
        let user = read_user(row, MEMBER_COLUMNS)?;
        Ok(membership.map(|found| MemberView { member: found.member, user }))
    };
    Ok(page(&rows, limit, read, |view| view.member.user)?)
}

/// The maximum number of steps in the search for a conversation that two users share. A step skips all
/// conversations of one user before the other user's next one, so the search takes at most two steps for each
/// conversation of the user who has fewer. If both users have more than half as many conversations, a shared
/// one may be missed, unless it is their direct one, which is looked up by its id.
const MOST_STEPS: i64 = 1_000;

/// A shared direct conversation or group is looked for in both users' memberships at once, in their order.
pub(in crate::store::sql) const PARTS: &[Part] = &[
    // The first conversation of a user of all, and of those that compare so.
    Part::each(
        "first_of",
        "(SELECT m.conversation FROM members m WHERE m.user_id = %1 \
          AND m.conversation >= '00000000-0000-0000-0000-000000000000'::uuid ORDER BY m.conversation LIMIT 1)",
        "(SELECT m.conversation FROM members m WHERE m.user_id = %1 \
          AND m.conversation >= x'' ORDER BY m.conversation LIMIT 1)",
    ),
    Part::same(
        "next_of",
        "(SELECT m.conversation FROM members m WHERE m.user_id = %1 AND m.conversation %2 ORDER BY m.conversation LIMIT 1)",
    ),
    // The first lets the second see their presence, if they share a conversation.
    Part::same(
        "shown_to",
        "(%1 = %2 OR coalesce((SELECT x.presence_to FROM privacy x WHERE x.user_id = %1 LIMIT 1), $5) \
          <= CASE WHEN {knows %1 %2} THEN 1 ELSE 0 END)",
    ),
    Part::same(
        "acquainted",
        "($1 = %1 OR ((({knows $1 %1} AND {knows %1 $1} OR NOT $6) AND EXISTS ( \
             SELECT 1 FROM members m CROSS JOIN members o CROSS JOIN conversations c \
             WHERE m.user_id = $1 AND m.conversation = %2 AND o.user_id = %1 AND o.conversation = %2 \
             AND c.id = %2 AND c.deleted_at IS NULL \
         )) OR EXISTS ( \
             WITH RECURSIVE walk (own, theirs, step) AS ( \
                 SELECT {first_of $1}, {first_of %1}, 1 \
                 UNION ALL \
                 SELECT CASE WHEN w.own < w.theirs THEN {next_of $1 >=w.theirs} \
                             WHEN w.own = w.theirs THEN {next_of $1 >w.theirs} ELSE w.own END, \
                        CASE WHEN w.theirs < w.own THEN {next_of %1 >=w.own} ELSE w.theirs END, w.step + 1 \
                 FROM walk w WHERE w.own IS NOT NULL AND w.theirs IS NOT NULL AND w.step < $4 \
             ) \
             SELECT 1 FROM walk w CROSS JOIN conversations c \
             WHERE w.own = w.theirs AND c.id = w.own AND c.kind NOT IN ({direct}, {channel}) AND c.deleted_at IS NULL))) AND {shown_to $1 %1} AND {shown_to %1 $1} AND NOT {is_blocked $1 %1}",
    ),
];
const ACQUAINTED: Sql = statement!(
    postgres: "SELECT k.other FROM unnest($2::uuid[], $3::uuid[]) AS k (other, direct) \
               WHERE {acquainted k.other k.direct}",
    sqlite: "SELECT $2 WHERE {acquainted $2 $3}",
);

pub(super) async fn acquaintances<C: Connection>(
    connection: &mut C,
    user: UserId,
    others: &[UserId],
    rules: &ConsentRules,
) -> Result<Vec<UserId>> {
    let directs = others.iter().map(|other| *ConversationId::direct(user, *other).as_uuid());
    let (directs, others) =
        (Value::uuids(directs), Value::uuids(others.iter().map(|other| *other.as_uuid())));
    let (default, answered) = (rules.defaults.presence.as_stored(), rules.presence_needs_answer);
    let asked = values![user, others, directs, MOST_STEPS, default, answered];
    let rows = connection.each(&ACQUAINTED, asked).await?;
    rows.iter().map(|row| row.user(0)).collect()
}
