//! The inside of the server during one round trip: every call is answered in place.

use super::state::State;
use crate::store::sql::{self, Batch, Sql, Value};
use crate::store::sqlite::positions::Tables;
use crate::store::sqlite::row::Row;

pub(super) struct Inside<'s> {
    pub state: &'s mut State,
    session: u64,
    clock_ms: i64,
}

impl<'s> Inside<'s> {
    pub(super) fn new(state: &'s mut State, session: u64, clock_ms: i64) -> Self {
        Self { state, session, clock_ms }
    }

    pub(super) fn rows(&mut self, text: &'static str, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        self.state.rows(self.session, text, values, self.clock_ms)
    }

    pub(super) fn execute(&mut self, text: &'static str, values: &[Value<'_>]) -> sql::Result<u64> {
        self.state.execute(self.session, text, values, self.clock_ms)
    }

    pub(super) fn each(&mut self, text: &'static str, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        let mut answers = Vec::new();
        for row in sql::rows(values) {
            answers.extend(self.rows(text, &row)?);
        }
        Ok(answers)
    }

    pub(super) fn batch(&mut self, texts: &[&'static str], values: &[Value<'_>]) -> sql::Result<()> {
        for row in sql::rows(values) {
            for text in texts {
                self.execute(text, &row)?;
            }
        }
        Ok(())
    }
}

impl sql::Connection for Inside<'_> {
    type Row = Row;

    async fn all(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        self.rows(sql.model, values)
    }

    async fn optional(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Option<Row>> {
        Ok(self.rows(sql.model, values)?.into_iter().next())
    }

    async fn run(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<u64> {
        self.execute(sql.model, values)
    }

    async fn each(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        Inside::each(self, sql.model, values)
    }

    async fn batch(&mut self, batch: &Batch, values: &[Value<'_>]) -> sql::Result<()> {
        Inside::batch(self, batch.model, values)
    }
}

impl Tables for Inside<'_> {
    const SHARED_POSITIONS: bool = true;
}
