//! A Postgres server, and a replica that follows it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use super::ports::free_port;
use super::process::{Process, give_away, program, run, unprivileged, until};

/// The user who owns everything.
const USER: &str = "tidings";
/// The role that stores are opened as.
const SERVING: &str = "tidings_serving";
/// A database with the tables and nothing in them, to be copied.
const TEMPLATE: &str = "tidings_template";

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings beside those of every test, e.g. `("recovery_min_apply_delay", "2s")`.
    pub settings: Vec<(&'static str, String)>,
    /// Writes reach the disk before they count. Off: faster, and as good when only processes die.
    pub durable: bool,
}

/// A running server. Dropping it stops it and removes its directory.
pub struct Postgres {
    held: Held,
    directory: PathBuf,
    options: Options,
    port: u16,
}

/// How long the server stays.
enum Held {
    /// Until it is dropped.
    Own(Process),
    /// It goes to the next borrower then; the lock ends with the file.
    Lent { _lock: File },
}

impl Postgres {
    /// Starts a server that has a database to copy ([`Postgres::database`]) and takes replicas.
    pub async fn start(options: Options) -> Self {
        let cluster = template().await;
        Self::over(options, |data| copy(&cluster, data)).await
    }

    /// Starts a standby that follows this server.
    pub async fn replica(&self, options: Options) -> Self {
        let from = format!("host=127.0.0.1 port={} user={USER}", self.port);
        let backup = |data: &Path| {
            let data = data.display().to_string();
            let arguments = ["-d", &from, "-D", &data, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
            run(&unprivileged(&binary("pg_basebackup"), &arguments));
        };
        Self::over(options, backup).await
    }

    async fn over(options: Options, fill: impl FnOnce(&Path)) -> Self {
        let directory = TempDir::with_prefix("tidings-postgres-").expect("a temporary directory").keep();
        give_away(&directory);
        fill(&directory.join("data"));
        let port = free_port();
        let process = launch(&directory, port, &options, AT_ONCE);
        let server = Self { held: Held::Own(process), directory, options, port };
        server.answers().await;
        server
    }

    /// A running server that others borrow after this one (`lent.rs`).
    pub fn lent(port: u16, lock: File) -> Self {
        let held = Held::Lent { _lock: lock };
        Self { held, directory: PathBuf::new(), options: Options::default(), port }
    }

    /// Ends all connections and drops all databases but the one to copy; answers whether that succeeded.
    pub async fn is_clean(&self) -> bool {
        let clean = async {
            let mut connection = self.try_connect("postgres").await?;
            let others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
            sqlx::raw_sql(others).execute(&mut connection).await?;
            let left =
                "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', $1)";
            let names: Vec<String> =
                sqlx::query_scalar(left).bind(TEMPLATE).fetch_all(&mut connection).await?;
            for name in names {
                let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
                sqlx::raw_sql(drop).execute(&mut connection).await?;
            }
            connection.close().await
        };
        clean.await.is_ok()
    }

    fn process(&self) -> &Process {
        match &self.held {
            Held::Own(process) => process,
            Held::Lent { .. } => panic!("others borrow this server later: start one of the test's own"),
        }
    }

    /// Waits until it takes connections.
    pub async fn answers(&self) {
        let ready = || async {
            if let Held::Own(process) = &self.held
                && !process.lives()
            {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                panic!("postgres ended at its start:\n{log}");
            }
            self.try_connect("postgres").await.is_ok()
        };
        until("postgres answers", ready).await;
    }

    /// Makes a database with empty tables. Answers the URL that a server connects by: as in production, not
    /// as the owner of the tables.
    pub async fn database(&self, name: &str) -> String {
        self.run(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")).await;
        self.serving_url(name)
    }

    /// The URL of a database on this server, for the owner of everything.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same, for the role that a server connects as.
    pub fn serving_url(&self, database: &str) -> String {
        format!("postgres://{SERVING}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the test's own.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.try_connect(database).await.expect("postgres answers")
    }

    async fn try_connect(&self, database: &str) -> sqlx::Result<PgConnection> {
        let options: PgConnectOptions = self.url(database).parse()?;
        options.disable_statement_logging().connect().await
    }

    /// Runs a statement on the server's own database.
    pub async fn run(&self, statement: &str) {
        let mut connection = self.connect("postgres").await;
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.expect(statement);
        connection.close().await.expect("it closes");
    }

    /// Ends the server at once, as a crash of the machine's memory would.
    pub fn kill(&self) {
        self.process().signal("KILL");
    }

    /// Freezes the server with all its connections.
    pub fn pause(&self) {
        self.process().signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) {
        self.process().signal("CONT");
    }

    /// Starts the server again at its place, after [`Postgres::kill`] or to change settings.
    pub async fn restart(&mut self, options: Options) {
        let keep = self.directory.join("keep");
        File::create(&keep).expect("the directory can be written");
        let Held::Own(process) = &mut self.held else { panic!("others borrow this server later") };
        process.stop();
        fs::remove_file(keep).expect("it goes");
        self.options = options;
        *process = launch(&self.directory, self.port, &self.options, AT_ONCE);
        self.answers().await;
    }
}

/// The signal that stops a server without tidying up.
const AT_ONCE: &str = "QUIT";

fn launch(directory: &Path, port: u16, options: &Options, stop: &str) -> Process {
    Process::start(&command(directory, port, options), stop, directory)
}

/// The command that runs a server whose data is in `directory`.
pub fn command(directory: &Path, port: u16, options: &Options) -> Vec<String> {
    let data = directory.join("data").display().to_string();
    let port = port.to_string();
    let mut arguments = vec!["-D", &data, "-p", &port];
    let safe = if options.durable { "on" } else { "off" };
    let fixed = [
        ("fsync", safe),
        ("full_page_writes", safe),
        ("synchronous_commit", safe),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("max_connections", "100"),
        ("shared_buffers", "64MB"),
        // In its directory, with which it goes: a server that is killed leaves what it has in /dev/shm.
        ("dynamic_shared_memory_type", "mmap"),
        ("max_wal_senders", "4"),
        ("hot_standby_feedback", "off"),
        // It would take numbers of transactions between two looks of a test.
        ("autovacuum", "off"),
        ("jit", "off"),
        ("deadlock_timeout", "100ms"),
    ];
    let given = options.settings.iter().map(|(name, value)| (*name, value.as_str()));
    let settings: Vec<String> =
        fixed.into_iter().chain(given).map(|(name, value)| format!("{name}={value}")).collect();
    for setting in &settings {
        arguments.extend(["-c", setting]);
    }
    unprivileged(&binary("postgres"), &arguments)
}

fn binary(name: &str) -> PathBuf {
    let place = format!("/usr/lib/postgresql/15/bin/{name}");
    program(&[&place], "postgresql-15")
}

/// Copies a stopped cluster.
pub fn copy(cluster: &Path, data: &Path) {
    let (from, to) = (cluster.display().to_string(), data.display().to_string());
    run(&["cp".to_owned(), "-a".to_owned(), from, to]);
}

/// A cluster to copy, stopped: made by whichever test comes first, and kept for those that follow.
pub async fn template() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    // Other steps of the schema make another cluster to copy.
    for step in tidings::store::postgres::steps() {
        step.text.hash(&mut hasher);
    }
    tidings::store::postgres::grants(SERVING).hash(&mut hasher);
    let place = std::env::temp_dir().join(format!("tidings-postgres-template-{:016x}", hasher.finish()));
    let finished = place.join("data");
    fs::create_dir_all(&place).expect("the temporary directory can be written");
    let lock = File::create(place.join("lock")).expect("the temporary directory can be written");
    lock.lock().expect("a lock on a file");
    if !finished.exists() {
        let building = TempDir::new_in(&place).expect("a temporary directory").keep();
        give_away(&building);
        initialise(&building).await;
        fs::rename(building.join("data"), &finished).expect("it moves");
        fs::remove_dir_all(building).expect("it goes");
    }
    finished
}

async fn initialise(directory: &Path) {
    let data = directory.join("data").display().to_string();
    let arguments =
        ["-D", &data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"];
    run(&unprivileged(&binary("initdb"), &arguments));
    let options = Options::default();
    let port = free_port();
    File::create(directory.join("keep")).expect("the directory can be written");
    // A clean stop: what is copied from here on needs no recovery.
    let held = Held::Own(launch(directory, port, &options, "INT"));
    let server = Postgres { held, directory: directory.to_owned(), options, port };
    server.answers().await;
    server.run(&format!("CREATE DATABASE {TEMPLATE}")).await;
    let url = server.url(TEMPLATE).into();
    tidings::store::postgres::migrate(&url).await.expect("the migrations apply");
    tidings::store::postgres::grant(&url, SERVING).await.expect("the role is made");
    drop(server);
}
