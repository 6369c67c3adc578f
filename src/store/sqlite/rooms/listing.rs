//! Looking at conversations and members.

use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::domain::{ConversationId, Member, UserId};
use crate::store::shared::columns::Columns;
use crate::store::shared::room::{MEMBER_COLUMNS, Membership, ROOM_COLUMNS, Room};
use crate::store::sql::accounts::read_user;
use crate::store::sql::{self, Stop};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::lane::Phase;
use crate::store::sqlite::rows::MultiRow;
use crate::store::sqlite::state::{member_columns, membership_of, room_columns, room_of};
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

pub(in crate::store::sqlite) async fn conversation(
    store: &SqliteStore,
    user: UserId,
    id: ConversationId,
) -> Result<Option<ConversationView>, StoreError> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let found = room_of(&mut transaction, id, user).await;
        transaction.end(found.map_err(Stop::from)).await
    };
    let found = unrefused(Phase::default().bound(store.timeout, work).await)?;
    Ok(match found {
        (Some(room), Some(membership)) => Some(view(room, &membership)),
        (_, _) => None,
    })
}

pub(in crate::store::sqlite) async fn conversations(
    store: &SqliteStore,
    user: UserId,
    after: Option<ConversationId>,
    limit: usize,
) -> Result<Page<ConversationView, ConversationId>, StoreError> {
    let limit = limit.max(1);
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            room_columns!(),
            ", ",
            member_columns!(),
            " FROM members m CROSS JOIN conversations c ON c.id = m.conversation \
             WHERE m.user_id = ?1 AND m.conversation > ?2 AND c.deleted_at IS NULL ORDER BY m.conversation LIMIT ?3"
        ))
        .bind(*user.as_uuid())
        .bind(after.map_or_else(Vec::new, |id| id.as_uuid().as_bytes().to_vec()))
        .bind(limit as i64 + 1)
        .fetch_all(&mut *transaction)
        .await;
        transaction.end(rows.map_err(Stop::from)).await
    };
    let rows = unrefused(Phase::default().bound(store.timeout, work).await)?;
    let read = |row: &SqliteRow| {
        let pair = Room::read(row, 0)?.zip(Membership::read(row, ROOM_COLUMNS)?);
        Ok(pair.map(|(room, membership)| view(room, &membership)))
    };
    let items = collect(&rows, limit, read)?;
    let next = items.last().filter(|_| rows.len() > limit).map(|last| last.head.conversation);
    Ok(Page { items, next })
}

/// The first `limit` rows as values.
fn collect<T>(
    rows: &[SqliteRow],
    limit: usize,
    read: impl Fn(&SqliteRow) -> sql::Result<Option<T>>,
) -> Result<Vec<T>, StoreError> {
    let items =
        rows.iter().take(limit).filter_map(|row| read(row).transpose()).collect::<sql::Result<Vec<T>>>();
    items.map_err(sql::before_commit)
}

pub(in crate::store::sqlite) async fn members(
    store: &SqliteStore,
    user: UserId,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: usize,
) -> Outcome<Page<MemberView, UserId>> {
    let limit = limit.max(1);
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let worked = member_rows(&mut transaction, user, conversation, after, limit).await;
        transaction.end(worked).await
    };
    let rows = match Phase::default().bound(store.timeout, work).await? {
        Ok(rows) => rows,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let read = |row: &SqliteRow| {
        let membership = Membership::read(row, 0)?;
        let profile = read_user(row, MEMBER_COLUMNS)?;
        Ok(membership.map(|found| MemberView { member: found.member, user: profile }))
    };
    let items = collect(&rows, limit, read)?;
    let next = items.last().filter(|_| rows.len() > limit).map(|last| last.member.user);
    Ok(Ok(Page { items, next }))
}

async fn member_rows(
    connection: &mut SqliteConnection,
    user: UserId,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: usize,
) -> Result<Vec<SqliteRow>, Stop> {
    membership_of(connection, conversation, user).await?;
    let rows = sqlx::query(concat!(
        "SELECT ",
        member_columns!(),
        ", u.id, u.username, u.display_name, u.guest, u.created_at \
         FROM members m CROSS JOIN users u ON u.id = m.user_id \
         WHERE m.conversation = ?1 AND m.user_id > ?2 ORDER BY m.user_id LIMIT ?3"
    ))
    .bind(*conversation.as_uuid())
    .bind(after.map_or_else(Vec::new, |user| user.as_uuid().as_bytes().to_vec()))
    .bind(limit as i64 + 1)
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

pub(in crate::store::sqlite) async fn member(
    store: &SqliteStore,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let found = room_of(&mut transaction, conversation, user).await;
        transaction.end(found.map_err(Stop::from)).await
    };
    let (_, membership) = unrefused(Phase::default().bound(store.timeout, work).await)?;
    Ok(membership.map(|found| found.member))
}

static ACQUAINTED: MultiRow = MultiRow::new(
    "WITH k (user_id, other) AS (VALUES ",
    2,
    ") SELECT k.other FROM k WHERE k.user_id IS NOT NULL \
     AND (k.user_id = k.other OR EXISTS ( \
         SELECT 1 FROM members a CROSS JOIN members b ON b.user_id = k.other AND b.conversation = a.conversation \
         CROSS JOIN conversations c ON c.id = a.conversation AND c.deleted_at IS NULL WHERE a.user_id = k.user_id)) \
     AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocker = k.user_id AND blocked = k.other) \
     AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocker = k.other AND blocked = k.user_id)",
);

pub(in crate::store::sqlite) async fn acquaintances(
    store: &SqliteStore,
    user: UserId,
    others: &[UserId],
) -> Result<Vec<UserId>, StoreError> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let own = *user.as_uuid();
    let work = async {
        let mut transaction = store.reader.begin().await?;
        let rows = ACQUAINTED
            .fetch(&mut transaction, others, |query, other| query.bind(own).bind(*other.as_uuid()))
            .await
            .and_then(|rows| rows.iter().map(|row| row.user(0)).collect::<sql::Result<Vec<_>>>());
        transaction.end(rows.map_err(Stop::from)).await
    };
    unrefused(Phase::default().bound(store.timeout, work).await)
}
