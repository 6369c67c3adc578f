//! The database server: how it is opened, and what it adds to the report of readiness.

use std::sync::Arc;

use super::waiting::Missing;
use super::{AppError, options};
use crate::actors::Node;
use crate::api::{DependencyState, Probe, Readiness};
use crate::config::Settings;
use crate::environment::SharedEnvironment;
use crate::store::postgres::{OpenError, PostgresStore};

/// Shows each replica among the dependencies, as `replica_1` and so on in the order of the settings, and for
/// how long the oldest open transaction that has written keeps the log's end where it is.
pub fn shown(readiness: Readiness, server: &Arc<PostgresStore>, node: &Node) -> Readiness {
    let node = node.clone();
    let held_back = Box::new(move || Some(node.router().held_back_ms()));
    let readiness = readiness.with_detail("oldest_transaction_ms", held_back);
    (0..server.replicas()).fold(readiness, |readiness, index| {
        readiness.with(format!("replica_{}", index + 1), replica(server, index))
    })
}

fn replica(server: &Arc<PostgresStore>, index: usize) -> Probe {
    let server = Arc::clone(server);
    Box::new(move || {
        let server = Arc::clone(&server);
        Box::pin(async move {
            match server.ping_replica(index).await {
                Ok(()) => DependencyState::Works,
                Err(_) => DependencyState::Away,
            }
        })
    })
}

/// Opens the log on the Postgres server that the settings name.
///
/// # Errors
/// [`Missing::Away`] when the server may answer later, [`Missing::Hopeless`] when the operator has to act.
pub(super) async fn open(
    settings: &Settings,
    environment: &SharedEnvironment,
) -> Result<Arc<PostgresStore>, Missing<AppError>> {
    let opened = PostgresStore::open(options::postgres(settings), Arc::clone(environment)).await;
    opened.map_err(|error| match error {
        OpenError::Unreachable(_) => Missing::Away(error.to_string()),
        OpenError::Unusable(_) => Missing::Hopeless(error.into()),
    })
}
