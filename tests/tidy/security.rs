//! The threat model names tests that exist.

use std::fs;

use super::{none, root};

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let page = fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let (mut named, mut broken) = (0, Vec::new());
    for span in page.split('`').skip(1).step_by(2) {
        let Some((file, test)) = span.split_once(".rs: ") else { continue };
        named += 1;
        let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
        if !text.contains(&format!("fn {test}(")) {
            broken.push(span.to_owned());
        }
    }
    assert!(named > 15, "the page names only {named} tests");
    none(&broken, "docs/SECURITY.md names tests that are not there");
}
