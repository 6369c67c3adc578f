//! The errors of both databases, and their meaning for an operation.

use std::fmt;

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::domain::Refusal;
use crate::store::StoreError;

/// A statement's outcome.
pub(in crate::store) type Result<T> = std::result::Result<T, Error>;

/// The result of a rule that may refuse.
pub(in crate::store) type Decision<T> = std::result::Result<T, Stop>;

/// Why an operation stopped inside its transaction.
#[derive(Debug)]
pub(in crate::store) enum Stop {
    /// The rules refused.
    Refused(Refusal),
    /// The database failed; nothing is committed.
    Failed(Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A statement failed, or its answer cannot be read.
#[derive(Debug)]
pub(in crate::store) struct Error {
    class: Class,
    /// If a commit (or a statement that commits by itself) returns this error, it was undone.
    undone: bool,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A stored value or an answer that this code cannot have written.
    Impossible,
    /// A row's values were refused.
    Row,
    /// A value that must be unique already exists, perhaps by another transaction.
    Taken,
    /// The transaction conflicted with another one.
    Conflict,
    /// The server cannot write, is shutting down, or the connection broke: its connections are unusable.
    Unfit,
    /// The tables do not exist.
    NoTables,
    /// Anything else: a full disk, a missing right, a statement that took too long.
    Other,
}

impl Error {
    /// A stored value that this code cannot have written.
    pub(in crate::store) fn impossible(what: impl fmt::Display) -> Self {
        Self { class: Class::Impossible, undone: false, detail: what.to_string() }
    }

    /// A value that cannot be stored.
    pub(in crate::store) fn unstorable(what: impl fmt::Display) -> Self {
        Self { class: Class::Row, undone: true, detail: what.to_string() }
    }

    /// The statement must return a row and returned none.
    pub(in crate::store) fn no_row() -> Self {
        Self::impossible("a statement that always answers a row answered none")
    }

    /// The caller's error when no commit was sent yet, or none is needed: nothing was done.
    pub(in crate::store) fn before_commit(&self) -> StoreError {
        match self.class {
            Class::Impossible => StoreError::Inconsistent(self.detail.clone()),
            _ => StoreError::definite(self.detail.clone()),
        }
    }

    /// The caller's error when this is the answer to a commit, or to a statement that commits by itself.
    pub(in crate::store) fn at_commit(&self) -> StoreError {
        match self.class {
            Class::Impossible => StoreError::Inconsistent(self.detail.clone()),
            _ if self.undone => StoreError::definite(self.detail.clone()),
            _ => StoreError::indefinite(self.detail.clone()),
        }
    }

    /// Whether the error concerns a row's values and not the database as a whole.
    pub(in crate::store) fn concerns_a_row(&self) -> bool {
        matches!(self.class, Class::Row | Class::Taken)
    }

    /// Whether two transactions conflicted and this one was undone: a repetition may succeed.
    pub(in crate::store) fn undone_by_another(&self) -> bool {
        self.class == Class::Conflict
    }

    /// Whether connections to this server are unusable.
    pub(in crate::store) fn server_unfit(&self) -> bool {
        self.class == Class::Unfit
    }

    /// Whether the tables do not exist.
    pub(in crate::store) fn lacks_tables(&self) -> bool {
        self.class == Class::NoTables
    }

    /// Whether a repetition may succeed, if nothing was done.
    pub(in crate::store) fn worth_another(&self) -> bool {
        matches!(self.class, Class::Conflict | Class::Taken | Class::Unfit)
    }

    /// Whether this error, as the answer to a commit, means that nothing was done.
    pub(in crate::store) fn undone(&self) -> bool {
        self.undone
    }

    /// An error of a Postgres server.
    ///
    /// The server answers `ERROR` after it has rolled back the transaction. An error that ends the connection
    /// (`FATAL`, `PANIC`) does not say whether the commit came first: a backend that is ended while it waits
    /// for a synchronous standby has already committed.
    fn of_postgres(said: &PgDatabaseError) -> Self {
        let code = said.code();
        let begins = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
        let ended = said.severity() != PgSeverity::Error;
        let class = match code {
            "40001" | "40P01" => Class::Conflict,
            "23505" => Class::Taken,
            "42P01" | "3F000" => Class::NoTables,
            // Demoted or a standby. 57P01 to 57P05: the server ends this connection, crashed, or is not up.
            "25006" => Class::Unfit,
            _ if ended || begins(&["57P"]) => Class::Unfit,
            // 22: data, 23: constraints, 54: a limit of the program; P0001: raised by a trigger.
            _ if begins(&["22", "23", "54"]) || code == "P0001" => Class::Row,
            _ => Class::Other,
        };
        // statement_completion_unknown, connection_exception: sent by a proxy, not by Postgres itself.
        let unknown = code == "40003" || begins(&["08"]);
        let detail = format!("{} (SQLSTATE {code})", said.message());
        Self { class, undone: !ended && !unknown, detail }
    }

    /// An error of SQLite. A busy database refuses a commit before writing. After any other error (a full
    /// disk, a failed sync) it is unknown whether the frames are in the file.
    fn of_sqlite(code: ErrorCode, extended_code: i32, detail: String) -> Self {
        let class = match code {
            ErrorCode::ConstraintViolation
                if matches!(extended_code, SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE) =>
            {
                Class::Taken
            }
            ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::ParameterOutOfRange => Class::Row,
            _ => Class::Other,
        };
        Self { class, undone: code == ErrorCode::DatabaseBusy, detail }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let said = error.as_database_error().and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
        if let Some(said) = said {
            return Self::of_postgres(said);
        }
        let (class, undone) = match &error {
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::RowNotFound => (Class::Impossible, false),
            sqlx::Error::Encode(_) => (Class::Row, true),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => (Class::Unfit, false),
            _ => (Class::Other, false),
        };
        Self { class, undone, detail: error.to_string() }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let class = match &error {
            rusqlite::Error::InvalidColumnIndex(_) => Class::Impossible,
            rusqlite::Error::ToSqlConversionFailure(_) => Class::Row,
            _ => match error.sqlite_error() {
                Some(said) => return Self::of_sqlite(said.code, said.extended_code, error.to_string()),
                None => Class::Other,
            },
        };
        Self { class, undone: false, detail: error.to_string() }
    }
}

/// The errors of a model of a server.
#[cfg(feature = "simulation")]
impl Error {
    /// The connection broke.
    pub(in crate::store) fn broken(detail: impl fmt::Display) -> Self {
        Self { class: Class::Unfit, undone: false, detail: detail.to_string() }
    }

    /// The server does not write.
    pub(in crate::store) fn read_only() -> Self {
        Self { class: Class::Unfit, undone: true, detail: "the server is read-only".to_owned() }
    }

    /// The transaction conflicted with another one and was rolled back.
    pub(in crate::store) fn conflict() -> Self {
        let detail = "the transaction conflicted with another one".to_owned();
        Self { class: Class::Conflict, undone: true, detail }
    }

    /// The server answers this error after it has rolled back the transaction.
    pub(in crate::store) fn answered(self) -> Self {
        Self { undone: true, ..self }
    }
}

/// An error before a commit was sent, or while reading: nothing was done.
pub(in crate::store) fn before_commit(error: impl Into<Error>) -> StoreError {
    error.into().before_commit()
}
