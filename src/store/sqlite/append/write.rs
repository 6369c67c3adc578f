//! Writes a plan: small statements, because each is very cheap on the database's thread.

use super::plan::Plan;
use crate::domain::Timestamp;
use crate::store::shared::conversation::ConversationRow;
use crate::store::sql::conversations::insert;
use crate::store::sql::{self, Sql, statement, values};
use crate::store::sqlite::positions::Tables;

/// A member of a direct conversation that its first message creates.
const MEMBER: Sql = statement!(sqlite:
    "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, \
     changed_position) VALUES ($1, $2, 0, 0, 0, 0, 0, 0, 0)",
);

const EVENT: Sql = statement!(sqlite:
    "INSERT INTO events (position, conversation, seq, kind, sender, sent_at, client_id, messages_before, extra, body) \
     VALUES ($1, $2, $3, {message}, $4, $5, $6, $7, $8, $9)",
);

const SEND: Sql = statement!(sqlite:
    "INSERT INTO sends (sender, client_id, conversation, seq, sent_at, fingerprint) VALUES ($1, $2, $3, $4, $5, $6)",
);

const MOVED: Sql = statement!(sqlite:
    "UPDATE conversations SET last_seq = $2, message_count = $3, last_position = $4 WHERE id = $1",
);

const READ: Sql = statement!(sqlite:
    "UPDATE members SET read_seq = $3, read_count = $4, delivered_seq = max(delivered_seq, $3) \
     WHERE user_id = $1 AND conversation = $2",
);

const MET: Sql =
    statement!(sqlite: "INSERT INTO contacts (user_id, contact) VALUES ($1, $2) ON CONFLICT DO NOTHING");

pub(super) async fn write<C: Tables>(connection: &mut C, plan: &Plan, now: Timestamp) -> sql::Result<()> {
    for stored in &plan.made {
        make_direct(connection, stored).await?;
    }
    for new in &plan.accepted {
        let event = values![
            new.position.0 as i64,
            new.conversation,
            new.seq,
            new.sender,
            now,
            new.client_id,
            new.messages_before as i64,
            new.extra.as_deref(),
            new.body.as_deref()
        ];
        connection.run(&EVENT, event).await?;
        let send = values![new.sender, new.client_id, new.conversation, new.seq, now, new.fingerprint];
        connection.run(&SEND, send).await?;
    }
    for stored in &plan.moved {
        let (messages, position) = (stored.message_count as i64, stored.last_position.0 as i64);
        connection
            .run(&MOVED, values![stored.id(), stored.conversation.last_seq, messages, position])
            .await?;
    }
    for (user, contact) in &plan.met {
        connection.run(&MET, values![*user, *contact]).await?;
    }
    for read in &plan.reads {
        connection.run(&READ, values![read.user, read.conversation, read.seq, read.count as i64]).await?;
    }
    Ok(())
}

async fn make_direct<C: Tables>(connection: &mut C, stored: &ConversationRow) -> sql::Result<()> {
    insert(connection, stored).await?;
    let Some((low, high)) = stored.pair else { return Ok(()) };
    connection.run(&MEMBER, values![low, stored.id()]).await?;
    if high != low {
        connection.run(&MEMBER, values![high, stored.id()]).await?;
    }
    Ok(())
}
