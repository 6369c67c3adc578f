//! The list of rare paths and the marks in the code are the same: a path without a mark is never reached, and
//! a mark without a path would not be counted.

use std::collections::{BTreeMap, BTreeSet};

use tidings::rare::RarePath;

use super::{none, server_code};

/// So many are listed at least. A list that loses its paths would make every long run pass.
const FEWEST: usize = 60;

#[test]
fn every_rare_path_is_marked_in_the_code() {
    let listed: BTreeSet<&str> = RarePath::ALL.iter().map(|path| path.name()).collect();
    assert!(listed.len() >= FEWEST, "only {} rare paths are listed in src/rare.rs", listed.len());
    let mut marked: BTreeMap<String, String> = BTreeMap::new();
    for source in server_code().iter().filter(|source| source.path != "src/rare.rs") {
        for (line, name) in source.first_arguments("rare!(") {
            marked.insert(name.to_owned(), format!("{}:{line}", source.path));
        }
    }
    let mut broken = Vec::new();
    for name in listed.iter().filter(|name| !marked.contains_key(**name)) {
        broken.push(format!("{name}: no code has rare!({name}); mark the branch, or take it off the list"));
    }
    for (name, at) in marked.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
        broken.push(format!("{at}: {name} is not in the list of src/rare.rs"));
    }
    none(&broken, "src/rare.rs lists exactly the rare paths that the code marks");
}
