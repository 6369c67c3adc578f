//! The inside of the server during one round trip: every call is answered in place.

use super::copy::{Copy, Sight};
use super::state::State;
use crate::store::sql::{self, Batch, Error, Sql, Value};
use crate::store::sqlite::positions::Tables;
use crate::store::sqlite::row::Row;

/// A server with what the connection sees there.
pub(super) enum Inside<'s> {
    /// The primary, with the session and the time of its clock.
    Primary(&'s mut State, u64, i64),
    /// A server that only reads.
    Reading(&'s mut Copy, Sight),
}

impl Inside<'_> {
    /// The primary's state.
    pub(super) fn primary(&mut self) -> sql::Result<&mut State> {
        match self {
            Self::Primary(state, ..) => Ok(state),
            Self::Reading(..) => Err(Error::read_only()),
        }
    }

    pub(super) fn rows(&mut self, text: &'static str, values: &[Value<'_>]) -> sql::Result<Vec<Row>> {
        match self {
            Self::Primary(state, session, clock_ms) => state.rows(*session, text, values, *clock_ms),
            Self::Reading(copy, sight) => copy.rows(text, values, *sight).map_err(Error::answered),
        }
    }

    pub(super) fn execute(&mut self, text: &'static str, values: &[Value<'_>]) -> sql::Result<u64> {
        match self {
            Self::Primary(state, session, clock_ms) => state.execute(*session, text, values, *clock_ms),
            Self::Reading(copy, sight) => copy.execute(text, values, *sight).map_err(Error::answered),
        }
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
