//! Words: empty documentation, and old names.

use std::collections::BTreeMap;

use super::source::Source;
use super::{none, root, server_code, with_extension};

/// What was called otherwise before, and the word that is used now.
const REPLACED: &[(&str, &str)] = &[
    (concat!("switch", "board"), "hub"),
    (concat!("door", "man"), "admission"),
    (concat!("the hur", "ry"), "the bus"),
    (concat!("presence ", "book"), "presence registry"),
];

/// Parts of names that were replaced. A name is split at `_` and at capitals, so `PresenceBook` has the parts
/// `presence` and `book`.
const REPLACED_PARTS: &[(&str, &str)] = &[
    ("astray", "suspect"),
    ("book", "registry"),
    ("cargo", "payload"),
    ("courier", "dispatcher"),
    ("deaf", "null"),
    ("desk", "shared"),
    ("ear", "listener"),
    ("hearing", "visible"),
    ("hurry", "bus"),
    ("knock", "check"),
    ("mend", "repair"),
    ("parcel", "message"),
    ("parcels", "messages"),
    ("pulse", "heartbeat"),
    ("pulses", "heartbeats"),
    ("stir", "mark stale"),
    ("strike", "remove"),
    ("trouble", "error"),
    ("untold", "unknown"),
];

/// Whether a doc comment of one line tells no more than the item's name.
fn is_empty(doc: &str) -> bool {
    let one_word = !doc.contains(' ') && !doc.is_empty();
    one_word || doc.starts_with("See above") || doc == concat!("See the module's ", "documentation.")
}

/// Lines of documentation that stand alone and are empty.
fn empty_docs(text: &str) -> Vec<usize> {
    let lines: Vec<_> = text.lines().map(|line| line.trim().strip_prefix("///").map(str::trim)).collect();
    let alone = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| lines[before]);
        before.is_none() && lines.get(at + 1).copied().flatten().is_none()
    };
    let empty = |at: &usize| lines[*at].is_some_and(is_empty) && alone(*at);
    (0..lines.len()).filter(empty).map(|at| at + 1).collect()
}

#[test]
fn documentation_says_more_than_the_name() {
    let mut broken = Vec::new();
    for (path, text) in with_extension("src", &["rs"]) {
        broken.extend(empty_docs(&text).into_iter().map(|line| format!("{path}:{line}")));
    }
    none(&broken, "the documentation of an item says what it is in a few words, not in one");
}

#[test]
fn replaced_names_do_not_come_back() {
    let mut broken = Vec::new();
    let folders = ["src", "docs", "web", "tests", "loadtests", "benches", "migrations", "config"];
    let texts =
        folders.iter().flat_map(|folder| with_extension(folder, &["rs", "md", "js", "mjs", "sql", "toml"]));
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            for (old, new) in REPLACED.iter().filter(|(old, _)| line.contains(old)) {
                broken.push(format!("{path}:{}: {old:?}: write {new:?}", index + 1));
            }
        }
    }
    assert!(root().join("docs/GLOSSARY.md").exists(), "the words are explained in docs/GLOSSARY.md");
    none(&broken, "one word for one thing");
}

/// The parts of a name, in lower case: `mark_stale` and `MarkStale` have `mark` and `stale`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && after_lower) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().unwrap().extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
    }
    parts
}

#[test]
fn no_name_uses_a_replaced_word() {
    let mut broken = Vec::new();
    let folders = ["src", "tests", "loadtests", "benches"];
    for (path, text) in folders.iter().flat_map(|folder| with_extension(folder, &["rs"])) {
        for (line, name) in Source::new(&path, &text).names() {
            let parts = parts(name);
            for (old, new) in REPLACED_PARTS.iter().filter(|(old, _)| parts.iter().any(|part| part == old)) {
                broken.push(format!("{path}:{line}: {name}: say {new:?} instead of {old:?}"));
            }
        }
    }
    none(&broken, "names use the words of docs/GLOSSARY.md");
}

#[test]
fn a_public_type_name_has_one_meaning() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in server_code() {
        for (line, name) in source.public_types() {
            places.entry(name.to_owned()).or_default().push(format!("{}:{line}", source.path));
        }
    }
    assert!(places.len() > 100, "only {} public types were found", places.len());
    let twice = places.iter().filter(|(_, at)| at.len() > 1);
    let broken: Vec<String> = twice.map(|(name, at)| format!("{name}: {}", at.join(" "))).collect();
    none(&broken, "two public types of one name make readers look up which is meant: rename one");
}

#[test]
fn names_are_split_at_underscores_and_capitals() {
    assert_eq!(parts("mark_stale2"), ["mark", "stale2"]);
    assert_eq!(parts("PresenceBook"), ["presence", "book"]);
    assert_eq!(parts("LONG_DEAD"), ["long", "dead"]);
}

#[test]
fn empty_documentation_is_told_from_short() {
    let text =
        "/// Which.\na: A,\n/// The user.\nb: B,\n/// One\n/// two.\nc: C,\n    /// See above.\n    d: D,\n";
    assert_eq!(empty_docs(text), [1, 8]);
}
