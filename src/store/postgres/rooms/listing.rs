//! Looking at conversations and members.

use uuid::Uuid;

use crate::domain::{ConversationId, Member, UserId};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::link::Link;
use crate::store::postgres::rows::Pg;
use crate::store::postgres::state::{member_columns, membership_of, room_columns, room_of};
use crate::store::postgres::work::read;
use crate::store::shared::columns::Columns;
use crate::store::shared::room::{MEMBER_COLUMNS, Membership, ROOM_COLUMNS, Room};
use crate::store::sql::accounts::read_user;
use crate::store::sql::{self, Stop, before_commit};
use crate::store::{ConversationView, Head, MemberView, Outcome, Page, StoreError};

/// What an outer look-up finds when there is nothing: an absence, never a refusal.
fn unrefused<T: Default>(outcome: Outcome<T>) -> Result<T, StoreError> {
    Ok(outcome?.unwrap_or_default())
}

fn view(room: Room, membership: &Membership) -> ConversationView {
    let member = &membership.member;
    let head = Head {
        conversation: room.id(),
        name: room.conversation.name.clone(),
        peer: room.peer_of(member.user),
        last_seq: room.conversation.last_seq,
        first_seq: member.first_visible(room.conversation.history),
        read_seq: member.read_seq,
        unread: room.message_count.saturating_sub(membership.read_count),
    };
    ConversationView { conversation: room.conversation, head, role: member.role }
}

pub(in crate::store::postgres) async fn conversation(
    store: &PostgresStore,
    user: UserId,
    id: ConversationId,
) -> Result<Option<ConversationView>, StoreError> {
    let found = unrefused(read!(store, reader, |link| room_of(link, id, user)))?;
    Ok(match found {
        (Some(room), Some(membership)) => Some(view(room, &membership)),
        (_, _) => None,
    })
}

pub(in crate::store::postgres) async fn conversations(
    store: &PostgresStore,
    user: UserId,
    after: Option<ConversationId>,
    limit: usize,
) -> Result<Page<ConversationView, ConversationId>, StoreError> {
    let limit = limit.max(1);
    let rows = unrefused(read!(store, reader, |link| {
        link.all(sqlx::query(concat!(
            "SELECT ",
            room_columns!(),
            ", ",
            member_columns!(),
            " FROM members m JOIN conversations c ON c.id = m.conversation \
             WHERE m.user_id = $1 AND m.conversation > $2 AND c.deleted_at IS NULL ORDER BY m.conversation LIMIT $3"
        ))
        .bind(*user.as_uuid())
        .bind(after.map_or_else(Uuid::nil, |id| *id.as_uuid()))
        .bind(limit as i64 + 1))
    }))?;
    let read = |row: &Pg| {
        let pair = Room::read(row, 0)?.zip(Membership::read(row, ROOM_COLUMNS)?);
        Ok(pair.map(|(room, membership)| view(room, &membership)))
    };
    let items = collect(&rows, limit, read)?;
    let next = items.last().filter(|_| rows.len() > limit).map(|last| last.head.conversation);
    Ok(Page { items, next })
}

/// The first `limit` rows as values.
fn collect<T>(
    rows: &[Pg],
    limit: usize,
    read: impl Fn(&Pg) -> sql::Result<Option<T>>,
) -> Result<Vec<T>, StoreError> {
    let items =
        rows.iter().take(limit).filter_map(|row| read(row).transpose()).collect::<sql::Result<Vec<T>>>();
    items.map_err(before_commit)
}

pub(in crate::store::postgres) async fn members(
    store: &PostgresStore,
    user: UserId,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: usize,
) -> Outcome<Page<MemberView, UserId>> {
    let limit = limit.max(1);
    let rows = match read!(store, reader, |link| member_rows(link, user, conversation, after, limit))? {
        Ok(rows) => rows,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let read = |row: &Pg| {
        let membership = Membership::read(row, 0)?;
        let profile = read_user(row, MEMBER_COLUMNS)?;
        Ok(membership.map(|found| MemberView { member: found.member, user: profile }))
    };
    let items = collect(&rows, limit, read)?;
    let next = items.last().filter(|_| rows.len() > limit).map(|last| last.member.user);
    Ok(Ok(Page { items, next }))
}

async fn member_rows(
    link: &mut Link,
    user: UserId,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<Pg>, Stop> {
    let rows = link
        .all(
            sqlx::query(concat!(
                "SELECT ",
                member_columns!(),
                ", u.id, u.username, u.display_name, u.guest, u.created_at \
         FROM members m JOIN users u ON u.id = m.user_id \
         WHERE m.conversation = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3"
            ))
            .bind(*conversation.as_uuid())
            .bind(after.map_or_else(Uuid::nil, |user| *user.as_uuid()))
            .bind(limit as i64 + 1),
        )
        .await?;
    // After the rows: whoever is a member now may see who was one a moment ago. The other way round the rows could be of
    // later than the end of a membership.
    membership_of(link, conversation, user).await?;
    Ok(rows)
}

pub(in crate::store::postgres) async fn member(
    store: &PostgresStore,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    let (_, membership) = unrefused(read!(store, reader, |link| room_of(link, conversation, user)))?;
    Ok(membership.map(|found| found.member))
}

/// Shared conversations are looked for from the user's own side: their memberships are fewer than everybody's.
const ACQUAINTED: &str = "\
SELECT k.other FROM unnest($2::uuid[]) AS k (other) \
WHERE ($1 = k.other OR EXISTS ( \
    SELECT 1 FROM members a JOIN members b ON b.user_id = k.other AND b.conversation = a.conversation \
    JOIN conversations c ON c.id = a.conversation AND c.deleted_at IS NULL WHERE a.user_id = $1)) \
AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocker = $1 AND blocked = k.other) \
AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocker = k.other AND blocked = $1)";

pub(in crate::store::postgres) async fn acquaintances(
    store: &PostgresStore,
    user: UserId,
    others: &[UserId],
) -> Result<Vec<UserId>, StoreError> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let others: Vec<Uuid> = others.iter().map(|other| *other.as_uuid()).collect();
    let own = *user.as_uuid();
    let rows =
        unrefused(read!(store, reader, |link| link.all(sqlx::query(ACQUAINTED).bind(own).bind(&others))))?;
    rows.iter().map(|row| row.user(0)).collect::<sql::Result<Vec<_>>>().map_err(before_commit)
}
