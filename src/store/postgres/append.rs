//! One call of the function that appends, and its answer.

use std::collections::HashMap;

use uuid::Uuid;

use super::connection::Connection;
use super::rows::Pg;
use crate::domain::{ConversationId, Position, Seq};
use crate::store::Appended;
use crate::store::pooled::{Answer, Call, Entry};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::shared::content::{REPLY, REUSED, appended};
use crate::store::shared::numbers;
use crate::store::shared::roster::Roster;
use crate::store::sql::conversations::roster;
use crate::store::sql::{self, permissions};

/// Its columns are named, in their order, where the function is.
const APPEND: &str = "SELECT * FROM tidings_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

impl Call<'_> {
    pub(super) async fn make(&self, connection: &mut Connection) -> sql::Result<Answer> {
        let of = |value: fn(&Entry<'_>) -> Uuid| self.entries.iter().map(value).collect::<Vec<_>>();
        let others: Option<Vec<Option<Uuid>>> = self
            .entries
            .iter()
            .any(|entry| entry.other.is_some())
            .then(|| self.entries.iter().map(|entry| entry.other.map(|user| *user.as_uuid())).collect());
        let replies: Option<Vec<Option<i64>>> =
            self.entries.iter().any(|entry| entry.new.content.reply_to.is_some()).then(|| {
                self.entries.iter().map(|entry| entry.new.content.reply_to.map(Seq::as_stored)).collect()
            });
        let statement = sqlx::query(APPEND)
            .bind(of(|entry| *entry.new.sender.as_uuid()))
            .bind(of(|entry| *entry.new.client_id.as_uuid()))
            .bind(of(|entry| *entry.conversation.as_uuid()))
            .bind(others)
            .bind(self.entries.iter().map(|entry| entry.fingerprint).collect::<Vec<_>>())
            .bind(replies)
            .bind(self.entries.iter().map(|entry| entry.body.as_deref()).collect::<Vec<_>>())
            .bind(self.entries.iter().map(|entry| entry.extra.as_deref()).collect::<Vec<_>>())
            .bind(
                self.rosters
                    .iter()
                    .map(|known| known.as_ref().map(|roster| roster.version))
                    .collect::<Vec<_>>(),
            )
            .bind(self.now.as_unix_ms())
            .bind(self.consent.defaults.messages.as_stored())
            .bind(i64::from(self.consent.stranger_messages));
        let rows = connection.fetch(statement).await?;
        if rows.len() != self.entries.len() {
            return Err(impossible("an answer for every message"));
        }
        self.read(&rows)
    }

    fn read(&self, rows: &[Pg]) -> sql::Result<Answer> {
        let mut came = HashMap::<ConversationId, Roster>::new();
        let mut answers = Vec::with_capacity(rows.len());
        for ((row, entry), known) in rows.iter().zip(self.entries).zip(self.rosters) {
            answers.push(match row.int(0)? {
                numbers::ACCEPTED => Ok(self.accepted(row, entry, known.as_ref(), &mut came)?),
                numbers::REPEATED => Ok(Appended {
                    conversation: row.conversation(3)?,
                    seq: row.seq(1)?,
                    sent_at: row.time(2)?,
                    committed: None,
                }),
                numbers::REUSED => Err(REUSED),
                numbers::NO_REPLY => Err(REPLY),
                _ => Err(permissions::refusal(row)?
                    .ok_or_else(|| impossible("an outcome that this release does not know"))?),
            });
        }
        Ok(Answer { answers, rosters: came.into_iter().collect() })
    }

    fn accepted(
        &self,
        row: &Pg,
        entry: &Entry<'_>,
        known: Option<&Roster>,
        came: &mut HashMap<ConversationId, Roster>,
    ) -> sql::Result<Appended> {
        let (id, seq) = (entry.conversation, row.seq(1)?);
        if let Some(roster) = roster(row, row.int(6)?, 7)? {
            came.insert(id, roster);
        }
        let positions = (Position(row.count(4)?), Position(row.count(5)?));
        Ok(appended(entry.new, (id, seq), positions, self.now, came.get(&id).or(known)))
    }
}
