//! From the database's errors to the store's: what happened, whether anything was done, and what to do with the connection.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

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

fn of_database(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// The five characters that Postgres gives every error; empty when it was not Postgres that failed.
fn code(error: &sqlx::Error) -> &str {
    of_database(error).map_or("", PgDatabaseError::code)
}

/// An error before a commit was asked for, or while reading: nothing was done.
pub(super) fn before_commit(error: &sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::RowNotFound => StoreError::Inconsistent(error.to_string()),
        other => StoreError::definite(described(other)),
    }
}

/// An error of a commit, or of a statement that commits by itself.
///
/// Postgres answers `ERROR` when it has undone the transaction. Whatever ends the connection (`FATAL`, `PANIC`, a socket
/// that broke) leaves open whether the commit came first: a backend that is ended while it waits for a synchronous
/// standby has committed already.
pub(super) fn at_commit(error: &sqlx::Error) -> StoreError {
    match of_database(error) {
        // statement_completion_unknown, connection_exception: said by a proxy rather than by Postgres itself.
        Some(said) if said.code() == "40003" || said.code().starts_with("08") => {
            StoreError::indefinite(described(error))
        }
        Some(said) if said.severity() == PgSeverity::Error => StoreError::definite(described(error)),
        Some(_) => StoreError::indefinite(described(error)),
        None => match error {
            sqlx::Error::Encode(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                StoreError::definite(error.to_string())
            }
            // The answer was read and is none that this code can have written.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                StoreError::Inconsistent(error.to_string())
            }
            other => StoreError::indefinite(other.to_string()),
        },
    }
}

fn described(error: &sqlx::Error) -> String {
    match of_database(error) {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code()),
        None => error.to_string(),
    }
}

/// Two transactions stood in each other's way and this one was undone: the same again may well succeed.
pub(super) fn undone_by_another(error: &sqlx::Error) -> bool {
    matches!(code(error), "40001" | "40P01")
}

/// The server cannot write any more or is going down: connections to it are of no more use.
///
/// 25006: it was demoted or is a standby. 57P01 to 57P05: it was told to end this connection, crashed, or is not up.
pub(super) fn server_unfit(error: &sqlx::Error) -> bool {
    code(error) == "25006" || code(error).starts_with("57P") || connection_broken(error)
}

/// The connection is in no state to be used again.
fn connection_broken(error: &sqlx::Error) -> bool {
    match of_database(error) {
        Some(said) => said.severity() != PgSeverity::Error,
        None => matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed
        ),
    }
}

/// Does the error concern a row's values rather than the database as a whole?
///
/// 22: data, 23: constraints, 54: a limit of the program; P0001: raised by a trigger.
pub(super) fn concerns_a_row(error: &sqlx::Error) -> bool {
    let code = code(error);
    matches!(error, sqlx::Error::Encode(_))
        || ["22", "23", "54"].iter().any(|class| code.starts_with(class))
        || code == "P0001"
}

/// A value that has to be unique is there already.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    code(error) == "23505"
}

/// The tables are not there.
pub(super) fn lacks_tables(error: &sqlx::Error) -> bool {
    matches!(code(error), "42P01" | "3F000")
}

/// Nothing was done, and the same again may well succeed.
pub(super) fn worth_another(error: &sqlx::Error) -> bool {
    undone_by_another(error) || is_taken(error) || server_unfit(error)
}
