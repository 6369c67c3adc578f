//! Copies of an empty database whose statements are prepared already, for processes that run many fleets one
//! after the other.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::copy::{Copy, used};
use crate::panics::lock;
use crate::store::StoreError;
use crate::store::sql::{self, before_commit};

/// Copies that nobody has used.
static SPARE: Mutex<Vec<Copy>> = Mutex::new(Vec::new());
/// Statements that the spare copies have prepared.
static PREPARED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Makes spare copies until there are `copies`, and prepares `statements` on each.
///
/// # Errors
/// The tables cannot be made, or a text is no statement.
pub fn prepare(copies: usize, statements: &[String]) -> Result<(), StoreError> {
    let mut spare = lock(&SPARE);
    while spare.len() < copies {
        spare.push(Copy::new().map_err(before_commit)?);
    }
    for copy in spare.iter() {
        for text in statements {
            copy.prepare(text).map_err(before_commit)?;
        }
    }
    lock(&PREPARED).extend(statements.iter().cloned());
    Ok(())
}

/// The statements that this process has used and that no spare copy had prepared.
#[must_use]
pub fn not_prepared_before() -> Vec<String> {
    let prepared = lock(&PREPARED);
    used().into_iter().filter(|text| !prepared.contains(*text)).map(str::to_owned).collect()
}

/// A copy without a row: a spare one, or a new one.
pub(super) fn empty() -> sql::Result<Copy> {
    let spare = lock(&SPARE).pop();
    spare.map_or_else(Copy::new, Ok)
}
