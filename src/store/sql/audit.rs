//! The audit log.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Backend, Batch, Connection, Result, Sql, Value, batch, statement, values};
use crate::domain::Timestamp;
use crate::domain::audit::{AuditEntry, AuditFields, Audited, FIRST_PREVIOUS, hash};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::{Audit, StoreError};

/// The numbers of the entries. In Postgres the row is locked until the commit, so one process at a time adds
/// entries.
const NUMBERS: Sql =
    statement!("UPDATE meta SET value = value + $1 WHERE name = 'audit' RETURNING value - $1");
const LAST_HASH: Sql = statement!("SELECT hash FROM audit ORDER BY id DESC LIMIT 1");
const ADD: Batch = batch! {
    postgres: "INSERT INTO audit (id, at, actor, action, subject, conversation, address, details, previous, hash) \
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
                   $8::text[], $9::text[], $10::text[])",
    sqlite: [
        "INSERT INTO audit (id, at, actor, action, subject, conversation, address, details, previous, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    ],
};

async fn add<C: Connection>(connection: &mut C, entries: &[AuditEntry]) -> Result<()> {
    let count = entries.len() as i64;
    let end = connection.one(&NUMBERS, values![count]).await?.int(0)?;
    let last = connection.optional(&LAST_HASH, &[]).await?;
    let mut previous = last.map(|row| read_hash(&row, 0)).transpose()?.unwrap_or(FIRST_PREVIOUS);
    let mut chained = Vec::with_capacity(entries.len());
    for (id, entry) in (end + 1..).zip(entries) {
        let fields = entry.fields();
        let own = hash(&previous, id.unsigned_abs(), &fields);
        chained.push((id, fields, previous, own));
        previous = own;
    }
    let texts = |text: &dyn Fn(&AuditFields) -> Option<String>| {
        Value::Texts(chained.iter().map(|(_, fields, ..)| text(fields)).collect())
    };
    let row = [
        Value::ints(chained.iter().map(|(id, ..)| *id)),
        Value::ints(chained.iter().map(|(_, fields, ..)| fields.at.as_unix_ms())),
        texts(&|fields| Some(fields.actor.clone())),
        texts(&|fields| Some(fields.action.clone())),
        texts(&|fields| fields.subject.clone()),
        texts(&|fields| fields.conversation.clone()),
        texts(&|fields| fields.address.clone()),
        texts(&|fields| fields.details.clone()),
        Value::Texts(
            chained.iter().map(|(_, _, previous, _)| Some(URL_SAFE_NO_PAD.encode(previous))).collect(),
        ),
        Value::Texts(chained.iter().map(|(.., own)| Some(URL_SAFE_NO_PAD.encode(own))).collect()),
    ];
    connection.batch(&ADD, &row).await
}

fn read_hash(row: &impl Columns, at: usize) -> Result<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(row.text(at)?).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| impossible("a hash that is none"))
}

const AFTER: Sql = statement!(
    "SELECT id, at, actor, action, subject, conversation, address, details, previous, hash FROM audit \
     WHERE id > $1 ORDER BY id LIMIT $2"
);

async fn after<C: Connection>(connection: &mut C, after: i64, limit: i64) -> Result<Vec<Audited>> {
    let rows = connection.all(&AFTER, values![after, limit]).await?;
    let audited = rows.iter().map(|row| {
        Ok(Audited {
            id: row.int(0)?.unsigned_abs(),
            fields: AuditFields {
                at: row.time(1)?,
                actor: row.text(2)?,
                action: row.text(3)?,
                subject: row.text_or_null(4)?,
                conversation: row.text_or_null(5)?,
                address: row.text_or_null(6)?,
                details: row.text_or_null(7)?,
            },
            previous: read_hash(row, 8)?,
            hash: read_hash(row, 9)?,
        })
    });
    audited.collect()
}

const END: Sql = statement!("SELECT value FROM meta WHERE name = 'audit'");

async fn end<C: Connection>(connection: &mut C) -> Result<i64> {
    connection.one(&END, &[]).await?.int(0)
}

const FORGET: Sql = statement!(
    "DELETE FROM audit WHERE id < (SELECT min(id) + 1000 FROM audit) AND id < (SELECT max(id) FROM audit) AND at < $1",
);

#[async_trait]
impl<B: Backend> Audit for B {
    async fn add_audit(&self, entries: &[AuditEntry]) -> std::result::Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(entries.to_vec(), |on, entries| Box::pin(add(on, entries))).await
    }

    async fn audit(&self, number: u64, limit: usize) -> std::result::Result<Vec<Audited>, StoreError> {
        let asked = (i64::try_from(number).unwrap_or(i64::MAX), limit as i64);
        self.read(asked, |on, (number, limit)| Box::pin(after(on, *number, *limit))).await
    }

    async fn audit_end(&self) -> std::result::Result<u64, StoreError> {
        self.read((), |on, ()| Box::pin(end(on))).await.map(i64::unsigned_abs)
    }

    async fn forget_audit(&self, before: Timestamp) -> std::result::Result<u64, StoreError> {
        self.once(before, |on, before| Box::pin(async move { on.run(&FORGET, values![*before]).await })).await
    }
}
