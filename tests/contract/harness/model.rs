//! Stores of the model of a shared database, with round trips that are answered at once.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidings::domain::Limits;
use tidings::environment::{SharedEnvironment, SystemEnvironment};
use tidings::store::SharedStore;
use tidings::store::model::{Fates, ModelOptions, ModelServer, ModelStore, NoFaults};

use super::Harness;

/// The servers of one database, and the stores of processes.
pub struct ModelHarness {
    pub server: Arc<ModelServer>,
    opened: Mutex<Option<Arc<ModelStore>>>,
}

impl ModelHarness {
    pub fn new() -> Self {
        Self { server: ModelServer::new(7, Self::environment()).unwrap(), opened: Mutex::default() }
    }

    pub fn options(process: u64) -> ModelOptions {
        let limits = Limits { group_members: 8, ..Limits::default() };
        ModelOptions { limits, ..ModelOptions::new(process) }
    }

    pub fn environment() -> SharedEnvironment {
        SystemEnvironment::shared()
    }

    /// The store of another process.
    pub fn connect(&self, process: u64, fates: Arc<dyn Fates>) -> Arc<ModelStore> {
        self.server.connect(Self::options(process), Self::environment(), fates)
    }
}

#[async_trait]
impl Harness for ModelHarness {
    async fn store(&self) -> SharedStore {
        let store = self.connect(0, Arc::new(NoFaults));
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
