//! The keys that exist, their order and their types: all read off the built-in `config/default.toml`.

use std::sync::LazyLock;

use ::config::{File, FileFormat, Source, Value, ValueKind};

use super::units;

/// The built-in defaults, which are also the reference that operators read.
pub(super) const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Keys whose values are never shown.
const SECRET_KEYS: &[&str] = &[
    "store.postgres.url",
    "store.postgres.read_urls",
    "store.postgres.tail_url",
    "bus.redis.url",
    "bus.redis.sentinels",
];

/// The kind of value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    Switch,
    Text,
    List,
}

/// One key that can be set.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The full name, e.g. `store.sqlite.readers`.
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) default: Value,
    /// The comment above it in the built-in file, line by line; it may speak of the keys below it as well.
    pub(super) explanation: Vec<&'static str>,
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let table = File::from_str(DEFAULT_TOML, FileFormat::Toml)
        .collect()
        .unwrap_or_else(|error| unreachable!("the built-in default.toml parses: {error}"));
    let lines = file_lines();
    let mut keys = Vec::new();
    flatten("", Value::new(None, table), &mut |name, default| {
        if let Some(shape) = shape_of(&default.kind) {
            let written = lines.iter().find(|(written, _)| *written == name);
            let explanation = written.map(|(_, above)| above.clone()).unwrap_or_default();
            keys.push(Key { name, shape, default, explanation });
        }
    });
    keys.sort_by_key(|key| lines.iter().position(|(name, _)| *name == key.name));
    keys
});

/// Every key, in the order of the file.
pub(super) fn keys() -> &'static [Key] {
    &KEYS
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

pub(super) fn is_secret(name: &str) -> bool {
    SECRET_KEYS.contains(&name)
}

/// Why `name` is no key, and which one was probably meant.
pub(super) fn unknown(name: &str) -> String {
    let names = || KEYS.iter().map(|key| key.name.as_str());
    let last = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    let misplaced = || names().find(|known| last(known) == last(name));
    match misplaced().or_else(|| units::nearest(name, names())) {
        Some(known) => format!("there is no such key; did you mean {known}?"),
        None => "there is no such key; `tidings config default` lists them all".to_owned(),
    }
}

/// Calls `leaf` with the full name of every value that is no table.
pub(super) fn flatten(prefix: &str, value: Value, leaf: &mut impl FnMut(String, Value)) {
    match value.kind {
        ValueKind::Table(table) => {
            for (name, inner) in table {
                let full = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&full, inner, leaf);
            }
        }
        _ => leaf(prefix.to_owned(), value),
    }
}

fn shape_of(kind: &ValueKind) -> Option<Shape> {
    match kind {
        ValueKind::I64(_) | ValueKind::U64(_) => Some(Shape::Whole),
        ValueKind::Boolean(_) => Some(Shape::Switch),
        ValueKind::String(_) => Some(Shape::Text),
        ValueKind::Array(_) => Some(Shape::List),
        _ => None,
    }
}

/// The parser keeps neither order nor comments, so names and the comments above them are listed by a scan of
/// the file's plain `[section]`, `# comment` and `key = value` lines.
fn file_lines() -> Vec<(String, Vec<&'static str>)> {
    let (mut section, mut above) = ("", Vec::new());
    let mut found = Vec::new();
    for line in DEFAULT_TOML.lines() {
        if line.starts_with('#') {
            above.push(line);
        } else if let Some((name, _)) = line.split_once(" = ") {
            found.push((format!("{section}.{name}"), std::mem::take(&mut above)));
        } else {
            above.clear();
            section = line.strip_prefix('[').map_or(section, |name| name.trim_end_matches(']'));
        }
    }
    found
}
