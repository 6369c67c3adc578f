//! The connection of the rules to the file. Every call is answered in place, on the thread that owns the
//! connection.

use std::time::Duration;

use rusqlite::CachedStatement;
use rusqlite::types::{ToSql, ToSqlOutput, Value as Stored, ValueRef};
use serde_json::json;
use uuid::Uuid;

use super::row::Row;
use crate::store::sql::{self, Batch, Error, Sql, Value};

/// A connection of one database thread. Its futures are ready at once, so a rule over it never waits.
#[derive(Debug)]
pub(in crate::store) struct Connection(rusqlite::Connection);

impl Connection {
    pub(in crate::store) fn new(raw: rusqlite::Connection) -> Self {
        Self(raw)
    }

    /// Runs a statement and collects its rows.
    pub(in crate::store) fn rows(&self, text: &str, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        let mut statement = self.bound(text, values)?;
        let columns = statement.column_count();
        let mut answers = statement.raw_query();
        let mut rows = Vec::new();
        while let Some(answer) = answers.next()? {
            rows.push(Row::read(answer, columns)?);
        }
        Ok(rows)
    }

    /// Runs a statement; returns the number of changed rows.
    pub(in crate::store) fn execute(&self, text: &str, values: &[Value<'_>]) -> sql::Result<u64> {
        let mut statement = self.bound(text, values)?;
        let mut answers = statement.raw_query();
        while answers.next()?.is_some() {}
        Ok(self.0.changes())
    }

    /// The connection itself, to copy from.
    #[cfg(feature = "simulation")]
    pub(in crate::store) fn raw(&self) -> &rusqlite::Connection {
        &self.0
    }

    /// Runs a statement with values that it ran with before.
    #[cfg(feature = "simulation")]
    pub(in crate::store) fn repeat(&self, text: &str, values: &[Stored]) -> sql::Result<()> {
        let mut statement = self.bound(text, values)?;
        let mut answers = statement.raw_query();
        while answers.next()?.is_some() {}
        Ok(())
    }

    /// Whether a statement writes nothing.
    #[cfg(feature = "simulation")]
    pub(in crate::store) fn only_reads(&self, text: &str) -> sql::Result<bool> {
        Ok(self.0.prepare_cached(text)?.readonly())
    }

    /// Runs several statements, none of which is kept prepared.
    pub(super) fn script(&self, text: &str) -> sql::Result<()> {
        Ok(self.0.execute_batch(text)?)
    }

    /// The time to wait for another process that uses the same file.
    pub(super) fn wait_for_others(&self, wait: Duration) -> sql::Result<()> {
        Ok(self.0.busy_timeout(wait)?)
    }

    pub(in crate::store) fn in_transaction(&self) -> bool {
        !self.0.is_autocommit()
    }

    /// A statement of the rules with its values. SQLite numbers `$1`, `$2`, … in the order of the text.
    fn bound(&self, text: &str, values: &[impl ToSql]) -> sql::Result<CachedStatement<'_>> {
        let mut statement = self.0.prepare_cached(text)?;
        for index in 1..=statement.parameter_count() {
            let name = statement.parameter_name(index).and_then(|name| name.get(1..));
            let number = name.and_then(|name| name.parse::<usize>().ok()).unwrap_or_default();
            let value = number.checked_sub(1).and_then(|at| values.get(at));
            let value = value
                .ok_or_else(|| Error::impossible("a statement asks for a value that it was not given"))?;
            statement.raw_bind_parameter(index, value)?;
        }
        Ok(statement)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let list = |list: serde_json::Value| ToSqlOutput::Owned(Stored::Text(list.to_string()));
        let borrowed = match self {
            Self::Uuid(id) => id.as_ref().map(|id| ValueRef::Blob(id.as_bytes())),
            Self::Int(number) => number.map(ValueRef::Integer),
            Self::Text(text) => text.map(|text| ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => bytes.map(ValueRef::Blob),
            Self::Flag(flag) => Some(ValueRef::Integer(i64::from(*flag))),
            Self::Uuids(ids) => {
                let hexadecimal = |id: &Option<Uuid>| id.map(|id| id.simple().to_string());
                return Ok(list(json!(ids.iter().map(hexadecimal).collect::<Vec<_>>())));
            }
            Self::Ints(numbers) => return Ok(list(json!(numbers))),
            Self::Texts(texts) => return Ok(list(json!(texts))),
        };
        Ok(ToSqlOutput::Borrowed(borrowed.unwrap_or(ValueRef::Null)))
    }
}

impl sql::Connection for Connection {
    type Row = Row;

    async fn all(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        self.rows(sql.sqlite, values)
    }

    async fn optional(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Option<Row>> {
        Ok(self.rows(sql.sqlite, values)?.into_iter().next())
    }

    async fn run(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<u64> {
        self.execute(sql.sqlite, values)
    }

    async fn each(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        let mut answers = Vec::new();
        for row in sql::rows(values) {
            answers.extend(self.rows(sql.sqlite, &row)?);
        }
        Ok(answers)
    }

    async fn batch(&mut self, batch: &Batch, values: &[Value<'_>]) -> sql::Result<()> {
        for row in sql::rows(values) {
            for text in batch.sqlite {
                self.execute(text, &row)?;
            }
        }
        Ok(())
    }
}
