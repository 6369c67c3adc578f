//! `tidings doctor`: tries what a start needs, one thing after another, and says what to do about what fails.

use std::sync::Arc;

use super::waiting::Missing;
use super::{bus, listen, open_store, options};
use crate::config::{Settings, StoreBackend};
use crate::environment::SystemEnvironment;
use crate::identity::Identity;
use crate::store::postgres;
use crate::telemetry::exporter::file_limit;

/// One thing that was tried.
#[derive(Debug)]
pub struct Finding {
    /// What.
    pub what: String,
    /// `Err` says what to do.
    pub outcome: Result<String, String>,
}

/// Tries everything; changes nothing but what a start would make (data directory, database file, keys).
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |what: &str, outcome: Result<String, String>| {
        findings.push(Finding { what: what.to_owned(), outcome });
    };
    let address = settings.server.listen;
    found(
        "address",
        listen(address, settings.server.backlog)
            .map(|_| format!("{address} is free"))
            .map_err(|error| error.to_string()),
    );
    let wanted = settings.server.max_connections as u64 + 256;
    found(
        "open files",
        match file_limit() {
            Some(files) if files < wanted => Err(format!(
                "{files} are allowed, {wanted} wanted: raise it (ulimit -n) or lower server.max_connections"
            )),
            Some(files) => Ok(format!("{files} are allowed")),
            None => Ok("the system does not tell how many are allowed".to_owned()),
        },
    );
    if settings.store.backend == StoreBackend::Postgres {
        match postgres::check(&options::postgres(settings)).await {
            Ok(lines) => lines.into_iter().for_each(|line| found("database", Ok(line))),
            Err(error) => found("database", Err(error.to_string())),
        }
    }
    let environment = SystemEnvironment::shared();
    match open_store(settings, &environment).await {
        Ok(store) => {
            found(
                "store",
                store.ping().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string()),
            );
            let identity = Identity::new(options::identity(settings), store, Arc::clone(&environment));
            found("keys", identity.map(|_| "can sign".to_owned()).map_err(|error| error.to_string()));
        }
        Err(Missing::Away(error)) => found("store", Err(error)),
        Err(Missing::Hopeless(error)) => found("store", Err(error.to_string())),
    }
    if let Some(outcome) = bus::try_out(settings, &environment).await {
        found("bus", outcome);
    }
    for warning in settings.warnings() {
        found("settings", Err(warning));
    }
    findings
}
