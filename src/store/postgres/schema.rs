//! The schema: the one that this release knows, migrating a database to it, and checking an existing
//! database.

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr};
use thiserror::Error;

use super::connection::Connector;
use super::options::PostgresOptions;
use crate::store::StoreError;
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

/// A server's role, and the schema of its database.
pub(super) const STANDING: &str = "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, \
     (SELECT value FROM meta WHERE name = 'schema'), (SELECT value FROM meta WHERE name = 'schema_least')";

fn migrations() -> Migrator {
    let migration = |SchemaStep { version, name, text }| {
        Migration::new(version, name.into(), MigrationType::Simple, AssertSqlSafe(text).into_sql_str(), false)
    };
    Migrator::with_migrations(steps().into_iter().map(migration).collect())
}

/// The facts that were read from a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub standby: bool,
    pub read_only: bool,
    /// The newest migration applied; 0 when there are no tables.
    pub schema: i64,
    /// The schema of the oldest release that works with this database.
    pub least: i64,
}

impl Standing {
    /// May this release work with the database? The text says what to do.
    pub(super) fn known(self) -> Result<(), String> {
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
    pub(super) fn fit(self, primary: bool) -> Result<(), String> {
        if primary && self.standby {
            return Err("the database is a standby: store.postgres.url must name the primary".to_owned());
        }
        if primary && self.read_only {
            return Err("the database is read-only (default_transaction_read_only is on)".to_owned());
        }
        self.known()
    }
}

/// Why the store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The server did not answer, or not as one that takes writes: it may do so later, so try again.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// Trying again does not help; the text says what to do.
    #[error("{0}")]
    Unusable(String),
}

/// Examines the primary and the replicas that `options` name, and changes nothing. Returns one line of
/// findings for each.
///
/// # Errors
/// [`OpenError`], for the primary only: an unavailable replica is a finding.
pub async fn check(options: &PostgresOptions) -> Result<Vec<String>, OpenError> {
    let mut findings = vec![format!("primary: schema {}", look(&options.url, options, true).await?.schema)];
    for (index, url) in options.read_urls.iter().enumerate() {
        findings.push(match look(url, options, false).await {
            Ok(standing) if standing.standby => {
                format!("replica {}: a standby, schema {}", index + 1, standing.schema)
            }
            Ok(_) => format!("replica {}: is no standby, and is read like one", index + 1),
            Err(error) => format!("replica {}: {error}", index + 1),
        });
    }
    Ok(findings)
}

const RESTORE: &str = "the database was loaded from a dump, and its log goes on only after one step: run \
     `SELECT tidings_restored()` in it, once, with no server running";

pub(super) async fn look(
    url: &SecretString,
    options: &PostgresOptions,
    primary: bool,
) -> Result<Standing, OpenError> {
    let connector =
        Connector::new(url, options, primary).map_err(|error| OpenError::Unusable(error.to_string()))?;
    let patience = std::time::Duration::from_millis(options.timeout_ms);
    let (standing, foreign) = match tokio::time::timeout(patience, connector.look()).await {
        Ok(Ok(found)) => found,
        Ok(Err(StoreError::Inconsistent(what))) => return Err(OpenError::Unusable(what)),
        Ok(Err(StoreError::Unavailable { detail, .. })) => return Err(OpenError::Unreachable(detail)),
        Ok(Err(error @ StoreError::Overloaded)) => return Err(OpenError::Unreachable(error.to_string())),
        Err(_) => return Err(OpenError::Unreachable(format!("no answer within {} ms", options.timeout_ms))),
    };
    standing.known().map_err(OpenError::Unusable)?;
    if foreign {
        return Err(OpenError::Unusable(RESTORE.to_owned()));
    }
    // A failover may be in progress: this server, or another one behind its name, may soon be the primary.
    standing.fit(primary).map_err(OpenError::Unreachable)?;
    Ok(standing)
}

/// Migrates the database at `url` to the schema of this release, under a lock, so that two migrations at once
/// are safe. Returns the applied versions with their names; none when the database was up to date.
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
