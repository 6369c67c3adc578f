//! A row that was read, with its columns as domain types.

use rusqlite::types::ValueRef;
use uuid::Uuid;

use crate::domain::{Seq, UserId};
use crate::store::shared::columns::{Columns, impossible};
use crate::store::sql;

/// The values of one row; they outlive the statement.
#[derive(Debug)]
pub(in crate::store) struct Row(Vec<Cell>);

#[derive(Debug)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// 16 bytes.
    Id(Uuid),
    /// A number with a fraction, or bytes that are no id: no rule reads such a column.
    Unread,
}

impl Row {
    pub(super) fn read(row: &rusqlite::Row<'_>, columns: usize) -> sql::Result<Self> {
        let cell = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Int(number),
                ValueRef::Text(text) => {
                    let text = std::str::from_utf8(text).map_err(sql::Error::impossible)?;
                    Cell::Text(text.to_owned())
                }
                ValueRef::Blob(bytes) => Uuid::from_slice(bytes).map_or(Cell::Unread, Cell::Id),
                ValueRef::Real(_) => Cell::Unread,
            })
        };
        (0..columns).map(cell).collect::<sql::Result<_>>().map(Self)
    }

    fn text_or_not(&self, column: usize) -> sql::Result<Option<&str>> {
        match self.0.get(column) {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            _ => Err(impossible("a column that holds no text")),
        }
    }

    /// A JSON array.
    fn list<T: serde::de::DeserializeOwned>(&self, column: usize) -> sql::Result<Option<T>> {
        let text = self.text_or_not(column)?;
        text.map(|text| serde_json::from_str(text)).transpose().map_err(sql::Error::impossible)
    }
}

impl Columns for Row {
    fn int(&self, column: usize) -> sql::Result<i64> {
        self.int_or_null(column)?.ok_or_else(|| impossible("a column without its number"))
    }

    fn int_or_null(&self, column: usize) -> sql::Result<Option<i64>> {
        match self.0.get(column) {
            Some(Cell::Int(number)) => Ok(Some(*number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(impossible("a column that holds no number")),
        }
    }

    fn text(&self, column: usize) -> sql::Result<String> {
        self.text_or_null(column)?.ok_or_else(|| impossible("a column without its text"))
    }

    fn text_or_null(&self, column: usize) -> sql::Result<Option<String>> {
        Ok(self.text_or_not(column)?.map(str::to_owned))
    }

    fn uuid(&self, column: usize) -> sql::Result<Uuid> {
        self.uuid_or_null(column)?.ok_or_else(|| impossible("a column without its id"))
    }

    fn uuid_or_null(&self, column: usize) -> sql::Result<Option<Uuid>> {
        match self.0.get(column) {
            Some(Cell::Id(id)) => Ok(Some(*id)),
            Some(Cell::Null) => Ok(None),
            _ => Err(impossible("a column that holds no id")),
        }
    }

    fn users(&self, column: usize) -> sql::Result<Option<Vec<UserId>>> {
        // Uuids are read in hexadecimal too.
        Ok(self.list::<Vec<Uuid>>(column)?.map(|ids| ids.into_iter().map(UserId::from_uuid).collect()))
    }

    fn seqs(&self, column: usize) -> sql::Result<Option<Vec<Seq>>> {
        let numbers = self.list::<Vec<i64>>(column)?;
        Ok(numbers.map(|numbers| numbers.into_iter().map(Seq::from_stored).collect()))
    }
}
