//! Stores of the model of a shared database, with round trips that are answered at once.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidings::domain::{ConsentRules, Timestamp};
use tidings::environment::{Environment, ManualEnvironment, SharedEnvironment, SystemEnvironment};
use tidings::store::SharedStore;
use tidings::store::model::{Fates, ModelOptions, ModelServer, ModelStore, NoFaults};

use super::Harness;

/// The servers of one database, and the stores of processes.
pub struct ModelHarness {
    pub server: Arc<ModelServer>,
    pub environment: SharedEnvironment,
    pub consent: ConsentRules,
    opened: Mutex<Option<Arc<ModelStore>>>,
}

impl ModelHarness {
    pub fn new() -> Self {
        Self::on(SystemEnvironment::shared())
    }

    /// Servers and processes with this clock.
    pub fn on(environment: SharedEnvironment) -> Self {
        let server = ModelServer::new(7, Arc::clone(&environment)).unwrap();
        Self { server, environment, consent: ConsentRules::open(), opened: Mutex::default() }
    }

    /// With these rules about strangers.
    pub fn with(mut self, consent: ConsentRules) -> Self {
        self.consent = consent;
        self
    }

    pub fn options(process: u64) -> ModelOptions {
        let limits = super::limits();
        ModelOptions { limits, ..ModelOptions::new(process) }
    }

    /// An environment on tokio's clock, for tests that pause it.
    #[expect(clippy::disallowed_methods, reason = "this is the runtime's clock, made an injected one")]
    pub fn paused() -> SharedEnvironment {
        Arc::new(OnTokiosClock { began: tokio::time::Instant::now(), random: ManualEnvironment::new(0, 1) })
    }

    /// The store of another process.
    pub fn connect(&self, process: u64, fates: Arc<dyn Fates>) -> Arc<ModelStore> {
        self.connect_with(Self::options(process), fates)
    }

    pub fn connect_with(&self, options: ModelOptions, fates: Arc<dyn Fates>) -> Arc<ModelStore> {
        self.server.connect(options, Arc::clone(&self.environment), fates)
    }
}

/// A clock that goes on with tokio's, also when that is paused.
#[derive(Debug)]
struct OnTokiosClock {
    began: tokio::time::Instant,
    random: ManualEnvironment,
}

impl Environment for OnTokiosClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000).plus_ms(self.monotonic_ms() as i64)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.random.fill_random(bytes);
    }
}

#[async_trait]
impl Harness for ModelHarness {
    async fn store(&self) -> SharedStore {
        let options = ModelOptions { consent: self.consent, ..Self::options(0) };
        let store = self.connect_with(options, Arc::new(NoFaults));
        *self.opened.lock().unwrap() = Some(Arc::clone(&store));
        store
    }

    async fn skip_positions(&self, by: u64) {
        self.server.skip_positions(by);
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
