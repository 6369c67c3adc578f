//! The lists of rare paths and of bounds, and their marks in the code, are the same: a path without a mark is
//! never reached, and a bound without a mark is never lowered.

use std::collections::{BTreeMap, BTreeSet};

use tidings::bounds::Bound;
use tidings::rare::RarePath;

use super::{none, server_code};

/// So many are listed at least. A list that loses its paths would make every long run pass.
const FEWEST: usize = 60;

#[test]
fn every_rare_path_is_marked_in_the_code() {
    let listed: BTreeSet<&str> = RarePath::ALL.iter().map(|path| path.name()).collect();
    assert!(listed.len() >= FEWEST, "only {} rare paths are listed in src/rare.rs", listed.len());
    let broken = differences(&listed, "rare!", "src/rare.rs");
    none(&broken, "src/rare.rs lists exactly the rare paths that the code marks");
}

#[test]
fn every_bound_is_marked_in_the_code() {
    let listed: BTreeSet<&str> = Bound::ALL.iter().map(|bound| bound.name()).collect();
    let broken = differences(&listed, "bound!", "src/bounds.rs");
    none(&broken, "src/bounds.rs lists exactly the bounds that the code marks");
}

/// Names of a list in `file` that no code marks with `mark`, and marks that are not in the list.
fn differences(listed: &BTreeSet<&str>, mark: &str, file: &str) -> Vec<String> {
    let mut marked: BTreeMap<String, String> = BTreeMap::new();
    for source in server_code().iter().filter(|source| source.path != file) {
        for (line, name) in source.first_arguments(&format!("{mark}(")) {
            marked.insert(name.to_owned(), format!("{}:{line}", source.path));
        }
    }
    let mut broken = Vec::new();
    for name in listed.iter().filter(|name| !marked.contains_key(**name)) {
        broken.push(format!("{name}: no code has {mark}({name}); mark the place, or take it off the list"));
    }
    for (name, at) in marked.iter().filter(|(name, _)| !listed.contains(name.as_str())) {
        broken.push(format!("{at}: {name} is not in the list of {file}"));
    }
    broken
}
