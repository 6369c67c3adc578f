//! Stores on a Postgres server.
//!
//! A server counts transactions over all its databases, so two tests on one server at the same time would
//! affect each other's positions. Therefore each test (a separate thread in every test runner) has a server
//! for itself as long as it runs, and each world in the test has its own database.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidings::domain::ConsentRules;
use tidings::environment::{SharedEnvironment, SystemEnvironment};
use tidings::store::SharedStore;
use tidings::store::postgres::{PostgresOptions, PostgresStore};

use super::Harness;
use crate::servers::lent;
use crate::servers::postgres::Postgres;

thread_local! {
    static SERVER: RefCell<Option<Arc<Postgres>>> = const { RefCell::new(None) };
}

/// The server of this test.
async fn server() -> Arc<Postgres> {
    if let Some(server) = SERVER.with_borrow(Clone::clone) {
        return server;
    }
    let server = Arc::new(lent::borrow().await);
    SERVER.set(Some(Arc::clone(&server)));
    server
}

/// A database on the test's server.
pub struct PostgresHarness {
    pub server: Arc<Postgres>,
    pub name: String,
    pub consent: ConsentRules,
    url: String,
    opened: Mutex<Option<Arc<PostgresStore>>>,
}

static NAMES: AtomicU64 = AtomicU64::new(1);

impl PostgresHarness {
    pub async fn new() -> Self {
        Self::on(server().await).await
    }

    pub async fn on(server: Arc<Postgres>) -> Self {
        let name = format!("test_{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let url = server.database(&name).await;
        Self { server, name, consent: ConsentRules::open(), url, opened: Mutex::default() }
    }

    /// With these rules about strangers.
    pub fn with(mut self, consent: ConsentRules) -> Self {
        self.consent = consent;
        self
    }

    pub fn options(&self) -> PostgresOptions {
        let limits = super::limits();
        let usual = PostgresOptions::new(self.url.clone());
        // Generous: a machine at work on other things must not fail a test.
        let mut options = PostgresOptions { limits, consent: self.consent, timeout_ms: 30_000, ..usual };
        options.postgres.acquire_timeout_ms = 20_000;
        (options.postgres.write_connections, options.postgres.read_connections) = (4, 4);
        options
    }

    pub fn environment(&self) -> SharedEnvironment {
        SystemEnvironment::shared()
    }

    pub async fn open(&self) -> Arc<PostgresStore> {
        self.open_with(self.options()).await
    }

    pub async fn open_with(&self, options: PostgresOptions) -> Arc<PostgresStore> {
        let store = PostgresStore::open(options, self.environment()).await.expect("the database opens");
        *self.opened.lock().unwrap() = Some(Arc::clone(&store));
        store
    }

    /// The URL of the owner of the tables.
    pub fn owner_url(&self) -> String {
        self.server.url(&self.name)
    }

    pub async fn connection(&self) -> sqlx::PgConnection {
        self.server.connect(&self.name).await
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    async fn store(&self) -> SharedStore {
        self.open().await
    }

    async fn skip_positions(&self, by: u64) {
        let statement = "UPDATE meta SET value = value + $1 WHERE name = 'position_base'";
        sqlx::query(statement).bind(by as i64).execute(&mut self.connection().await).await.unwrap();
    }

    fn position_per_event(&self) -> bool {
        false
    }

    async fn close(&self) {
        let opened = self.opened.lock().unwrap().take();
        if let Some(store) = opened {
            store.close().await;
        }
    }
}
