//! Carrying out a plan: at most six statements per 256 messages.

use sqlx::sqlite::SqliteConnection;

use super::plan::Plan;
use crate::domain::{Role, Seq, Timestamp};
use crate::store::sql;
use crate::store::sqlite::insert::{NewMember, insert_members, insert_rooms};
use crate::store::sqlite::rows::MultiRow;

static EVENTS: MultiRow = MultiRow::new(
    "INSERT INTO events (position, conversation, seq, kind, sender, sent_at, client_id, messages_before, extra, body) \
     SELECT column1, column2, column3, 0, column4, column5, column6, column7, column8, column9 FROM (VALUES ",
    9,
    ") WHERE column1 IS NOT NULL",
);

static SENDS: MultiRow = MultiRow::new(
    "INSERT INTO sends (sender, client_id, conversation, seq, sent_at, fingerprint) SELECT * FROM (VALUES ",
    6,
    ") WHERE column1 IS NOT NULL",
);

static ROOMS: MultiRow = MultiRow::new(
    "WITH v (id, last_seq, message_count, last_position) AS (VALUES ",
    4,
    ") UPDATE conversations SET last_seq = v.last_seq, message_count = v.message_count, last_position = v.last_position \
     FROM v WHERE conversations.id = v.id",
);

static READS: MultiRow = MultiRow::new(
    "WITH v (user_id, conversation, seq, count) AS (VALUES ",
    4,
    ") UPDATE members SET read_seq = v.seq, read_count = v.count, delivered_seq = max(delivered_seq, v.seq) \
     FROM v WHERE members.user_id = v.user_id AND members.conversation = v.conversation",
);

pub(super) async fn write(connection: &mut SqliteConnection, plan: &Plan, now: Timestamp) -> sql::Result<()> {
    if plan.accepted.is_empty() {
        return Ok(());
    }
    if !plan.made.is_empty() {
        insert_rooms(connection, &plan.made).await?;
        let members: Vec<NewMember> = plan
            .made
            .iter()
            .flat_map(|room| {
                let mut users = room.pair.map_or_else(Vec::new, |(low, high)| vec![low, high]);
                users.dedup();
                users.into_iter().map(|user| NewMember {
                    user,
                    conversation: room.id(),
                    role: Role::Member,
                    joined_seq: Seq::ZERO,
                    read_count: 0,
                    changed_position: 0,
                })
            })
            .collect();
        insert_members(connection, &members).await?;
    }
    EVENTS
        .execute(connection, &plan.accepted, |query, new| {
            query
                .bind(new.position as i64)
                .bind(*new.conversation.as_uuid())
                .bind(new.seq.as_stored())
                .bind(*new.sender.as_uuid())
                .bind(now.as_unix_ms())
                .bind(*new.client_id.as_uuid())
                .bind(new.messages_before as i64)
                .bind(new.extra.as_deref())
                .bind(new.body.as_deref())
        })
        .await?;
    SENDS
        .execute(connection, &plan.accepted, |query, new| {
            query
                .bind(*new.sender.as_uuid())
                .bind(*new.client_id.as_uuid())
                .bind(*new.conversation.as_uuid())
                .bind(new.seq.as_stored())
                .bind(now.as_unix_ms())
                .bind(new.fingerprint)
        })
        .await?;
    ROOMS
        .execute(connection, &plan.moved, |query, room| {
            query
                .bind(*room.id().as_uuid())
                .bind(room.conversation.last_seq.as_stored())
                .bind(room.message_count as i64)
                .bind(room.last_position.0 as i64)
        })
        .await?;
    READS
        .execute(connection, &plan.reads, |query, read| {
            query
                .bind(*read.user.as_uuid())
                .bind(*read.conversation.as_uuid())
                .bind(read.seq.as_stored())
                .bind(read.count as i64)
        })
        .await
}
