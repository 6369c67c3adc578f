//! Environment variables that look like settings and are none.

use super::{schema, units};

/// The prefix of variables that are settings.
pub(super) const PREFIX: &str = "TIDINGS__";
/// The prefix of variables that are meant for Tidings.
const OURS: &str = "TIDINGS_";
/// Variables of the scripts, the tests and the build.
const USED_ELSEWHERE: &[&str] = &[
    "TIDINGS_BIN",
    "TIDINGS_COMMIT",
    "TIDINGS_IRC_LOG",
    "TIDINGS_PANIC_POINTS",
    "TIDINGS_SEED",
    "TIDINGS_SERIES_DIR",
];

/// One sentence for each variable that nothing reads, with the one that was probably meant.
pub(super) fn warnings(variables: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let stray = |(name, value): &(String, String)| {
        name.starts_with(OURS) && !USED_ELSEWHERE.contains(&name.as_str()) && !of_kubernetes(name, value)
    };
    let mut names: Vec<String> = variables.into_iter().filter(stray).map(|(name, _)| name).collect();
    names.sort();
    names.iter().map(|name| warning(name)).collect()
}

/// Whether Kubernetes set it. It gives these variables, with the address of a service that is named
/// `tidings`, to every container.
fn of_kubernetes(name: &str, value: &str) -> bool {
    name.starts_with("TIDINGS_SERVICE_") || (name.starts_with("TIDINGS_PORT") && value.starts_with("tcp://"))
}

fn warning(name: &str) -> String {
    let written = name[OURS.len()..].to_lowercase();
    let flat = |key: &str| key.replace('.', "_");
    let keys = schema::keys();
    let names: Vec<String> = keys.iter().map(|key| flat(&key.name)).collect();
    let meant = units::nearest(&written, names.iter().map(String::as_str));
    let known = meant.and_then(|meant| keys.iter().find(|key| flat(&key.name) == meant));
    let remedy = match known {
        Some(key) => format!("did you mean {PREFIX}{}?", key.name.to_uppercase().replace('.', "__")),
        None => format!("settings are named {PREFIX}SECTION__KEY"),
    };
    format!("the environment variable {name} is not used; {remedy}")
}
