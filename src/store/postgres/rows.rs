//! Reads typed columns, for every width that a table uses.

use sqlx::postgres::PgRow;
use sqlx::{Column, Row, TypeInfo};
use uuid::Uuid;

use crate::domain::{Seq, UserId};
use crate::store::shared::columns::Columns;
use crate::store::sql;

/// A row.
pub(in crate::store) struct Pg(pub PgRow);

impl Pg {
    /// An array of integers; `None` when the column is null.
    pub(super) fn ints(&self, column: usize) -> sql::Result<Option<Vec<i64>>> {
        Ok(self.0.try_get(column)?)
    }
}

impl Columns for Pg {
    fn int(&self, column: usize) -> sql::Result<i64> {
        self.int_or_null(column)?
            .ok_or_else(|| sql::Error::impossible(format_args!("column {column} is NULL")))
    }

    fn int_or_null(&self, column: usize) -> sql::Result<Option<i64>> {
        match self.0.try_column(column)?.type_info().name() {
            "INT2" => Ok(self.0.try_get::<Option<i16>, _>(column)?.map(i64::from)),
            "INT4" => Ok(self.0.try_get::<Option<i32>, _>(column)?.map(i64::from)),
            "BOOL" => Ok(self.0.try_get::<Option<bool>, _>(column)?.map(i64::from)),
            _ => Ok(self.0.try_get(column)?),
        }
    }

    fn text(&self, column: usize) -> sql::Result<String> {
        Ok(self.0.try_get(column)?)
    }

    fn text_or_null(&self, column: usize) -> sql::Result<Option<String>> {
        Ok(self.0.try_get(column)?)
    }

    fn uuid(&self, column: usize) -> sql::Result<Uuid> {
        Ok(self.0.try_get(column)?)
    }

    fn uuid_or_null(&self, column: usize) -> sql::Result<Option<Uuid>> {
        Ok(self.0.try_get(column)?)
    }

    fn users(&self, column: usize) -> sql::Result<Option<Vec<UserId>>> {
        let ids: Option<Vec<Uuid>> = self.0.try_get(column)?;
        Ok(ids.map(|ids| ids.into_iter().map(UserId::from_uuid).collect()))
    }

    fn seqs(&self, column: usize) -> sql::Result<Option<Vec<Seq>>> {
        let numbers: Option<Vec<i64>> = self.0.try_get(column)?;
        Ok(numbers.map(|numbers| numbers.into_iter().map(Seq::from_stored).collect()))
    }
}
