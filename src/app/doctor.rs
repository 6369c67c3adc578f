//! `tidings doctor`: tries what a start needs, one thing after another, and says what to do about what fails.

use std::sync::Arc;

use serde_json::Value;

use super::data_folder::{DataFolder, FolderError};
use super::embedded::Embedded;
use super::waiting::Missing;
use super::{AppError, bus, inspect, listen, open_postgres, options};
use crate::config::{Settings, StoreBackend};
use crate::environment::{SharedEnvironment, SystemEnvironment};
use crate::identity::Identity;
use crate::store::{SharedStore, postgres};
use crate::telemetry::exporter::file_limit;

/// One thing that was tried.
#[derive(Debug)]
pub struct Finding {
    /// What was tried.
    pub what: String,
    /// `Err` says what to do.
    pub outcome: Result<String, String>,
}

async fn open(
    settings: &Settings,
    environment: &SharedEnvironment,
) -> Result<(SharedStore, Option<(Embedded, DataFolder)>), AppError> {
    match settings.store.backend {
        StoreBackend::Sqlite => {
            let database = options::database_file(settings);
            let folder = DataFolder::hold(&settings.store.data_dir, Some(&database))?;
            let embedded = Embedded::open(settings, environment).await?;
            Ok((embedded.store(), Some((embedded, folder))))
        }
        StoreBackend::Postgres => match open_postgres(settings, environment).await {
            Ok(store) => Ok((store, None)),
            Err(Missing::Away(error)) => Err(AppError::Away(error)),
            Err(Missing::Hopeless(error)) => Err(error),
        },
    }
}

/// How the server that works in the data folder is, in its own words.
async fn running(settings: &Settings) -> Result<String, String> {
    let report = inspect::ask(settings, "/readyz").await.map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_str(&report).map_err(|error| error.to_string())?;
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dependencies = report["dependencies"].as_array().into_iter().flatten();
    let dependencies = dependencies.map(|one| format!("{} {}", words(&one["name"]), words(&one["state"])));
    let shown = [vec!["is ready".to_owned()], dependencies.collect()].concat();
    Ok(shown.join(", "))
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
    match open(settings, &environment).await {
        Ok((store, embedded)) => {
            found(
                "store",
                store.ping().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string()),
            );
            let identity = Identity::new(options::identity(settings), store, Arc::clone(&environment));
            found("keys", identity.map(|_| "can sign".to_owned()).map_err(|error| error.to_string()));
            if let Some((embedded, _folder)) = embedded {
                embedded.close().await;
            }
        }
        Err(AppError::Folder(FolderError::InUse { holder, .. })) => {
            let text = format!("process {holder} works in the data folder; its store and keys are not tried");
            found("store", Ok(text));
            found("server", running(settings).await);
        }
        Err(error) => found("store", Err(error.to_string())),
    }
    if let Some(outcome) = bus::try_out(settings, &environment).await {
        found("bus", outcome);
    }
    for warning in settings.warnings() {
        found("settings", Err(warning));
    }
    findings
}
