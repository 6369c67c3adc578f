//! Rules that no compiler checks: imports, lengths of files, and the truth of the docs.
//!
//! All checks read the tree as text. A violation is reported with the file, the line and the remedy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/metrics.rs"]
mod metrics;
#[path = "tidy/rare.rs"]
mod rare;
#[path = "tidy/recipes.rs"]
mod recipes;
#[path = "tidy/security.rs"]
mod security;
#[path = "tidy/settings.rs"]
mod settings;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use source::Source;

/// Files over the limit of lines, each with the reason why it has only one reason to change.
const LONG_FILES: &[(&str, &str)] = &[
    ("tests/browser/sdk.test.mjs", "the protocol module's behaviour, case by case"),
    ("clients/js/tidings.js", "one module without DOM and without imports: what another client takes along"),
];
const MOST_LINES: usize = 400;

/// Crates that are depended on without being named in code, each with the reason.
const USED_UNNAMED: &[(&str, &str)] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files of the project below `folder`, build output and data left out, as paths from the root.
fn files(folder: &str) -> Vec<PathBuf> {
    const NOT_OURS: &[&str] = &[".git", "target", "data", "artefacts", "node_modules"];
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn with_extension(folder: &str, extensions: &[&str]) -> Vec<(String, String)> {
    let wanted =
        |path: &PathBuf| path.extension().is_some_and(|own| extensions.iter().any(|known| own == *known));
    let read = |path: PathBuf| (path.display().to_string(), fs::read_to_string(root().join(&path)).unwrap());
    files(folder).into_iter().filter(wanted).map(read).collect()
}

/// The server's own code, without its tests.
fn server_code() -> Vec<Source> {
    let texts = with_extension("src", &["rs"]);
    let tests: Vec<String> = texts.iter().flat_map(|(path, text)| source::test_files(path, text)).collect();
    let sources: Vec<Source> = texts
        .iter()
        .filter(|(path, _)| !tests.contains(path))
        .filter_map(|(path, text)| Source::outside_tests(path, text))
        .collect();
    assert!(sources.len() > 10, "the tree was not found: only {} files in src/", sources.len());
    sources
}

fn none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}\n", broken.join("\n  "));
}

/// The most columns of a line of comment, in `.rs` files.
const COMMENT_COLUMNS: usize = 110;

#[test]
fn comments_fit_the_page() {
    let mut broken = Vec::new();
    let folders = ["src", "tests", "loadtests", "benches"];
    let texts = folders.iter().flat_map(|folder| with_extension(folder, &["rs"]));
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            let whole = line.trim_start().starts_with("//");
            // An address, a drawing or a row of a table cannot be broken.
            let breaks =
                !line.contains("://") && !line.contains(['│', '─', '▶', '→']) && !line.contains("//! |");
            if whole && breaks && line.chars().count() > COMMENT_COLUMNS {
                broken.push(format!("{path}:{}: {} columns", index + 1, line.chars().count()));
            }
        }
    }
    none(&broken, "a line of comment has at most 110 columns");
}

#[test]
fn no_file_outgrows_its_reason() {
    let mut broken = Vec::new();
    let folders = ["src", "tests", "loadtests", "web", "clients", "benches"];
    for (path, text) in folders.iter().flat_map(|folder| with_extension(folder, &["rs", "js", "mjs"])) {
        let lines = text.lines().count();
        let excused = LONG_FILES.iter().any(|(long, _)| *long == path);
        if lines > MOST_LINES && !excused {
            broken.push(format!("{path}: {lines} lines; what second reason to change moved in?"));
        } else if excused && lines <= MOST_LINES {
            broken.push(format!("{path}: {lines} lines; take it off LONG_FILES"));
        }
    }
    none(&broken, "a file has one reason to change, and at most 400 lines");
}

#[test]
fn a_panic_in_the_server_is_explained() {
    let mut broken = Vec::new();
    for source in server_code() {
        for pattern in [".unwrap()", ".expect(", "panic!("] {
            for line in source.lines_with(pattern) {
                if !source.has_comment_near(line) {
                    broken.push(format!(
                        "{}:{line}: {pattern} without a comment that says why it cannot happen",
                        source.path
                    ));
                }
            }
        }
    }
    none(
        &broken,
        "outside tests an error is handled, or a comment within the four lines above says why it cannot be",
    );
}

#[test]
fn metrics_are_named_in_the_catalogue_only() {
    let mut broken = Vec::new();
    for source in server_code().iter().filter(|source| source.path != "src/telemetry/metrics.rs") {
        let path = &source.path;
        for metric in tidings::telemetry::metrics::ALL {
            if source.text.contains(&format!("\"{}\"", metric.name)) {
                broken.push(format!("{path}: writes the name {} again", metric.name));
            }
        }
        if !path.ends_with("telemetry/definition.rs") {
            for wanted in ["counter!(", "gauge!(", "histogram!("] {
                let described = |line: &&usize| source.line(**line).contains("describe_");
                for line in source.lines_with(wanted).iter().filter(|line| !described(line)) {
                    broken.push(format!(
                        "{path}:{line}: {wanted} looks up by name; take a handle from telemetry::Meters"
                    ));
                }
            }
        }
    }
    none(&broken, "a metric's name is written once, in src/telemetry/metrics.rs");
}

#[test]
fn nothing_names_a_machine() {
    // Written in halves so that this file does not break its own rule.
    let personal =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut broken = Vec::new();
    for path in files("") {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if let Some(found) = personal.iter().find(|part| line.contains(**part)) {
                broken.push(format!("{}:{}: {found}", path.display(), index + 1));
            }
        }
    }
    none(&broken, "paths of one machine do not belong into the tree");
}

#[test]
fn docs_and_comments_name_paths_that_exist() {
    const TOPS: &[&str] = &[
        "src/",
        "docs/",
        "config/",
        "tests/",
        "scripts/",
        "k8s/",
        "loadtests/",
        "web/",
        "clients/",
        "migrations/",
        "benches/",
        ".github/",
    ];
    let pages = with_extension("", &["md"]);
    for page in ["CONTRIBUTING.md", "docs/GLOSSARY.md", ".github/PULL_REQUEST_TEMPLATE.md"] {
        assert!(pages.iter().any(|(path, _)| path == page), "{page} is not among the pages that are read");
    }
    let mut broken = Vec::new();
    for (path, text) in with_extension("", &["md", "rs", "toml", "mjs", "js"]) {
        for (index, line) in text.lines().enumerate() {
            // Code may build paths of its own; only prose makes promises.
            let prose = if path.ends_with(".md") { line } else { source::comment_of(line) };
            for word in prose.split(|c: char| c.is_whitespace() || "`()[]<>\"',;|".contains(c)) {
                let word = word.trim_end_matches(['.', ':', '/']);
                let word = word.split_once('#').map_or(word, |(file, _)| file);
                let is_path =
                    TOPS.iter().any(|top| word.starts_with(top)) && !word.contains(['*', '{', '…', '$', '=']);
                if is_path && !word.contains("NNNN") && !root().join(word).exists() {
                    broken.push(format!("{path}:{}: {word}", index + 1));
                }
            }
        }
    }
    none(&broken, "docs and comments name only what exists");
}

#[test]
fn every_decision_says_why() {
    let mut numbers = BTreeSet::new();
    let mut broken = Vec::new();
    for (path, text) in with_extension("docs/adr", &["md"]) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let number = name.split_once('-').map(|(number, _)| number).filter(|number| number.len() == 4);
        match number.and_then(|number| number.parse::<u32>().ok()) {
            Some(number) if numbers.insert(number) => {}
            Some(_) => broken.push(format!("{path}: its number is taken")),
            None => broken.push(format!("{path}: is not named NNNN-title.md")),
        }
        for heading in ["## Context", "## Decision", "## Consequences"] {
            if !text.lines().any(|line| line == heading) {
                broken.push(format!("{path}: lacks {heading:?}"));
            }
        }
    }
    assert!(!numbers.is_empty(), "docs/adr holds no decisions");
    none(&broken, "a decision record has a number, context, decision and consequences");
}

#[test]
fn every_dependency_is_used() {
    let packages =
        [("Cargo.toml", ["src", "tests", "benches"].as_slice()), ("loadtests/Cargo.toml", &["loadtests"])];
    let mut broken = Vec::new();
    for (manifest, folders) in packages {
        let code: Vec<Source> = folders
            .iter()
            .flat_map(|folder| with_extension(folder, &["rs"]))
            .map(|(path, text)| Source::new(&path, &text))
            .collect();
        let names = source::dependencies(&fs::read_to_string(root().join(manifest)).unwrap());
        assert!(names.len() > 5, "{manifest} was not understood");
        for name in names {
            let ident = name.replace('-', "_");
            let excused = USED_UNNAMED.iter().any(|(known, _)| *known == name);
            if !excused && !code.iter().any(|source| source.names_crate(&ident)) {
                broken.push(format!("{manifest}: {name}"));
            }
        }
    }
    none(&broken, "a dependency that no code names is a dependency to remove");
}
