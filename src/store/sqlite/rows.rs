//! Statements over several rows at once, and reading typed columns.
//!
//! A statement costs one hop to the connection's thread however many rows it carries, so a batch uses few statements.
//! Their text exists in a few fixed sizes only, which keeps the cache of prepared statements warm; the last chunk is
//! padded with rows of NULL, which every statement here ignores.

use std::sync::OnceLock;

use sqlx::Row;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use uuid::Uuid;

use crate::domain::{Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql;

/// The sizes that statements come in; the last one is the most rows of one statement.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];

/// A query being filled in.
pub(super) type Filling<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A statement with a `VALUES` list between `head` and `tail`.
#[derive(Debug)]
pub(super) struct MultiRow {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<String>; SIZES.len()],
}

impl MultiRow {
    pub(super) const fn new(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [const { OnceLock::new() }; SIZES.len()] }
    }

    fn text(&'static self, rows: usize) -> (&'static str, usize) {
        let which = SIZES.iter().position(|size| *size >= rows).unwrap_or(SIZES.len() - 1);
        let text = self.texts[which].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(","));
            format!("{}{}{}", self.head, vec![row.as_str(); SIZES[which]].join(","), self.tail)
        });
        (text, SIZES[which])
    }

    fn fill<'q, T>(
        &'static self,
        rows: &'q [T],
        bind: &impl Fn(Filling<'q>, &'q T) -> Filling<'q>,
    ) -> Filling<'q> {
        let (text, size) = self.text(rows.len());
        let mut query = sqlx::query(text);
        for row in rows {
            query = bind(query, row);
        }
        for _ in 0..(size - rows.len()) * self.columns {
            query = query.bind(None::<i64>);
        }
        query
    }

    /// Runs the statement over all rows.
    pub(super) async fn execute<'q, T>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &'q [T],
        bind: impl Fn(Filling<'q>, &'q T) -> Filling<'q>,
    ) -> sql::Result<()> {
        for chunk in rows.chunks(SIZES[SIZES.len() - 1]) {
            self.fill(chunk, &bind).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Runs the statement over all rows and collects what it answers.
    pub(super) async fn fetch<'q, T>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &'q [T],
        bind: impl Fn(Filling<'q>, &'q T) -> Filling<'q>,
    ) -> sql::Result<Vec<SqliteRow>> {
        let mut answers = Vec::new();
        for chunk in rows.chunks(SIZES[SIZES.len() - 1]) {
            answers.extend(self.fill(chunk, &bind).fetch_all(&mut *connection).await?);
        }
        Ok(answers)
    }
}

impl Columns for SqliteRow {
    fn int(&self, column: usize) -> sql::Result<i64> {
        Ok(self.try_get(column)?)
    }

    fn int_or_null(&self, column: usize) -> sql::Result<Option<i64>> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: usize) -> sql::Result<String> {
        Ok(self.try_get(column)?)
    }

    fn text_or_null(&self, column: usize) -> sql::Result<Option<String>> {
        Ok(self.try_get(column)?)
    }

    fn uuid(&self, column: usize) -> sql::Result<Uuid> {
        Ok(self.try_get(column)?)
    }

    fn uuid_or_null(&self, column: usize) -> sql::Result<Option<Uuid>> {
        Ok(self.try_get(column)?)
    }

    fn users(&self, column: usize) -> sql::Result<Option<Vec<UserId>>> {
        let hexadecimal: Option<Vec<String>> = list(self, column)?;
        let ids =
            hexadecimal.map(|ids| ids.iter().map(|id| Uuid::try_parse(id)).collect::<Result<Vec<_>, _>>());
        let ids = ids.transpose().map_err(sql::Error::impossible)?;
        Ok(ids.map(|ids| ids.into_iter().map(UserId::from_uuid).collect()))
    }

    fn seqs(&self, column: usize) -> sql::Result<Option<Vec<Seq>>> {
        let numbers: Option<Vec<i64>> = list(self, column)?;
        Ok(numbers.map(|numbers| numbers.into_iter().map(Seq::from_stored).collect()))
    }
}

/// A JSON array.
fn list<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: usize) -> sql::Result<Option<T>> {
    let text = row.text_or_null(column)?;
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(sql::Error::impossible)
}
