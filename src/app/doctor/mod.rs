//! `tidings doctor`: looks at what a start needs, one thing after another, and says what to do about what is
//! wrong. It writes nothing: no folder, no database, no key.

mod folder;
mod report;

use serde_json::Value;

use super::files::Files;
use super::{bus, inspect, listen, options};
use crate::config::{Settings, StoreBackend};
use crate::environment::{SharedEnvironment, SystemEnvironment};
use crate::identity::Identity;
use crate::store::postgres;

pub use report::{Condition, Finding, Report};

/// The state that the server with these settings reports.
async fn running(settings: &Settings) -> Result<String, String> {
    let report = inspect::ask(settings, "/readyz").await.map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_str(&report).map_err(|error| error.to_string())?;
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dependencies = report["dependencies"].as_array().into_iter().flatten();
    let dependencies = dependencies.map(|one| format!("{} {}", words(&one["name"]), words(&one["state"])));
    let shown = [vec!["is ready".to_owned()], dependencies.collect()].concat();
    Ok(shown.join(", "))
}

/// Looks at everything.
pub async fn examine(settings: &Settings) -> Report {
    let environment = SystemEnvironment::shared();
    let mut report = Report::default();
    let embedded = settings.store.backend == StoreBackend::Sqlite;
    let uses_folder = embedded || settings.server.internal_listen.is_none();
    report.is_running = uses_folder && folder::examine(&settings.store.data_dir, &mut report);
    if report.is_running {
        report.tried("server", running(settings).await);
    } else {
        let (address, backlog) = (settings.server.listen, settings.server.backlog);
        let free = listen(address, backlog).map(|_| format!("{address} is free"));
        report.tried("address", free.map_err(|error| error.to_string()));
        if embedded {
            report.add("database", folder::database(&options::database_file(settings)));
        }
        report.tried("keys", keys(settings, &environment));
    }
    report.add("open files", files(settings));
    if !embedded {
        match postgres::check(&options::postgres(settings)).await {
            Ok(lines) => lines.into_iter().for_each(|line| report.tried("database", Ok(line))),
            Err(error) => report.tried("database", Err(error.to_string())),
        }
    }
    if let Some(outcome) = bus::try_out(settings, &environment).await {
        report.tried("bus", outcome);
    }
    for warning in settings.warnings() {
        report.add("settings", Condition::Warning(warning));
    }
    report
}

fn keys(settings: &Settings, environment: &SharedEnvironment) -> Result<String, String> {
    let tried = Identity::check(&options::identity(settings), environment);
    let there = tried.map_err(|error| error.to_string())?;
    Ok(if there { "can sign" } else { "the first start makes one" }.to_owned())
}

fn files(settings: &Settings) -> Condition {
    let (files, wanted) = (Files::after_raising(), settings.server.max_connections);
    match (files.shortage(wanted), files.allowed) {
        (Some(shortage), _) => Condition::Warning(shortage),
        (None, Some(allowed)) => {
            Condition::Good(format!("{allowed} are allowed, enough for {wanted} connections"))
        }
        (None, None) => Condition::Good("any number is allowed".to_owned()),
    }
}
