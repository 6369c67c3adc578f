//! Whether a server can be used as the settings say, looked at before the store is opened and for
//! `tidings doctor`.

use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;

use super::connection::Connector;
use super::options::PostgresOptions;
use super::schema::ServerState;
use crate::store::StoreError;

/// Why the store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The server did not answer, or not as one that takes writes: it may do so later, so try again.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// Trying again does not help; the text says what to do.
    #[error("{0}")]
    Unusable(String),
}

/// Looks at the primary and the replicas that `options` name, and changes nothing. Answers one line of
/// findings for each.
///
/// # Errors
/// [`OpenError`], of the primary only: a replica that is away is a finding.
pub async fn check(options: &PostgresOptions) -> Result<Vec<String>, OpenError> {
    let mut findings =
        vec![format!("primary: schema {}", look(&options.postgres.url, options, true).await?.schema)];
    for (index, url) in options.postgres.read_urls.iter().enumerate() {
        findings.push(match look(url, options, false).await {
            Ok(state) if state.standby => {
                format!("replica {}: a standby, schema {}", index + 1, state.schema)
            }
            Ok(_) => format!("replica {}: is no standby, and is read like one", index + 1),
            Err(error) => format!("replica {}: {error}", index + 1),
        });
    }
    Ok(findings)
}

const RESTORE: &str = "the database was loaded from a dump, and its log goes on only after one step: run \
     `SELECT tidings_restored()` in it, once, with no server running";

pub(super) async fn look(
    url: &SecretString,
    options: &PostgresOptions,
    primary: bool,
) -> Result<ServerState, OpenError> {
    let connector =
        Connector::new(url, options, primary).map_err(|error| OpenError::Unusable(error.to_string()))?;
    let patience = Duration::from_millis(options.timeout_ms);
    let (state, foreign) = match tokio::time::timeout(patience, connector.look()).await {
        Ok(Ok(found)) => found,
        Ok(Err(StoreError::Inconsistent(what))) => return Err(OpenError::Unusable(what)),
        Ok(Err(StoreError::Unavailable { detail, .. })) => return Err(OpenError::Unreachable(detail)),
        Ok(Err(error @ StoreError::Overloaded)) => return Err(OpenError::Unreachable(error.to_string())),
        Err(_) => return Err(OpenError::Unreachable(format!("no answer within {} ms", options.timeout_ms))),
    };
    state.check_schema().map_err(OpenError::Unusable)?;
    if foreign {
        return Err(OpenError::Unusable(RESTORE.to_owned()));
    }
    // A failover may be under way: this very server, or another behind its name, may be the primary in a
    // moment.
    state.check_use(primary).map_err(OpenError::Unreachable)?;
    Ok(state)
}
