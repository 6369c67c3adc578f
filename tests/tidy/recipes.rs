//! The table "To add X, touch Y" of CONTRIBUTING.md names files that exist and markers that they contain.

use std::fs;

use super::{none, root};

/// What a contributor must find a row for.
const ROWS: &[&str] = &[
    "setting",
    "limit that clients are sent",
    "error code",
    "close",
    "change of a conversation",
    "event kind",
    "frame of a client",
    "frame of the server",
    "REST call",
    "rule of the store",
    "permission",
    "log consumer",
    "metric",
    "rare path",
    "step of the schema",
    "bus message",
];

/// The code spans of a row that name a path of this project, each with the marker that follows it after the
/// word "at".
fn places(row: &str) -> Vec<(&str, Option<&str>)> {
    let spans: Vec<&str> = row.split('`').collect();
    let is_path = |span: &str| {
        ["src/", "tests/", "docs/", "config/", "web/", "clients/", "migrations/", "scripts/"]
            .iter()
            .any(|folder| span.starts_with(folder))
    };
    let mut places = Vec::new();
    for at in (1..spans.len()).step_by(2).filter(|at| is_path(spans[*at])) {
        let marker = (spans.get(at + 1) == Some(&" at ")).then(|| spans.get(at + 2).copied()).flatten();
        places.push((spans[at], marker));
    }
    places
}

#[test]
fn every_recipe_leads_to_a_place_that_exists() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let section = page.split("## To add X, touch Y").nth(1).and_then(|rest| rest.split("\n### ").next());
    let rows: Vec<&str> =
        section.unwrap_or_default().lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut broken = Vec::new();
    for wanted in
        ROWS.iter().filter(|wanted| !rows.iter().any(|row| row.starts_with(&format!("| {wanted} |"))))
    {
        broken.push(format!("there is no row for {wanted}"));
    }
    let mut markers = 0;
    for row in &rows {
        let places = places(row);
        if places.is_empty() {
            broken.push(format!("{row}: names no file"));
        }
        for (path, marker) in places {
            let full = root().join(path);
            if !full.exists() {
                broken.push(format!("{path}: does not exist"));
            } else if let Some(marker) = marker {
                markers += 1;
                let text = fs::read_to_string(&full).unwrap_or_default();
                if !text.contains(marker) {
                    broken.push(format!("{path}: does not contain {marker:?}"));
                }
            }
        }
    }
    assert!(markers > 20, "the table was not understood: {rows:?}");
    none(&broken, "the table of CONTRIBUTING.md must lead to the code");
}
