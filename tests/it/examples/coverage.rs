//! What the page's tables promise, and what no example shows.

use std::collections::BTreeSet;

use super::page::{Block, Kind, Way};

/// Codes that no example can show, each with where they are tested instead.
const TESTED_ELSEWHERE: &[(&str, &str)] = &[
    ("server lagging", "tests/it/lagging.rs: takes megabytes that nobody reads"),
    ("error overloaded", "tests/it/doors.rs: takes a dependency that hangs"),
    ("error second_factor_needed", "tests/api/second_factor.rs: takes an authenticator app"),
    ("error suspended", "tests/it/operators.rs: takes an operator"),
    ("close 1002", "tests/it/rfc6455.rs: broken framing needs raw bytes"),
    ("close 1007", "tests/it/rfc6455/utf8.rs: no client library sends text that is not UTF-8"),
    ("close 1011", "a fault of the server, or its database away"),
    ("close 1013", "tests/it/doors.rs: takes a dependency that hangs"),
    ("close 4429", "tests/it/bad_input/state.rs: takes hundreds of sends"),
];

/// Everything in the page's tables that no example shows.
pub fn missing(text: &str, blocks: &[Block]) -> Vec<String> {
    let shown = shown(blocks);
    let mut promised = BTreeSet::new();
    for name in first_cells(text, "### 1.1 ", "\n### ") {
        promised.extend(names(&name).map(|name| format!("client {name}")));
    }
    for name in first_cells(text, "### 1.2 ", "\n### ") {
        promised.extend(names(&name).map(|name| format!("server {name}")));
    }
    for name in first_cells(text, "### 1.3 ", "\n### ") {
        promised.extend(names(&name).map(|name| format!("kind {name}")));
    }
    for name in first_cells(text, "<!-- errors -->", "<!-- end -->") {
        promised.extend(names(&name).map(|name| format!("error {name}")));
    }
    for name in first_cells(text, "<!-- closes -->", "<!-- end -->") {
        promised.extend(names(&name).map(|code| format!("close {code}")));
    }
    for cell in first_cells(text, "## 2. REST", "\n## ") {
        promised.extend(calls(&cell));
    }
    assert!(promised.len() > 90, "the tables were not found: {promised:?}");
    let excused = |what: &&String| !TESTED_ELSEWHERE.iter().any(|(known, _)| known == what);
    promised.difference(&shown).filter(excused).cloned().collect()
}

/// The first cells of a section's tables, those that begin with code.
fn first_cells(text: &str, from: &str, to: &str) -> Vec<String> {
    let section = text.split(from).nth(1).and_then(|rest| rest.split(to).next()).unwrap_or_default();
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split(" | ").next()?.to_owned());
    section.lines().filter_map(cell).map(|cell| format!("`{cell}")).collect()
}

/// The code words of a cell.
fn names(cell: &str) -> impl Iterator<Item = String> {
    let odd = cell.split('`').skip(1).step_by(2);
    odd.filter(|name| *name != "type" && *name != "kind").map(str::to_owned)
}

/// The calls of a cell: methods apply to the paths after them.
fn calls(cell: &str) -> Vec<String> {
    let (mut methods, mut calls, mut ended) = (Vec::new(), Vec::new(), false);
    for word in cell.split(['`', ' ', ',', '·']).filter(|word| !word.is_empty()) {
        if word.bytes().all(|byte| byte.is_ascii_uppercase()) {
            if ended {
                methods.clear();
            }
            methods.push(word);
            ended = false;
        } else {
            let path = word.replace('…', "/v1/conversations/{id}");
            calls.extend(methods.iter().map(|method| call(method, &path)));
            ended = true;
        }
    }
    calls
}

/// A call with its path's parameters written alike.
fn call(method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let parameter = |at: usize, part: &str| {
        let named = part.starts_with(['{', '<']);
        // What follows these names is a parameter, written out in an example.
        let follows = at > 0 && ["messages", "reactions", "users", "blocks"].contains(&parts[at - 1]);
        if named || follows { "{}".to_owned() } else { part.to_owned() }
    };
    let parts: Vec<String> = parts.iter().enumerate().map(|(at, part)| parameter(at, part)).collect();
    format!("call {method} {}", parts.join("/"))
}

fn shown(blocks: &[Block]) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    for (block, line) in blocks.iter().flat_map(|block| block.lines.iter().map(move |line| (block, line))) {
        let text = &line.text[..];
        match (block.kind, line.way) {
            (Kind::Session, Way::Sent) => {
                shown.extend(values(text, "type").map(|name| format!("client {name}")));
            }
            (Kind::Session, Way::Received) => {
                shown.extend(values(text, "type").map(|name| format!("server {name}")));
                shown.extend(text.strip_prefix("close ").map(|code| format!("close {code}")));
            }
            (Kind::Http, Way::Sent) => {
                shown.extend(text.split_once(' ').map(|(method, path)| call(method, path)));
            }
            (_, Way::Happens | Way::Received) => {}
        }
        if line.way == Way::Received {
            shown.extend(values(text, "kind").map(|name| format!("kind {name}")));
            shown.extend(values(text, "code").map(|name| format!("error {name}")));
        }
    }
    shown
}

/// The string values of a field wherever it stands in the text.
fn values<'a>(text: &'a str, field: &str) -> impl Iterator<Item = &'a str> {
    let mark = format!("\"{field}\": \"");
    let starts: Vec<usize> = text.match_indices(&mark).map(|(at, _)| at + mark.len()).collect();
    starts.into_iter().filter_map(|at| text[at..].split('"').next())
}
