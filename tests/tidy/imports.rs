//! Which modules may import which: between parts by a table, and within a part without cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;
use super::{none, server_code};

/// Who may import what. A part not named here may not exist; what it does not name it may not import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("environment", &["domain"]),
    ("panics", &[]),
    // Every part may use their macros, which need no import.
    ("bounds", &[]),
    ("rare", &[]),
    ("rate_limit", &["panics", "domain", "environment", "protocol"]),
    ("config", &["domain"]),
    ("telemetry", &["config", "domain", "protocol"]),
    ("protocol", &["domain"]),
    ("store", &["domain", "protocol"]),
    ("store/guarded", &["store", "domain", "environment", "telemetry"]),
    ("store/sqlite", &["panics", "store", "domain", "environment", "telemetry", "config"]),
    ("store/pooled", &["panics", "store", "domain", "environment", "telemetry"]),
    (
        "store/model",
        &["panics", "store", "store/pooled", "store/sqlite", "domain", "environment", "telemetry"],
    ),
    ("store/postgres", &["panics", "store", "store/pooled", "domain", "environment", "telemetry", "config"]),
    ("bus", &["panics", "domain"]),
    ("bus/local", &["panics", "bus", "domain", "environment", "telemetry"]),
    ("bus/redis", &["panics", "bus", "domain", "environment", "telemetry", "config"]),
    ("audit", &["panics", "domain", "environment", "store", "telemetry"]),
    (
        "identity",
        &[
            "panics",
            "audit",
            "domain",
            "environment",
            "protocol",
            "rate_limit",
            "store",
            "config",
            "telemetry",
        ],
    ),
    (
        "actors",
        &[
            "panics",
            "audit",
            "domain",
            "environment",
            "protocol",
            "rate_limit",
            "store",
            "bus",
            "telemetry",
            "config",
            "identity",
        ],
    ),
    (
        "gateway",
        &[
            "panics",
            "actors",
            "domain",
            "environment",
            "protocol",
            "rate_limit",
            "store",
            "bus",
            "telemetry",
            "config",
            "identity",
        ],
    ),
    (
        "api",
        &[
            "panics",
            "actors",
            "domain",
            "environment",
            "protocol",
            "rate_limit",
            "store",
            "bus",
            "telemetry",
            "config",
            "identity",
        ],
    ),
    (
        "consumers",
        &[
            "panics",
            "actors",
            "domain",
            "environment",
            "protocol",
            "rate_limit",
            "store",
            "bus",
            "telemetry",
            "config",
            "identity",
        ],
    ),
];

/// Parts that may import everything: `app` wires it all up, `main` is the command line.
const MAY_IMPORT_ALL: &[&str] = &["app", "main"];

/// The part that a module path (`["store", "sqlite", "log"]`) belongs to: the longest name in the table that
/// begins it.
fn part_of(modules: &[String]) -> String {
    let first = modules.first().cloned().unwrap_or_default();
    let two = modules.iter().take(2).cloned().collect::<Vec<_>>().join("/");
    if MAY_IMPORT.iter().any(|(part, _)| *part == two) { two } else { first }
}

#[test]
fn imports_follow_the_table() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for source in server_code() {
        let part = part_of(&source.modules());
        if source.path == "src/lib.rs" || MAY_IMPORT_ALL.contains(&part.as_str()) {
            continue;
        }
        let Some(allowed) = table.get(part.as_str()) else {
            broken.push(format!(
                "{}: the part {part:?} is not in the table; say what it may import",
                source.path
            ));
            continue;
        };
        for (line, path) in source.crate_paths() {
            let target = part_of(&path);
            if target != part && !allowed.contains(&target.as_str()) {
                broken.push(format!(
                    "{}:{line}: {part} may not import {target} (crate::{})",
                    source.path,
                    path.join("::")
                ));
            }
        }
        for line in source.lines_with("super::super") {
            broken.push(format!(
                "{}:{line}: name the path from `crate::` instead of super::super",
                source.path
            ));
        }
    }
    none(&broken, "imports point one way (the table is in tests/tidy/imports.rs)");
}

/// The groups of nodes that can all reach each other; those of one node are left out.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            open.extend(edges.get(at).into_iter().flatten().filter(|next| seen.insert((*next).clone())));
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|from| (from, reach(from))).collect();
    let mutual = |one: &String| {
        let back = |other: &&String| reached.get(other).is_some_and(|theirs| theirs.contains(one));
        reached[one].iter().filter(back).cloned().collect::<Vec<_>>()
    };
    let found: BTreeSet<Vec<String>> = edges.keys().map(mutual).filter(|circle| circle.len() > 1).collect();
    found.into_iter().collect()
}

#[test]
fn modules_do_not_import_in_circles() {
    let sources = server_code();
    let modules: BTreeSet<Vec<String>> = sources.iter().map(Source::modules).collect();
    let module_of = |path: &[String]| {
        (1..=path.len()).rev().find(|n| modules.contains(&path[..*n])).map(|n| path[..n].to_vec())
    };
    // For each folder: which of the modules right below it names which other one.
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for source in &sources {
        let own = source.modules();
        for target in source.own_paths().iter().filter_map(|path| module_of(path)) {
            let depth = own.iter().zip(&target).take_while(|(one, other)| one == other).count();
            // A folder's own `mod.rs` puts its modules together and may name all of them.
            if let (Some(from), Some(to)) = (own.get(depth), target.get(depth)) {
                let edges = folders.entry(own[..depth].join("/")).or_default();
                edges.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (folder, edges) in folders.iter().filter(|(folder, _)| !folder.is_empty()) {
        found.extend(circles(edges).iter().map(|circle| format!("{folder}: {}", circle.join(" "))));
    }
    none(&found, "a circle ends by moving the type that causes it");

    let table = MAY_IMPORT.iter().map(|(part, allowed)| {
        ((*part).to_owned(), allowed.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
    });
    let between: Vec<String> = circles(&table.collect()).iter().map(|circle| circle.join(" ")).collect();
    none(&between, "the table itself has no circle");
}

#[test]
fn circles_are_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")];
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in edges {
        graph.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    assert_eq!(circles(&graph), [["b", "c"]]);
}
