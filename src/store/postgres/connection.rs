//! One connection: how it is opened, and how statements run on it.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _};

use super::options::PostgresOptions;
use super::rows::Pg;
use super::schema::{SERVER_STATE, ServerState};
use crate::domain::Position;
use crate::store::pooled::{Answer, Call, Control, Link};
use crate::store::shared::columns::Columns;
use crate::store::sql::{self, Batch, Sql, Value, before_commit, statement};
use crate::store::{Running, StoreError};

/// A statement with its values.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A connection to a server whose schema this release knows.
pub(in crate::store) struct Connection {
    raw: PgConnection,
    prepared: bool,
}

impl Connection {
    /// Runs a statement and collects its rows.
    pub(super) async fn fetch(&mut self, statement: Statement<'_>) -> sql::Result<Vec<Pg>> {
        let rows = statement.persistent(self.prepared).fetch_all(&mut self.raw).await?;
        Ok(rows.into_iter().map(Pg).collect())
    }

    async fn execute(&mut self, statement: Statement<'_>) -> sql::Result<u64> {
        Ok(statement.persistent(self.prepared).execute(&mut self.raw).await?.rows_affected())
    }

    /// Runs statements as one text in one round trip and collects the rows of all of them. The text may
    /// contain only ids and numbers that our code created, and nothing that a peer sent.
    pub(super) async fn script(&mut self, text: String) -> sql::Result<Vec<Pg>> {
        let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut self.raw).await?;
        Ok(rows.into_iter().map(Pg).collect())
    }
}

const RUNNING: Sql = statement!(postgres:
    "SELECT m.value + pg_snapshot_xmax(s.now)::text::bigint, \
    ARRAY(SELECT m.value + x.number::text::bigint FROM pg_snapshot_xip(s.now) AS x (number)) \
FROM meta m, (SELECT pg_current_snapshot() AS now) s WHERE m.name = 'position_base'",
);

impl Link for Connection {
    type Connector = Connector;

    /// Connects, and checks the server's role and schema before a caller gets the connection.
    async fn connect(connector: &Connector) -> Result<Self, StoreError> {
        let raw = connector.options.connect().await.map_err(before_commit)?;
        let mut connection = Self { raw, prepared: connector.prepared };
        let state = Connector::server_state(&mut connection).await?;
        state.check_use(connector.primary).map_err(StoreError::definite)?;
        Ok(connection)
    }

    async fn ping(&mut self) -> bool {
        self.raw.ping().await.is_ok()
    }

    async fn control(&mut self, control: Control) -> sql::Result<()> {
        let text = match control {
            Control::Begin => "BEGIN",
            Control::Commit => "COMMIT",
            Control::Rollback => "ROLLBACK",
        };
        self.script(text.to_owned()).await.map(|_| ())
    }

    fn prepared(&self) -> bool {
        self.prepared
    }

    async fn append(&mut self, call: &Call<'_>) -> sql::Result<Answer> {
        call.make(self).await
    }

    async fn running(&mut self) -> sql::Result<Running> {
        let row = sql::Connection::one(self, &RUNNING, &[]).await?;
        let numbers = row.ints(1)?.unwrap_or_default();
        let numbers = numbers.into_iter().map(|number| Position(number.cast_unsigned())).collect();
        Ok(Running { numbers, next: Position(row.count(0)?) })
    }

    async fn close(self) {
        if let Err(error) = self.raw.close().await {
            tracing::debug!(%error, "closing a database connection failed");
        }
    }
}

/// A statement of the rules with as many values as it names. The same text may be in two rules with different
/// numbers of values, and a connection prepares it once.
fn bound<'v>(text: &'static str, values: &'v [Value<'v>]) -> Statement<'v> {
    values.iter().take(parameters(text)).fold(sqlx::query(text), |statement, value| match value {
        Value::Uuid(id) => statement.bind(*id),
        Value::Int(number) => statement.bind(*number),
        Value::Text(text) => statement.bind(*text),
        Value::Bytes(bytes) => statement.bind(*bytes),
        Value::Flag(flag) => statement.bind(*flag),
        Value::Uuids(list) => statement.bind(list),
        Value::Ints(list) => statement.bind(list),
        Value::Texts(list) => statement.bind(list),
    })
}

/// The highest number of a parameter that a statement names.
fn parameters(text: &str) -> usize {
    let numbers = text.split('$').skip(1).map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().unwrap_or(0)
    });
    numbers.max().unwrap_or(0)
}

impl sql::Connection for Connection {
    type Row = Pg;

    async fn all(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Pg>> {
        self.fetch(bound(sql.postgres, values)).await
    }

    async fn optional(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Option<Pg>> {
        let statement = bound(sql.postgres, values).persistent(self.prepared);
        Ok(statement.fetch_optional(&mut self.raw).await?.map(Pg))
    }

    async fn run(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<u64> {
        self.execute(bound(sql.postgres, values)).await
    }

    async fn each(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<Pg>> {
        self.fetch(bound(sql.postgres, values)).await
    }

    async fn batch(&mut self, batch: &Batch, values: &[Value<'_>]) -> sql::Result<()> {
        self.execute(bound(batch.postgres, values)).await.map(|_| ())
    }
}

/// How connections of one pool are opened.
#[derive(Debug, Clone)]
pub(in crate::store) struct Connector {
    options: PgConnectOptions,
    prepared: bool,
    /// The server must accept writes: a standby or a demoted primary is refused.
    primary: bool,
}

impl Connector {
    /// For the server at `url`.
    ///
    /// # Errors
    /// The URL is invalid. The error text does not repeat it, because it contains a password.
    pub(super) fn new(
        url: &secrecy::SecretString,
        options: &PostgresOptions,
        primary: bool,
    ) -> Result<Self, StoreError> {
        let parsed: PgConnectOptions = url
            .expose_secret()
            .parse()
            .map_err(|_| StoreError::definite("the database's URL cannot be read"))?;
        let parsed = parsed.application_name("tidings").extra_float_digits(None).disable_statement_logging();
        let parsed = if options.postgres.prepared {
            parsed.statement_cache_capacity(256).options(session(options.timeout_ms))
        } else {
            parsed.statement_cache_capacity(0)
        };
        Ok(Self { options: parsed, prepared: options.postgres.prepared, primary })
    }

    /// Connects to a server of any kind, for looking at it. The second answer: the log came from another
    /// server, whose positions go on here only after a step that nobody has taken yet.
    pub(super) async fn look(&self) -> Result<(ServerState, bool), StoreError> {
        let raw = self.options.connect().await.map_err(before_commit)?;
        let mut connection = Connection { raw, prepared: self.prepared };
        let state = Self::server_state(&mut connection).await?;
        if state.check_schema().is_err() {
            return Ok((state, false));
        }
        let rows = connection.script("SELECT tidings_needs_restoring()".to_owned()).await;
        let foreign = rows.and_then(|rows| rows.first().ok_or_else(sql::Error::no_row)?.flag(0));
        Ok((state, foreign.map_err(before_commit)?))
    }

    async fn server_state(connection: &mut Connection) -> Result<ServerState, StoreError> {
        match connection.script(SERVER_STATE.to_owned()).await {
            Ok(rows) => {
                let row = rows.first().ok_or_else(sql::Error::no_row).map_err(before_commit)?;
                let read = || -> sql::Result<ServerState> {
                    Ok(ServerState {
                        standby: row.flag(0)?,
                        read_only: row.flag(1)?,
                        schema: row.int(2)?,
                        least: row.int(3)?,
                    })
                };
                read().map_err(before_commit)
            }
            Err(error) if error.lacks_tables() => {
                Ok(ServerState { standby: false, read_only: false, schema: 0, least: 0 })
            }
            Err(error) => Err(error.before_commit()),
        }
    }
}

/// The settings of a session, as SQL. A statement ends at the caller's timeout. A process that froze in the
/// middle of a transaction does not keep its locks. Every statement looks rows up by keys, so no plan may
/// scan a whole table, even if the table was small when the plan was made.
fn session(timeout_ms: u64) -> [(&'static str, String); 7] {
    let frozen = Duration::from_millis(timeout_ms.saturating_mul(2)).as_millis();
    [
        ("statement_timeout", timeout_ms.to_string()),
        ("idle_in_transaction_session_timeout", frozen.to_string()),
        ("tcp_keepalives_idle", "10".to_owned()),
        ("tcp_keepalives_interval", "5".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("enable_hashjoin", "off".to_owned()),
        ("enable_mergejoin", "off".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::parameters;

    #[test]
    fn a_statement_takes_as_many_values_as_it_names() {
        assert_eq!(parameters("SELECT 1"), 0);
        assert_eq!(parameters("SELECT $2::uuid, $10, $1"), 10);
    }
}
