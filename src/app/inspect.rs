//! `tidings inspect`: asks a running process on this machine, by its internal address, for the state of its
//! actors.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::{CallError, call};
use crate::config::Settings;

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
/// [`CallError`].
pub async fn inspect(settings: &Settings) -> Result<String, CallError> {
    ask(settings, "/inspect").await
}

/// Asks for any path of the internal address.
pub(super) async fn ask(settings: &Settings, path: &str) -> Result<String, CallError> {
    Ok(call(settings, Method::GET, path, &[], None).await?.text)
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
