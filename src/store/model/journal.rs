//! Writes a journal if the facts that it was decided on still hold, as `tidings_record` does in Postgres.

use super::inside::Inside;
use crate::store::shared::columns::Columns;
use crate::store::sql::journal::{Act, Journal, MemberAct, Written};
use crate::store::sql::{Connection, Result, Sql, statement, values};
use crate::store::sqlite::journal::write;

const CONVERSATION: Sql = statement!(sqlite:
    "SELECT members_version FROM conversations WHERE id = $1 AND deleted_at IS NULL AND settings_seq = $2",
);
const MEMBERSHIP: Sql =
    statement!(sqlite: "SELECT joined_seq, role_seq FROM members WHERE user_id = $1 AND conversation = $2");
const BLOCK: Sql = statement!(sqlite: "SELECT 1 FROM blocks WHERE blocker = $1 AND blocked = $2");
const LIVES: Sql = statement!(sqlite: "SELECT {lives $1}");
const MESSAGE: Sql = statement!(sqlite:
    "SELECT 1 FROM events e WHERE e.conversation = $1 AND e.seq = $2 AND e.kind = {message} AND NOT e.deleted \
     AND coalesce(e.edit_seq, 0) = $3",
);
const SAID: Sql = statement!(sqlite:
    "SELECT coalesce((SELECT r.event_seq FROM reactions r \
     WHERE r.user_id = $1 AND r.conversation = $2 AND r.seq = $3 AND r.emoji = $4), 0)",
);
const GIVEN: Sql = statement!(sqlite:
    "SELECT (SELECT count(*) FROM reaction_counts r WHERE r.conversation = $2 AND r.seq = $3 AND r.emoji <> $4), \
     (SELECT count(*) FROM reactions r \
      WHERE r.user_id = $1 AND r.conversation = $2 AND r.seq = $3 AND r.is_on AND r.emoji <> $4)",
);
const KEY: Sql = statement!(sqlite: "SELECT 1 FROM sends WHERE sender = $1 AND client_id = $2");

pub(super) async fn record(inside: &mut Inside<'_>, journal: &Journal) -> Result<Option<Written>> {
    if !holds(inside, journal).await? {
        return Ok(None);
    }
    write(inside, journal).await.map(Some)
}

async fn holds(inside: &mut Inside<'_>, journal: &Journal) -> Result<bool> {
    let (id, guard) = (journal.conversation, &journal.guard);
    let Some(row) = inside.optional(&CONVERSATION, values![id, guard.settings_seq]).await? else {
        return Ok(false);
    };
    let version = row.int(0)?;
    if guard.version.is_some_and(|known| known != version) {
        return Ok(false);
    }
    for (user, since) in &guard.memberships {
        let row = inside.optional(&MEMBERSHIP, values![*user, id]).await?;
        let found = row.map(|row| Ok::<_, crate::store::sql::Error>((row.seq(0)?, row.seq(1)?)));
        if found.transpose()? != *since {
            return Ok(false);
        }
    }
    for (blocker, blocked) in &guard.unblocked {
        if inside.optional(&BLOCK, values![*blocker, *blocked]).await?.is_some() {
            return Ok(false);
        }
    }
    for (user, act, _) in &journal.members {
        if matches!(act, MemberAct::Join(_)) && !inside.one(&LIVES, values![*user]).await?.flag(0)? {
            return Ok(false);
        }
    }
    if let Some(key) = &journal.key
        && inside.optional(&KEY, values![journal.actor, key.client_id]).await?.is_some()
    {
        return Ok(false);
    }
    message_holds(inside, journal).await
}

async fn message_holds(inside: &mut Inside<'_>, journal: &Journal) -> Result<bool> {
    let Some(touched) = &journal.touched else { return Ok(true) };
    let (id, target) = (journal.conversation, touched.target);
    if inside.optional(&MESSAGE, values![id, target, touched.edit_seq]).await?.is_none() {
        return Ok(false);
    }
    let Act::React { emoji, on, given } = &touched.act else { return Ok(true) };
    let asked = values![journal.actor, id, target, emoji.as_str()];
    if inside.one(&SAID, asked).await?.seq(0)? != given.said_seq {
        return Ok(false);
    }
    let row = inside.one(&GIVEN, asked).await?;
    Ok(!on || (given.others >= row.count(0)? && given.own >= row.count(1)?))
}
