//! Words: documentation that says something, and names that were replaced.

use std::collections::BTreeMap;

use super::{none, root, with_extension};

/// Parts of `src` that still have items whose whole documentation is one word or a pointer elsewhere, and how many at most.
/// Numbers only fall; a part that has none is taken off.
const STILL_EMPTY: &[(&str, usize)] = &[("gateway", 11)];

/// What was called otherwise before, and the word that is used now.
const REPLACED: &[(&str, &str)] = &[
    (concat!("switch", "board"), "hub"),
    (concat!("door", "man"), "admission"),
    (concat!("the hur", "ry"), "the bus"),
    (concat!("hand on the ", "book"), "handle to the presence book"),
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
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in with_extension("src", &["rs"]) {
        let part = path.split('/').nth(1).unwrap_or_default().to_owned();
        let places = empty_docs(&text).into_iter().map(|line| format!("{path}:{line}"));
        found.entry(part).or_default().extend(places);
    }
    let mut broken = Vec::new();
    for (part, places) in &found {
        let allowed = STILL_EMPTY.iter().find(|(known, _)| known == part).map_or(0, |(_, most)| *most);
        if places.len() > allowed {
            broken.push(format!("{part}: {}, at most {allowed}: {}", places.len(), places.join(" ")));
        }
    }
    for (part, _) in STILL_EMPTY {
        if found.get(*part).is_none_or(Vec::is_empty) {
            broken.push(format!("{part}: has none any more; take it off STILL_EMPTY"));
        }
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

#[test]
fn empty_documentation_is_told_from_short() {
    let text =
        "/// Which.\na: A,\n/// The user.\nb: B,\n/// One\n/// two.\nc: C,\n    /// See above.\n    d: D,\n";
    assert_eq!(empty_docs(text), [1, 8]);
}
