//! `tidings migrate`: brings the database's tables up to this release. In a release it is a separate step
//! before the servers.

use super::AppError;
use crate::config::{Settings, StoreBackend};
use crate::store::postgres;

/// Applies missing migrations, and makes `serving` the role that servers connect as. Returns one line for
/// each step, or why there was nothing to do.
///
/// # Errors
/// [`AppError::Migrate`], whose text says what to do. Migrations that were applied before the error stay
/// applied.
pub async fn migrate(settings: &Settings, serving: Option<&str>) -> Result<Vec<String>, AppError> {
    match settings.store.backend {
        StoreBackend::Sqlite => {
            Ok(vec!["not needed: the embedded database is brought up to date when it is opened".to_owned()])
        }
        StoreBackend::Postgres => {
            let url = &settings.store.postgres.url;
            let applied = postgres::migrate(url).await.map_err(AppError::Migrate)?;
            let mut lines: Vec<String> = applied.into_iter().map(|name| format!("applied {name}")).collect();
            if lines.is_empty() {
                lines.push("up to date".to_owned());
            }
            if let Some(role) = serving {
                lines.push(postgres::grant(url, role).await.map_err(AppError::Migrate)?);
            }
            Ok(lines)
        }
    }
}
