//! Writes a journal: a few small statements inside the transaction that read the facts, so the facts cannot
//! change in between.

use super::connection::Connection;
use super::positions::{Positions, Tables};
use crate::domain::quotas::day_of;
use crate::domain::{Position, Seq};
use crate::store::JobKind;
use crate::store::shared::codec::encode;
use crate::store::shared::columns::Columns;
use crate::store::sql::journal::{Act, Journal, MemberAct, Recorder, Touched, Written};
use crate::store::sql::{Result, Sql, job, statement, values};

const BEGIN: Sql = statement!(
    sqlite: "SELECT last_seq, last_position, message_count, member_count, members_version, {given_position} \
             FROM conversations WHERE id = $1"
);

const EVENT: Sql = statement!(sqlite:
    "INSERT INTO events (position, conversation, seq, kind, sender, sent_at, target_seq, messages_before, extra, body, client_id) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
);

const KEY: Sql = statement!(sqlite:
    "INSERT INTO sends (sender, client_id, conversation, seq, sent_at, fingerprint) VALUES ($1, $2, $3, $4, $5, $6)",
);

const JOIN: Sql = statement!(sqlite:
    "INSERT INTO members (user_id, conversation, role, joined_seq, role_seq, delivered_seq, read_seq, read_count, changed_position) \
     VALUES ($1, $2, $3, $4, $4, $4, $4, $5, $6)",
);
const RETURNED: Sql = statement!(sqlite: "DELETE FROM departures WHERE user_id = $1 AND conversation = $2");
const LEAVE: Sql = statement!(sqlite: "DELETE FROM members WHERE user_id = $1 AND conversation = $2");
const DEPARTED: Sql = statement!(sqlite:
    "INSERT INTO departures (user_id, conversation, left_seq) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id, conversation) DO UPDATE SET left_seq = excluded.left_seq",
);
const RANK: Sql = statement!(sqlite: "UPDATE members SET role = $3, role_seq = $4 WHERE user_id = $1 AND conversation = $2");
const MUTE: Sql = statement!(sqlite:
    "INSERT INTO mutes (user_id, conversation, ends_at) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id, conversation) DO UPDATE SET ends_at = excluded.ends_at",
);
const BAN: Sql = statement!(sqlite:
    "INSERT INTO bans (user_id, conversation, ends_at, ban_seq) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (user_id, conversation) DO UPDATE SET ends_at = excluded.ends_at, ban_seq = excluded.ban_seq",
);
const UNBAN: Sql = statement!(sqlite: "DELETE FROM bans WHERE user_id = $1 AND conversation = $2");
const MUTED: Sql =
    statement!(sqlite: "UPDATE members SET role_seq = $3 WHERE user_id = $1 AND conversation = $2");

const ANSWERED: Sql = statement!(sqlite: "DELETE FROM invitations WHERE user_id = $1 AND conversation = $2");
const MET: Sql =
    statement!(sqlite: "INSERT INTO contacts (user_id, contact) VALUES ($1, $2) ON CONFLICT DO NOTHING");
const ADDED: Sql = statement!(sqlite: "{add_people $1 $2 $3}");

const END: Sql = statement!(sqlite:
    "UPDATE conversations SET last_seq = $2, last_position = $3, member_count = $4, members_version = $5 WHERE id = $1",
);
const CONFIGURE: Sql = statement!(sqlite:
    "UPDATE conversations SET name = $2, topic = $6, history = $3, join_policy = $4, settings_seq = $5 WHERE id = $1",
);
const OVER: Sql =
    statement!(sqlite: "UPDATE conversations SET name = NULL, topic = NULL, deleted_at = $2 WHERE id = $1");

// A replaced or deleted text is in no row, and neither are values computed from it: a short text can be
// guessed from its hash.
const EDIT: Sql = statement!(sqlite:
    "UPDATE events SET body = $3, edited_at = $4, edit_seq = $5 WHERE conversation = $1 AND seq = $2",
);
const DELETE: Sql = statement!(sqlite:
    "UPDATE events SET body = NULL, extra = NULL, deleted = 1, delete_seq = $3 WHERE conversation = $1 AND seq = $2",
);
const REPLACED: Sql = statement!(sqlite: "UPDATE events SET body = NULL WHERE conversation = $1 AND seq = $2 AND kind = {edit}");
const UNMADE: Sql = statement!(sqlite:
    "UPDATE sends SET fingerprint = NULL WHERE (sender, client_id) = ( \
     SELECT sender, client_id FROM events WHERE conversation = $1 AND seq = $2)",
);
const UNCOUNTED: Sql = statement!(sqlite: "DELETE FROM reaction_counts WHERE conversation = $1 AND seq = $2");

const SAY: Sql = statement!(sqlite:
    "INSERT INTO reactions (user_id, conversation, seq, emoji, is_on, event_seq) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (user_id, conversation, seq, emoji) \
     DO UPDATE SET is_on = excluded.is_on, event_seq = excluded.event_seq",
);
const COUNT: Sql = statement!(sqlite:
    "INSERT INTO reaction_counts (conversation, seq, emoji, count, first_seq) VALUES ($1, $2, $3, 1, $4) \
     ON CONFLICT (conversation, seq, emoji) DO UPDATE SET count = count + 1",
);
const UNCOUNT: Sql = statement!(sqlite:
    "UPDATE reaction_counts SET count = count - 1 WHERE conversation = $1 AND seq = $2 AND emoji = $3",
);
const EMPTY: Sql = statement!(sqlite:
    "DELETE FROM reaction_counts WHERE conversation = $1 AND seq = $2 AND emoji = $3 AND count <= 0",
);

impl Tables for Connection {
    const SHARED_POSITIONS: bool = false;
}

impl Recorder for Connection {
    async fn write(&mut self, journal: &Journal) -> Result<Option<Written>> {
        write(self, journal).await.map(Some)
    }
}

/// Writes a journal whose facts still hold.
pub(in crate::store) async fn write<C: Tables>(connection: &mut C, journal: &Journal) -> Result<Written> {
    let id = journal.conversation;
    let row = connection.one(&BEGIN, values![id]).await?;
    let (last, previous) = (row.seq(0)?, Position(row.count(1)?));
    let (messages, count, version) = (row.int(2)?, row.int(3)?, row.int(4)?);
    let mut given = Positions::of::<C>(row.count(5)?);
    if let Some(key) = &journal.key {
        let values = values![
            journal.actor,
            key.client_id,
            id,
            key.seq.unwrap_or(last.next()),
            journal.now,
            key.fingerprint
        ];
        connection.run(&KEY, values).await?;
        if let (Some(first), true) = (key.seq, journal.events.is_empty()) {
            return Ok(Written { first, previous, positions: Vec::new(), version });
        }
    }
    let mut positions = Vec::with_capacity(journal.events.len());
    for (noted, nth) in journal.events.iter().zip(1..) {
        let encoded = encode(&noted.kind)?;
        let position = given.next(positions.last().copied().unwrap_or(previous));
        let client_id = journal.key.as_ref().filter(|_| nth == 1).map(|key| key.client_id);
        let values = values![
            position.0 as i64,
            id,
            last.plus(nth),
            encoded.kind,
            noted.sender,
            journal.now,
            encoded.target,
            messages,
            encoded.extra.as_deref(),
            encoded.body.as_deref(),
            client_id
        ];
        connection.run(&EVENT, values).await?;
        positions.push(position);
    }
    let changed = positions.last().map_or(given.given, |position| position.0) as i64;
    let (mut count, mut version) = (count, version);
    for (user, act, nth) in &journal.members {
        let (user, seq, (_, value)) = (*user, last.plus(*nth), act.as_numbers());
        version += 1;
        match act {
            MemberAct::Join(_) => {
                count += 1;
                connection.run(&JOIN, values![user, id, value, seq, messages, changed]).await?;
                connection.run(&RETURNED, values![user, id]).await?;
                connection.run(&ANSWERED, values![user, id]).await?;
            }
            MemberAct::Leave => {
                count -= 1;
                connection.run(&LEAVE, values![user, id]).await?;
                connection.run(&DEPARTED, values![user, id, seq]).await?;
            }
            MemberAct::Rank(_) => {
                connection.run(&RANK, values![user, id, value, seq]).await?;
            }
            MemberAct::Mute(_) => {
                connection.run(&MUTE, values![user, id, value]).await?;
                connection.run(&MUTED, values![user, id, seq]).await?;
            }
            MemberAct::Ban(until) if *until > journal.now => {
                connection.run(&BAN, values![user, id, value, seq]).await?;
            }
            MemberAct::Ban(_) => {
                connection.run(&UNBAN, values![user, id]).await?;
            }
        }
    }
    if let Some(contact) = journal.met {
        connection.run(&MET, values![journal.actor, contact]).await?;
    }
    if journal.added > 0 {
        let (day, people) = (day_of(journal.now), journal.added as i64);
        connection.run(&ADDED, values![journal.actor, day, people]).await?;
    }
    let first = last.next();
    if let Some(touched) = &journal.touched {
        touch(connection, journal, touched, first).await?;
    }
    let last = last.plus(journal.events.len() as u64);
    connection.run(&END, values![id, last, changed, count, version]).await?;
    if let Some(settings) = &journal.settings {
        let (history, join) = (settings.history.as_str(), settings.join.as_str());
        let (name, topic) = (settings.name.as_deref(), settings.topic.as_deref());
        connection.run(&CONFIGURE, values![id, name, history, join, first, topic]).await?;
    }
    if journal.ended {
        connection.run(&OVER, values![id, journal.now]).await?;
        job::begin(connection, JobKind::Purge, *id.as_uuid(), journal.now).await?;
    }
    Ok(Written { first, previous, positions, version })
}

async fn touch<C: Tables>(
    connection: &mut C,
    journal: &Journal,
    touched: &Touched,
    first: Seq,
) -> Result<()> {
    let (id, target) = (journal.conversation, touched.target);
    match &touched.act {
        Act::Edit { body } => {
            connection.run(&EDIT, values![id, target, body.as_str(), journal.now, first]).await?;
        }
        Act::Delete => {
            connection.run(&DELETE, values![id, target, first]).await?;
            connection.run(&UNCOUNTED, values![id, target]).await?;
        }
        Act::React { emoji, on, .. } => {
            let emoji = emoji.as_str();
            connection.run(&SAY, values![journal.actor, id, target, emoji, *on, first]).await?;
            if *on {
                connection.run(&COUNT, values![id, target, emoji, first]).await?;
            } else {
                connection.run(&UNCOUNT, values![id, target, emoji]).await?;
                connection.run(&EMPTY, values![id, target, emoji]).await?;
            }
            return Ok(());
        }
    }
    connection.run(&UNMADE, values![id, target]).await?;
    if touched.edit_seq > Seq::ZERO {
        connection.run(&REPLACED, values![id, touched.edit_seq]).await?;
        connection.run(&UNMADE, values![id, touched.edit_seq]).await?;
    }
    Ok(())
}
