//! One copy of the database, in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSql, ToSqlOutput, Value as Stored};

use crate::panics::lock;
use crate::store::sql::{self, Error, Value};
use crate::store::sqlite::connection::Connection;
use crate::store::sqlite::migrations::model_steps;
use crate::store::sqlite::open::keep_statements;
use crate::store::sqlite::row::Row;

/// The maximum number of prepared statements; the code has fewer.
const PREPARED: usize = 256;

thread_local! {
    /// The tables without a row, made once per thread.
    static TEMPLATE: RefCell<Option<rusqlite::Connection>> = const { RefCell::new(None) };
}

/// Statements that copies of this process have used.
static USED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// What the functions of the schema answer while a statement runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// The position of the transaction; 0 before it has a number.
    pub position: u64,
    /// Where the log ends.
    pub end: u64,
    pub clock_ms: i64,
}

#[derive(Debug, Default)]
struct Answers {
    position: AtomicI64,
    end: AtomicI64,
    clock_ms: AtomicI64,
}

/// A statement that wrote, to run again on another copy.
#[derive(Debug, Clone)]
pub(super) struct Write {
    text: &'static str,
    values: Vec<Stored>,
    sight: Sight,
}

#[derive(Debug)]
pub(super) struct Copy {
    connection: Connection,
    answers: Arc<Answers>,
    /// Whether a statement writes nothing, by the address of its text.
    only_reads: RefCell<BTreeMap<usize, bool>>,
}

impl Copy {
    /// The tables without a row.
    pub(super) fn new() -> sql::Result<Self> {
        TEMPLATE.with_borrow_mut(|template| {
            let template = match template {
                Some(template) => template,
                None => template.insert(made()?),
            };
            Self::from(template)
        })
    }

    /// All that another copy has, which is in no transaction.
    pub(super) fn of(other: &Self) -> sql::Result<Self> {
        Self::from(other.connection.raw())
    }

    fn from(other: &rusqlite::Connection) -> sql::Result<Self> {
        let mut raw = rusqlite::Connection::open_in_memory()?;
        if Backup::new(other, &mut raw)?.step(-1)? != StepResult::Done {
            return Err(Error::impossible("an unfinished copy"));
        }
        keep_statements(&raw, PREPARED)?;
        raw.execute_batch(
            "PRAGMA foreign_keys = off; PRAGMA temp_store = memory; PRAGMA automatic_index = off;",
        )?;
        let answers = Arc::new(Answers::default());
        let function = |name, answer: fn(&Answers) -> &AtomicI64| {
            let answers = Arc::clone(&answers);
            raw.create_scalar_function(name, 0, FunctionFlags::SQLITE_UTF8, move |_| {
                Ok(answer(&answers).load(Ordering::Relaxed))
            })
        };
        function("tidings_position", |answers| &answers.position)?;
        function("tidings_end", |answers| &answers.end)?;
        function("tidings_clock_ms", |answers| &answers.clock_ms)?;
        Ok(Self { connection: Connection::new(raw), answers, only_reads: RefCell::default() })
    }

    fn see(&self, sight: Sight) {
        self.answers.position.store(sight.position.cast_signed(), Ordering::Relaxed);
        self.answers.end.store(sight.end.cast_signed(), Ordering::Relaxed);
        self.answers.clock_ms.store(sight.clock_ms, Ordering::Relaxed);
    }

    pub(super) fn only_reads(&self, text: &'static str) -> sql::Result<bool> {
        let address = text.as_ptr().addr();
        if let Some(known) = self.only_reads.borrow().get(&address) {
            return Ok(*known);
        }
        lock(&USED).insert(text);
        let only_reads = self.connection.only_reads(text)?;
        self.only_reads.borrow_mut().insert(address, only_reads);
        Ok(only_reads)
    }

    /// Prepares a statement, to be used later.
    pub(super) fn prepare(&self, text: &str) -> sql::Result<()> {
        self.connection.only_reads(text).map(|_| ())
    }

    pub(super) fn rows(&self, text: &str, values: &[Value<'_>], sight: Sight) -> sql::Result<Vec<Row>> {
        self.see(sight);
        self.connection.rows(text, values)
    }

    pub(super) fn execute(&self, text: &str, values: &[Value<'_>], sight: Sight) -> sql::Result<u64> {
        self.see(sight);
        self.connection.execute(text, values)
    }

    pub(super) fn begin(&self) -> sql::Result<()> {
        self.connection.execute("BEGIN", &[]).map(|_| ())
    }

    pub(super) fn commit(&self) -> sql::Result<()> {
        self.connection.execute("COMMIT", &[]).map(|_| ())
    }

    pub(super) fn roll_back(&self) -> sql::Result<()> {
        self.connection.execute("ROLLBACK", &[]).map(|_| ())
    }

    /// Runs statements that another copy ran, or that this copy ran and rolled back.
    pub(super) fn repeat(&self, writes: &[Write]) -> sql::Result<()> {
        for write in writes {
            self.see(write.sight);
            self.connection.repeat(write.text, &write.values)?;
        }
        Ok(())
    }
}

impl Write {
    pub(super) fn new(text: &'static str, values: &[Value<'_>], sight: Sight) -> sql::Result<Self> {
        let values = values.iter().map(stored).collect::<sql::Result<_>>()?;
        Ok(Self { text, values, sight })
    }
}

/// The statements that copies of this process have used.
pub(super) fn used() -> Vec<&'static str> {
    lock(&USED).iter().copied().collect()
}

fn stored(value: &Value<'_>) -> sql::Result<Stored> {
    match value.to_sql()? {
        ToSqlOutput::Borrowed(value) => value.try_into().map_err(Error::impossible),
        ToSqlOutput::Owned(value) => Ok(value),
        _ => Err(Error::impossible("a value that no rule binds")),
    }
}

fn made() -> sql::Result<rusqlite::Connection> {
    let raw = rusqlite::Connection::open_in_memory()?;
    for step in model_steps() {
        raw.execute_batch(&step.text)?;
    }
    Ok(raw)
}
