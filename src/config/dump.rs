//! Settings as an operator would write them.

use ::config::ValueKind;

use super::layers::Tree;
use super::schema::{self, Key};

/// TOML with the origin of each value in a comment. Secrets that are set read `(hidden)`, so that the text
/// can be shown around. `explain`: with the built-in file's explanation above each key.
pub(super) fn dump(tree: &Tree, explain: bool) -> String {
    let mut text = String::new();
    let mut current = "";
    for key in schema::keys() {
        let (section, name) = key.name.rsplit_once('.').unwrap_or(("", &key.name));
        if section != current {
            let gap = if current.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{section}]\n"));
            current = section;
        }
        for line in key.explanation.iter().filter(|_| explain) {
            text.push_str(&format!("{line}\n"));
        }
        let origin = tree.origin(&key.name).unwrap_or_default();
        text.push_str(&format!("{name} = {}  # {origin}\n", shown(tree, key)));
    }
    text
}

fn shown(tree: &Tree, key: &Key) -> String {
    let kind = tree.get(&key.name).map_or(&key.default.kind, |value| &value.kind);
    let empty = match kind {
        ValueKind::String(text) => text.is_empty(),
        ValueKind::Array(items) => items.is_empty(),
        _ => false,
    };
    if schema::is_secret(&key.name) && !empty { "\"(hidden)\"".to_owned() } else { toml(kind) }
}

fn toml(kind: &ValueKind) -> String {
    match kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| toml(&item.kind)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}
