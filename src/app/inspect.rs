//! `tidings inspect`: asks a running process on this machine, by its internal address, for the state of its
//! actors.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::internal::{InternalAddress, InternalError, SocketPath, token};
use crate::config::Settings;
use secrecy::ExposeSecret;

/// How long the process may take for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing can be shown; the text says what to do.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] InternalError),
    /// Nobody answers there.
    #[error(
        "no server answers at {address}: {why}; name the data folder or the configuration of a running one (--data-dir, --config)"
    )]
    Away {
        /// The address that was asked.
        address: String,
        /// The error.
        why: String,
    },
    /// It answers, but not with states.
    #[error("the server at {address} answered {status}: {text}")]
    Refused {
        /// The address that was asked.
        address: String,
        /// The HTTP status.
        status: u16,
        /// Its answer.
        text: String,
    },
}

/// One actor as the process showed it.
#[derive(Debug, Deserialize)]
struct Shown {
    actor: String,
    #[serde(default)]
    state: Value,
    error: Option<String>,
}

/// Asks the process that these settings describe; answers the JSON that it gave.
///
/// # Errors
/// [`InspectError`].
pub async fn inspect(settings: &Settings) -> Result<String, InspectError> {
    ask(settings, "/inspect").await
}

/// Asks for any path of the internal address.
pub(super) async fn ask(settings: &Settings, path: &str) -> Result<String, InspectError> {
    let address = InternalAddress::of(settings);
    let away = |why: String| InspectError::Away { address: address.to_string(), why };
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let asked = match &address {
        InternalAddress::Socket(socket) => {
            let named = SocketPath::of(socket).map_err(|error| away(error.to_string()))?;
            let client = client.unix_socket(named.path.as_path()).build();
            let client = client.map_err(|error| away(error.to_string()))?;
            // The path is good as long as this lives.
            let answer = client.get(format!("http://internal{path}")).send().await;
            drop(named);
            answer
        }
        InternalAddress::Tcp(tcp) => {
            let client = client.build().map_err(|error| away(error.to_string()))?;
            let token = token(settings)?;
            client.get(format!("http://{tcp}{path}")).bearer_auth(token.expose_secret()).send().await
        }
    };
    let answer = asked.map_err(|error| away(causes(&error)))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| away(causes(&error)))?;
    if status.is_success() {
        return Ok(text);
    }
    Err(InspectError::Refused {
        address: address.to_string(),
        status: status.as_u16(),
        text: text.trim().to_owned(),
    })
}

/// The last of an error's causes says most.
fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The states as a table for people: a line for each number, under the name of its actor.
pub fn table(json: &str) -> String {
    let Ok(actors) = serde_json::from_str::<Vec<Shown>>(json) else { return json.to_owned() };
    let mut lines = Vec::new();
    for Shown { actor, state, error } in actors {
        lines.push(match error {
            Some(error) => format!("{actor}: {error}"),
            None => actor,
        });
        let mut fields = Vec::new();
        flatten("", &state, &mut fields);
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        lines.extend(fields.into_iter().map(|(name, value)| format!("  {name:<width$}  {value}")));
    }
    lines.join("\n")
}

/// All numbers and words in a value, each with the names that lead to it.
fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, String)>) {
    let within = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    let each = |fields: &Map<String, Value>, into: &mut Vec<(String, String)>| {
        fields.iter().for_each(|(name, value)| flatten(&within(name), value, into));
    };
    match value {
        Value::Object(fields) => each(fields, into),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| flatten(&within(&at.to_string()), item, into));
        }
        Value::String(text) => into.push((prefix.to_owned(), text.clone())),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => into.push((prefix.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_a_table_with_a_line_for_each_number() {
        let json = r#"[
            {"actor": "bus", "state": {"is_up": true, "reason": "", "links": [{"outgoing_bytes": 7}]}},
            {"actor": "hub 0", "error": "no answer within 1000 ms"}
        ]"#;
        let table = table(json);
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "bus",
                "  is_up                   true",
                "  links.0.outgoing_bytes  7",
                "  reason",
                "hub 0: no answer within 1000 ms",
            ]
        );
    }
}
