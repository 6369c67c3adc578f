//! The schema: which one this release knows, bringing a database up to it, and whether a server has it.

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr};

use crate::store::sql::text::{Dialect, SchemaStep};

/// The migrations in their order, each with its name.
const STEPS: [(&str, &str); 4] = [
    (
        "schema",
        concat!(
            include_str!("../../../migrations/both/tables.sql"),
            include_str!("../../../migrations/postgres/0001_schema.sql")
        ),
    ),
    ("append", include_str!("../../../migrations/postgres/0002_append.sql")),
    ("receipts", include_str!("../../../migrations/postgres/0003_receipts.sql")),
    ("consumers", include_str!("../../../migrations/postgres/0004_consumers.sql")),
];

/// The schema that this release works with.
pub(super) const SCHEMA: i64 = STEPS.len() as i64;

/// The migrations, as they are run. Each ends with writing the version that the database now has.
pub fn steps() -> Vec<SchemaStep> {
    let mut steps = SchemaStep::list(&STEPS, Dialect::Postgres);
    for SchemaStep { version, text, .. } in &mut steps {
        text.push_str(&format!("\nUPDATE meta SET value = {version} WHERE name = 'schema';\n"));
    }
    steps
}

/// Reads the four fields of [`ServerState`], in their order.
pub(super) const SERVER_STATE: &str = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, \
     (SELECT value FROM meta WHERE name = 'schema'), (SELECT value FROM meta WHERE name = 'schema_least')";

fn migrations() -> Migrator {
    let migration = |SchemaStep { version, name, text }| {
        Migration::new(version, name.into(), MigrationType::Simple, AssertSqlSafe(text).into_sql_str(), false)
    };
    Migrator::with_migrations(steps().into_iter().map(migration).collect())
}

/// A database server as it was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerState {
    pub standby: bool,
    pub read_only: bool,
    /// The newest migration applied; 0 when there are no tables.
    pub schema: i64,
    /// The schema of the oldest release that works with this database.
    pub least: i64,
}

impl ServerState {
    /// May this release work with the database? The text says what to do.
    pub(super) fn check_schema(self) -> Result<(), String> {
        if self.schema < SCHEMA {
            let found =
                if self.schema == 0 { "no tables".to_owned() } else { format!("schema {}", self.schema) };
            return Err(format!(
                "the database has {found}, this server needs {SCHEMA}: run `tidings migrate`"
            ));
        }
        if self.least > SCHEMA {
            return Err(format!(
                "this server is older than the database (which needs a release that knows schema {}, this one knows \
                 {SCHEMA}): deploy a newer one",
                self.least
            ));
        }
        Ok(())
    }

    /// May a connection to it be used, `primary`: for writing? The text says what to do.
    pub(super) fn check_use(self, primary: bool) -> Result<(), String> {
        if primary && self.standby {
            return Err("the database is a standby: store.postgres.url must name the primary".to_owned());
        }
        if primary && self.read_only {
            return Err("the database is read-only (default_transaction_read_only is on)".to_owned());
        }
        self.check_schema()
    }
}

/// Brings the database at `url` up to the schema of this release, under a lock, so that two at once are safe.
/// Answers the versions that were applied, with their names; none when it was up to date.
///
/// # Errors
/// A text for the operator that says what to do.
pub async fn migrate(url: &SecretString) -> Result<Vec<String>, String> {
    let options: PgConnectOptions =
        url.expose_secret().parse().map_err(|_| "the database's URL cannot be read".to_owned())?;
    let options = options.application_name("tidings migrate").disable_statement_logging();
    let mut connection =
        options.connect().await.map_err(|error| format!("the database cannot be reached: {error}"))?;
    let outcome = apply(&mut connection).await;
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the connection failed");
    }
    outcome
}

async fn apply(connection: &mut sqlx::PgConnection) -> Result<Vec<String>, String> {
    let migrations = migrations();
    // The lock belongs to the session. A pooler that changes sessions between statements breaks it.
    connection.lock().await.map_err(advice)?;
    connection.ensure_migrations_table(TABLE).await.map_err(advice)?;
    let before = connection.list_applied_migrations(TABLE).await.map_err(advice)?;
    let outcome = migrations.run_direct(None, connection, false).await.map_err(advice);
    connection.unlock().await.map_err(advice)?;
    outcome?;
    let applied = |migration: &&Migration| !before.iter().any(|one| one.version == migration.version);
    let named = |migration: &Migration| format!("{:04} {}", migration.version, migration.description);
    Ok(migrations.iter().filter(applied).map(named).collect())
}

const TABLE: &str = "_sqlx_migrations";

fn advice(error: MigrateError) -> String {
    match error {
        MigrateError::VersionMissing(version) => format!(
            "the database is newer than this release (it has migration {version}): run `tidings migrate` of the release \
             that made it"
        ),
        MigrateError::VersionMismatch(version) => {
            format!(
                "migration {version} was applied by a build with other tables: restore a backup or use that build"
            )
        }
        other => format!(
            "the migration failed and its step was undone: {other}. It needs a connection of its own to the primary, as the \
             owner of the tables: name Postgres itself, not a PgBouncer"
        ),
    }
}
