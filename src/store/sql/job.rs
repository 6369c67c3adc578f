//! A job's row: how it is created, and the data of a step. [`super::jobs`] runs the steps.

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
    /// The id of the account or conversation.
    pub subject: Uuid,
    pub begun_at: Timestamp,
    pub(super) state: String,
}

impl Job {
    /// The progress; the default value before the first step.
    pub fn state<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.state).map_err(Error::impossible)
    }

    /// Stores the progress, in the same transaction as the work.
    pub fn keep(&mut self, state: &impl Serialize) -> Result<()> {
        self.state = serde_json::to_string(state).map_err(Error::unstorable)?;
        Ok(())
    }
}

/// The results of a step that are used after its commit.
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

/// Writes a job, once.
pub(in crate::store) async fn begin<C: Connection>(
    connection: &mut C,
    kind: JobKind,
    subject: Uuid,
    now: Timestamp,
) -> Result<()> {
    connection.run(&BEGIN, values![kind.as_str(), subject, now]).await.map(|_| ())
}
