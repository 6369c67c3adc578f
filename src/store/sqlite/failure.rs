//! From the database's errors to the store's: what happened, and whether anything was done.

use crate::domain::Refusal;
use crate::store::StoreError;

/// Why an operation stopped inside its transaction.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rules say no.
    Refused(Refusal),
    /// The database failed; nothing is committed.
    Failed(sqlx::Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// An error before a commit was asked for, or while reading: nothing was done.
pub(super) fn before_commit(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::RowNotFound => StoreError::Inconsistent(error.to_string()),
        other => StoreError::definite(other.to_string()),
    }
}

/// An error of the commit itself. A busy database refused it before writing; anything else (a full disk, a failed sync)
/// leaves open whether the frames are in the file.
pub(super) fn at_commit(error: &sqlx::Error) -> StoreError {
    if primary_code(error) == Some(SQLITE_BUSY) {
        StoreError::definite(error.to_string())
    } else {
        StoreError::indefinite(error.to_string())
    }
}

/// Does the error concern a row's values rather than the database as a whole?
pub(super) fn concerns_a_row(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Encode(_))
        || matches!(
            primary_code(error),
            Some(SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_TOOBIG | SQLITE_RANGE)
        )
}

const SQLITE_BUSY: i32 = 5;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_MISMATCH: i32 = 20;
const SQLITE_RANGE: i32 = 25;

/// SQLite's primary result code: the low byte of the extended one.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}
