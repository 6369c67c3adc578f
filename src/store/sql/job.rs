//! A job's row: how it begins, and what a step of it works with. [`super::jobs`] runs the steps.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Connection, Error, Result, Sql, statement, values};
use crate::domain::{Committed, ConversationId, Timestamp};
use crate::store::shared::roster::Roster;
use crate::store::{JobKind, Purged, Step};

/// A job, locked by the transaction of its step.
#[derive(Debug)]
pub(in crate::store) struct Job {
    /// What it is about.
    pub subject: Uuid,
    pub begun_at: Timestamp,
    pub(super) state: String,
}

impl Job {
    /// How far it has come; the default before its first step.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.state).map_err(Error::impossible)
    }

    /// Keeps how far it has come, in the same transaction as what was done.
    pub fn keep(&mut self, state: &impl Serialize) -> Result<()> {
        self.state = serde_json::to_string(state).map_err(Error::unstorable)?;
        Ok(())
    }
}

/// What a step leaves for after its commit.
#[derive(Debug)]
pub(in crate::store) struct Stepped {
    pub step: Step,
    pub committed: Vec<Committed>,
    pub rosters: Vec<(ConversationId, Roster)>,
    pub purged: Option<Purged>,
}

impl From<Step> for Stepped {
    fn from(step: Step) -> Self {
        Self { step, committed: Vec::new(), rosters: Vec::new(), purged: None }
    }
}

const BEGIN: Sql = statement!(
    "INSERT INTO jobs (kind, subject, begun_at, due_at, state) VALUES ($1, $2, $3, $3, '{}') ON CONFLICT DO NOTHING",
);

/// Writes a job that is to be done, once.
pub(in crate::store) async fn begin<C: Connection>(
    connection: &mut C,
    kind: JobKind,
    subject: Uuid,
    now: Timestamp,
) -> Result<()> {
    connection.run(&BEGIN, values![kind.as_str(), subject, now]).await.map(|_| ())
}
