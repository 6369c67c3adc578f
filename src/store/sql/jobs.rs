//! Jobs: one row each, and the transaction of a step.
//!
//! To add a kind of job: a variant of [`JobKind`], a `step` in the file of its rules, its line in [`step`]
//! below, and [`super::job::begin`] in the transaction that makes the job necessary.

use async_trait::async_trait;
use uuid::Uuid;

use super::erasure::Scope;
use super::job::{Job, Stepped};
use super::journal::Recorder;
use super::{
    Backend, Connection, Decision, Result, Sql, erasure, guests, purge, statement, unrefused, values,
};
use crate::domain::Timestamp;
use crate::store::shared::columns::Columns;
use crate::store::{Backlog, JobKind, Jobs, Step, StoreError, Worked};

/// The time for which a job waits after a step that must wait or has failed; other jobs of the kind run
/// first.
const LATER_MS: i64 = 200;
const FAILED_MS: i64 = 5_000;

const PICK: Sql =
    statement!("SELECT subject FROM jobs WHERE kind = $1 AND due_at <= $2 ORDER BY due_at, subject LIMIT 1");

async fn pick<C: Connection>(connection: &mut C, kind: JobKind, now: Timestamp) -> Result<Option<Uuid>> {
    let row = connection.optional(&PICK, values![kind.as_str(), now]).await?;
    row.map(|row| row.uuid(0)).transpose()
}

const LOCK: Sql = statement!("SELECT begun_at, state FROM jobs WHERE kind = $1 AND subject = $2 {lock}");
const KEEP: Sql = statement!("UPDATE jobs SET state = $3, due_at = $4 WHERE kind = $1 AND subject = $2");
const END: Sql = statement!("DELETE FROM jobs WHERE kind = $1 AND subject = $2");

/// Runs one step of one job in the caller's transaction, and returns its progress.
async fn step<C: Connection + Recorder>(
    connection: &mut C,
    kind: JobKind,
    subject: Uuid,
    now: Timestamp,
) -> Decision<Stepped> {
    let row = connection.optional(&LOCK, values![kind.as_str(), subject]).await?;
    // Another holder has finished the job.
    let Some(row) = row else {
        rare!(JobFinishedByAnother);
        return Ok(Step::More.into());
    };
    let mut job = Job { subject, begun_at: row.time(0)?, state: row.text(1)? };
    let stepped = match kind {
        JobKind::Erasure => erasure::step(connection, &mut job, Scope::Account, now).await?,
        JobKind::Content => erasure::step(connection, &mut job, Scope::Content, now).await?,
        JobKind::Guests => guests::step(connection, &mut job, now).await?,
        JobKind::Purge => purge::step(connection, &mut job).await?,
    };
    match stepped.step {
        Step::Done => connection.run(&END, values![kind.as_str(), subject]).await?,
        Step::More | Step::Idle => {
            connection.run(&KEEP, values![kind.as_str(), subject, job.state.as_str(), now]).await?
        }
        Step::Later => {
            let due = now.plus_ms(LATER_MS);
            connection.run(&KEEP, values![kind.as_str(), subject, job.state.as_str(), due]).await?
        }
    };
    Ok(stepped)
}

const PUT_OFF: Sql = statement!("UPDATE jobs SET due_at = $3 WHERE kind = $1 AND subject = $2");

async fn put_off<C: Connection>(
    connection: &mut C,
    kind: JobKind,
    subject: Uuid,
    until: Timestamp,
) -> Result<()> {
    connection.run(&PUT_OFF, values![kind.as_str(), subject, until]).await.map(|_| ())
}

const BACKLOG: Sql = statement!("SELECT count(*), min(begun_at) FROM jobs WHERE kind = $1");

async fn backlog<C: Connection>(connection: &mut C, kind: JobKind) -> Result<Backlog> {
    let row = connection.one(&BACKLOG, values![kind.as_str()]).await?;
    Ok(Backlog { jobs: row.count(0)?, oldest: row.int_or_null(1)?.map(Timestamp::from_unix_ms) })
}

#[async_trait]
impl<B: Backend> Jobs for B {
    async fn work(&self, kind: JobKind, now: Timestamp) -> std::result::Result<Worked, StoreError> {
        let picked = self.read((kind, now), |on, (kind, now)| Box::pin(pick(on, *kind, *now)));
        let Some(subject) = picked.await? else {
            return Ok(Worked { step: Step::Idle, committed: Vec::new(), purged: None });
        };
        let stepped = self.write((kind, subject, now), |on, (kind, subject, now)| {
            Box::pin(step(on, *kind, *subject, *now))
        });
        let stepped = match unrefused(stepped.await) {
            Ok(stepped) => stepped,
            Err(error) => {
                // So that a failing job does not block the others.
                let asked = (kind, subject, now.plus_ms(FAILED_MS));
                let put_off = self
                    .once(asked, |on, (kind, subject, until)| Box::pin(put_off(on, *kind, *subject, *until)));
                if let Err(error) = put_off.await {
                    tracing::debug!(%error, "a job that failed was not put off");
                }
                return Err(error);
            }
        };
        self.rosters().keep(stepped.rosters);
        if stepped.step == Step::Done {
            tracing::info!(kind = kind.as_str(), %subject, "done");
        }
        Ok(Worked { step: stepped.step, committed: stepped.committed, purged: stepped.purged })
    }

    async fn expire_guests(&self, before: Timestamp, now: Timestamp) -> std::result::Result<(), StoreError> {
        self.write((before, now), |on, (before, now)| Box::pin(guests::begin(on, *before, *now))).await
    }

    async fn backlog(&self, kind: JobKind) -> std::result::Result<Backlog, StoreError> {
        self.read(kind, |on, kind| Box::pin(backlog(on, *kind))).await
    }

    async fn scrub(&self) -> std::result::Result<bool, StoreError> {
        Backend::scrub(self).await
    }
}
