//! The settings of a simulated process: those of a fleet, with the plan's own.

use std::path::PathBuf;

use tidings::bounds::Bound;
use tidings::config::{LoadOptions, Settings};

use crate::plan::{Plan, ProcessPlan};

/// The settings of a process.
///
/// # Errors
/// What is wrong with the plan's settings.
pub fn settings(plan: &Plan, process: &ProcessPlan, keys: &[PathBuf]) -> Result<Settings, String> {
    let keys: Vec<String> = keys.iter().map(|key| key.display().to_string()).collect();
    let fixed = [
        ("server.roles", process.roles.clone()),
        ("server.workers", process.workers.max(1).to_string()),
        ("store.backend", "postgres".to_owned()),
        ("store.postgres.url", "postgres://tidings@localhost/tidings".to_owned()),
        ("bus.backend", "redis".to_owned()),
        ("bus.redis.url", "redis://localhost".to_owned()),
        ("bus.mac_key_files", keys.first().cloned().unwrap_or_default()),
        ("auth.key_files", keys.join(",")),
        ("auth.argon2_memory_kib", "64".to_owned()),
        ("auth.argon2_iterations", "1".to_owned()),
        ("conversations.default", String::new()),
        ("auth.guest_days", "0".to_owned()),
    ];
    let mut overrides: Vec<(String, String)> =
        fixed.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    overrides.extend(plan.settings.iter().cloned());
    Settings::load(LoadOptions { file: None, environment: [], overrides })
        .map_err(|errors| errors.to_string())
}

/// The bounds that a plan lowers. A name that the product does not have is left out.
pub fn bounds(plan: &Plan) -> Vec<(Bound, u64)> {
    let known = |name: &str| Bound::ALL.iter().find(|bound| bound.name() == name).copied();
    plan.bounds.iter().filter_map(|(name, to)| Some((known(name)?, *to))).collect()
}
