//! The embedded database: one file after an orderly end.

use std::sync::Arc;
use std::time::Duration;

use super::{AppError, options};
use crate::config::Settings;
use crate::environment::SharedEnvironment;
use crate::store::sqlite::SqliteStore;
use crate::store::{SharedStore, StoreError};
use crate::telemetry::inspect::Inspection;

/// An open database.
pub struct Embedded {
    store: Arc<SqliteStore>,
    patience: Duration,
}

impl Embedded {
    /// Opens the database in the data folder, which the caller holds until it is closed.
    ///
    /// # Errors
    /// [`AppError`], for the operator.
    pub async fn open(settings: &Settings, environment: &SharedEnvironment) -> Result<Self, AppError> {
        let opened = SqliteStore::open(options::sqlite(settings), Arc::clone(environment)).await;
        let store = opened.map_err(|error| match error {
            StoreError::Unavailable { detail, .. } => AppError::Database(detail),
            other => other.into(),
        })?;
        let patience = Duration::from_millis(2 * settings.store.timeout_ms);
        Ok(Self { store, patience })
    }

    /// The store.
    pub fn store(&self) -> SharedStore {
        Arc::clone(&self.store) as SharedStore
    }

    /// Adds the database's queues to what is shown.
    pub fn show(&self, inspection: &Inspection) {
        let store = Arc::clone(&self.store);
        inspection.add_value("store", move || store.observed());
    }

    /// Closes the database: everything is in its one file then.
    pub async fn close(self) {
        if tokio::time::timeout(self.patience, self.store.close()).await.is_err() {
            tracing::warn!("the database could not be closed in time: keep its -wal file with it");
        }
    }
}
