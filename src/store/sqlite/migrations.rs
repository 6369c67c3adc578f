//! The schema: the list of migrations, and applying them to a file.

use sha2::{Digest, Sha256};

use super::connection::Connection;
use crate::store::shared::columns::Columns;
use crate::store::sql::text::{Dialect, SchemaStep};
use crate::store::sql::{self, Value, values};

/// The migrations in their order, each with its name.
const STEPS: [(&str, &str); 2] = [
    (
        "schema",
        concat!(
            include_str!("../../../migrations/both/tables.sql"),
            include_str!("../../../migrations/sqlite/0001_schema.sql")
        ),
    ),
    ("consumers", include_str!("../../../migrations/sqlite/0002_consumers.sql")),
];

/// The migrations, as they are run.
pub fn steps() -> Vec<SchemaStep> {
    SchemaStep::list(&STEPS, Dialect::Sqlite)
}

/// The migrations for the model of a shared server.
#[cfg(feature = "simulation")]
pub(in crate::store) fn model_steps() -> Vec<SchemaStep> {
    SchemaStep::list(&STEPS, Dialect::Model)
}

/// The migrations that a file has, and the checksums of their texts.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT";

/// Applies the migrations that the file does not have, all or none of them.
///
/// # Errors
/// The problem with the file and the remedy, for the operator.
pub(super) fn migrate(connection: &Connection) -> Result<(), String> {
    let steps = steps();
    let failed = |error: sql::Error| format!("cannot be read or written as a database: {error}");
    connection.execute("BEGIN IMMEDIATE", &[]).map_err(failed)?;
    let had = connection
        .execute(TABLE, &[])
        .and_then(|_| connection.rows("SELECT version, checksum FROM migrations ORDER BY version", &[]));
    for row in had.map_err(failed)? {
        let (version, checksum) = (row.count(0).map_err(failed)?, row.text(1).map_err(failed)?);
        let step = usize::try_from(version).ok().and_then(|version| steps.get(version.checked_sub(1)?));
        let Some(step) = step else {
            return Err(format!(
                "a newer release has written it (schema {version}, this release knows {}): run that release or a newer one, or \
                 restore a backup from before it",
                steps.len()
            ));
        };
        if checksum != checksum_of(step) {
            return Err(format!(
                "its schema {version} was made by a build with other tables: restore a backup or use that build"
            ));
        }
    }
    let next = connection.rows("SELECT coalesce(max(version), 0) FROM migrations", &[]).and_then(|rows| {
        let row = rows.into_iter().next().ok_or_else(sql::Error::no_row)?;
        row.count(0)
    });
    let next = next.map_err(failed)? as usize;
    for step in &steps[next..] {
        let version = step.version;
        let taken = connection.script(&step.text).and_then(|()| {
            let checksum = checksum_of(step);
            let values: &[Value<'_>] = values![version, checksum.as_str()];
            connection.execute("INSERT INTO migrations (version, checksum) VALUES ($1, $2)", values)
        });
        taken.map_err(|error| format!("cannot be brought up to schema {version}: {error}"))?;
    }
    connection.execute("COMMIT", &[]).map_err(failed)?;
    Ok(())
}

fn checksum_of(step: &SchemaStep) -> String {
    Sha256::digest(&step.text).iter().map(|byte| format!("{byte:02x}")).collect()
}
