//! `tidings migrate`: brings the database's tables up to this release. In a release it is a separate step
//! before the servers.

use super::AppError;
use crate::config::{Settings, StoreBackend};
use crate::store::postgres;

/// Applies missing migrations. Returns one line for each of them, or why there was nothing to do.
///
/// # Errors
/// [`AppError::Migrate`], whose text says what to do. Migrations that were applied before the error stay
/// applied.
pub async fn migrate(settings: &Settings) -> Result<Vec<String>, AppError> {
    match settings.store.backend {
        StoreBackend::Sqlite => {
            Ok(vec!["not needed: the embedded database is brought up to date when it is opened".to_owned()])
        }
        StoreBackend::Postgres => {
            let applied = postgres::migrate(&settings.store.postgres.url).await.map_err(AppError::Migrate)?;
            if applied.is_empty() {
                return Ok(vec!["up to date".to_owned()]);
            }
            Ok(applied.into_iter().map(|name| format!("applied {name}")).collect())
        }
    }
}
