//! Writing a journal: one call of a function in the database, which commits by itself.

use super::connection::Connection;
use crate::domain::{Position, Seq, UserId};
use crate::store::shared::codec::encode;
use crate::store::shared::columns::Columns;
use crate::store::shared::numbers;
use crate::store::sql::journal::{Act, Given, Journal, Recorder, Written};
use crate::store::sql::{Connection as _, Result, Sql, Value, statement, values};

const WRITE: Sql = statement!(postgres:
    "SELECT first, previous, new_position, version FROM tidings_record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
     $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36)",
);

fn users<T>(list: &[T], user: impl Fn(&T) -> UserId) -> Value<'static> {
    Value::uuids(list.iter().map(|one| *user(one).as_uuid()))
}

fn numbers<T>(list: &[T], number: impl Fn(&T) -> i64) -> Value<'static> {
    Value::ints(list.iter().map(number))
}

impl Recorder for Connection {
    async fn write(&mut self, journal: &Journal) -> Result<Option<Written>> {
        let (mut kinds, mut targets) = (Vec::new(), Vec::new());
        let (mut extras, mut bodies) = (Vec::new(), Vec::new());
        for noted in &journal.events {
            let encoded = encode(&noted.kind)?;
            kinds.push(encoded.kind);
            targets.push(encoded.target);
            extras.push(encoded.extra);
            bodies.push(encoded.body);
        }
        let (guard, events) = (&journal.guard, &journal.events);
        let (act, text, given) = match journal.touched.as_ref().map(|touched| &touched.act) {
            None => (numbers::ACT_NONE, None, Given::default()),
            Some(Act::Edit { body }) => (numbers::ACT_EDIT, Some(body.as_str()), Given::default()),
            Some(Act::Delete) => (numbers::ACT_DELETE, None, Given::default()),
            Some(Act::React { emoji, on: true, given }) => (numbers::ACT_REACT, Some(emoji.as_str()), *given),
            Some(Act::React { emoji, on: false, given }) => {
                (numbers::ACT_UNREACT, Some(emoji.as_str()), *given)
            }
        };
        let settings = journal.settings.as_ref();
        let key = journal.key.as_ref();
        let since = |place: fn(&(Seq, Seq)) -> Seq| {
            Value::ints(
                guard
                    .memberships
                    .iter()
                    .map(move |(_, found)| found.as_ref().map(|found| place(found).as_stored())),
            )
        };
        let values = values![
            journal.conversation,
            journal.actor,
            journal.now,
            guard.version,
            guard.settings_seq,
            users(&guard.memberships, |(user, _)| *user),
            since(|(joined, _)| *joined),
            since(|(_, role)| *role),
            users(&guard.unblocked, |(blocker, _)| *blocker),
            users(&guard.unblocked, |(_, blocked)| *blocked),
            Value::ints(kinds),
            users(events, |noted| noted.sender),
            Value::ints(targets),
            Value::Texts(extras),
            Value::Texts(bodies),
            users(&journal.members, |(user, ..)| *user),
            numbers(&journal.members, |(_, act, _)| act.as_numbers().0),
            numbers(&journal.members, |(_, act, _)| act.as_numbers().1),
            numbers(&journal.members, |(.., nth)| *nth as i64),
            settings.is_some(),
            settings.and_then(|settings| settings.name.as_deref()),
            settings.and_then(|settings| settings.topic.as_deref()),
            settings.map(|settings| settings.history.as_str()),
            settings.map(|settings| settings.join.as_str()),
            journal.ended,
            act,
            journal.touched.as_ref().map(|touched| touched.target.as_stored()),
            journal.touched.as_ref().map(|touched| touched.edit_seq.as_stored()),
            text,
            given.said_seq,
            Value::ints([given.others as i64, given.own as i64]),
            key.map(|key| *key.client_id.as_uuid()),
            key.map(|key| key.fingerprint),
            key.and_then(|key| key.seq).map(Seq::as_stored),
            journal.added as i64,
            journal.met,
        ];
        let Some(row) = Connection::optional(self, &WRITE, values).await? else { return Ok(None) };
        Ok(Some(Written {
            first: row.seq(0)?,
            previous: Position(row.count(1)?),
            positions: vec![Position(row.count(2)?); events.len()],
            version: row.int(3)?,
        }))
    }
}
