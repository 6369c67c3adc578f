//! The narrow connection trait: the calls that a rule may make inside the transaction of its operation.

use super::value::{Batch, Sql, Value};
use crate::store::shared::columns::Columns;
use crate::store::shared::error::{Error, Result};

/// A connection, as rules see it.
///
/// On Postgres each call is one round trip (`each` too). On SQLite a call is very cheap once the operation is
/// on the database's thread. There several small statements are better than one large one.
pub(in crate::store) trait Connection: Send {
    type Row: Columns + Send + Sync;

    /// Runs a statement and collects its rows.
    fn all(&mut self, sql: &Sql, values: &[Value<'_>])
    -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// Runs a statement that returns at most one row.
    fn optional(
        &mut self,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Self::Row>>> + Send;

    /// Runs a statement that returns one row.
    fn one(&mut self, sql: &Sql, values: &[Value<'_>]) -> impl Future<Output = Result<Self::Row>> + Send {
        async move { self.optional(sql, values).await?.ok_or_else(Error::no_row) }
    }

    /// Runs a statement; returns the number of changed rows.
    fn run(&mut self, sql: &Sql, values: &[Value<'_>]) -> impl Future<Output = Result<u64>> + Send;

    /// Runs a statement for several rows of values, given as one list per parameter, and collects the
    /// resulting rows. Postgres runs its text once, with arrays (`unnest`, `= ANY`). SQLite runs its own text
    /// once per element, with single values.
    fn each(
        &mut self,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// Runs a batch for each row of values.
    fn batch(&mut self, batch: &Batch, values: &[Value<'_>]) -> impl Future<Output = Result<()>> + Send;
}
