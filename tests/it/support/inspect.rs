//! Reads the inspected state of a server, and waits for a state.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::DEADLINE;
use super::rest::Rest;

/// Between two looks.
const AGAIN: Duration = Duration::from_millis(20);

/// The state of each part, as the internal address gives it.
pub struct Inspected(Vec<Value>);

impl Inspected {
    /// As it is now.
    pub async fn now(rest: &Rest) -> Self {
        match rest.internal("/inspect").await.ok() {
            Value::Array(parts) => Self(parts),
            other => panic!("no list of parts: {other}"),
        }
    }

    /// Waits until the parts are as `wanted`; panics with what they are instead.
    pub async fn until(rest: &Rest, what: &str, wanted: impl Fn(&Self) -> bool) -> Self {
        let mut last = Self::now(rest).await;
        let reached = async {
            while !wanted(&last) {
                tokio::time::sleep(AGAIN).await;
                last = Self::now(rest).await;
            }
        };
        let reached = timeout(DEADLINE, reached).await.is_ok();
        assert!(reached, "never {what}: {last}");
        last
    }

    /// The state of one part; null where there is none.
    pub fn of(&self, part: &str) -> &Value {
        self.0.iter().find(|one| one["actor"] == part).map_or(&Value::Null, |one| &one["state"])
    }

    /// A number of all parts whose names begin so, together.
    pub fn sum(&self, parts: &str, field: &str) -> u64 {
        let named = |one: &&Value| one["actor"].as_str().is_some_and(|name| name.starts_with(parts));
        self.0.iter().filter(named).map(|one| one["state"][field].as_u64().unwrap_or(0)).sum()
    }

    /// The parts that did not answer.
    pub fn silent(&self) -> Vec<&Value> {
        self.0.iter().filter(|one| one.get("error").is_some()).collect()
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| writeln!(f, "{part}"))
    }
}
