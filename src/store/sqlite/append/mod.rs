//! Appending a batch: read the facts, decide in memory, write the outcome.

mod facts;
mod plan;
mod write;

use super::SqliteStore;
use super::connection::Connection;
use super::positions::Tables;
use crate::domain::{ConsentRules, ConversationId, Refusal, Timestamp};
use crate::store::shared::content::UNSTORABLE;
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql::{self, Backend, Connection as _, Sql, Stop, statement};
use crate::store::{AppendError, Appended, NewMessage, StoreError};
use futures_util::future::BoxFuture;

/// When a batch is appended, and the rules about strangers.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Terms {
    pub now: Timestamp,
    pub consent: ConsentRules,
}

/// One answer per message.
type Answers = Vec<Result<Appended, Refusal>>;

/// The results of an append that are used after its commit.
#[derive(Default)]
pub(in crate::store) struct Done {
    pub answers: Answers,
    pub rosters: Vec<(ConversationId, Roster)>,
}

const UNDO: Sql = statement!(sqlite: "ROLLBACK");
const BEGIN: Sql = statement!(sqlite: "BEGIN IMMEDIATE");
const PART: Sql = statement!(sqlite: "SAVEPOINT part");
const UNDO_PART: Sql = statement!(sqlite: "ROLLBACK TO part");
const END_PART: Sql = statement!(sqlite: "RELEASE part");

pub(super) async fn append(
    store: &SqliteStore,
    batch: &[NewMessage],
    now: Timestamp,
) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let asked = (store.rosters.clone(), batch.to_vec(), Terms { now, consent: store.consent });
    let done = store.write(asked, |connection, (rosters, batch, terms)| {
        Box::pin(in_transaction(connection, rosters, batch, *terms))
    });
    let done = match done.await? {
        Ok(done) => done,
        Err(refusal) => return Ok(batch.iter().map(|_| Err(refusal.clone().into())).collect()),
    };
    store.rosters.keep(done.rosters);
    Ok(done.answers.into_iter().map(|answer| answer.map_err(AppendError::Refused)).collect())
}

async fn in_transaction(
    connection: &mut Connection,
    rosters: &Rosters,
    batch: &[NewMessage],
    terms: Terms,
) -> Result<Done, Stop> {
    match attempt(connection, rosters, batch, terms).await {
        Err(error) if error.concerns_a_row() => {
            tracing::warn!(%error, messages = batch.len(), "a message cannot be stored; splitting the batch to find it");
            connection.run(&UNDO, &[]).await?;
            connection.run(&BEGIN, &[]).await?;
            split(connection, rosters, batch, terms).await
        }
        other => Ok(other?),
    }
}

/// Appends a batch in the caller's transaction, all of it or nothing.
pub(in crate::store) async fn attempt<C: Tables>(
    connection: &mut C,
    rosters: &Rosters,
    batch: &[NewMessage],
    terms: Terms,
) -> sql::Result<Done> {
    let facts = facts::Facts::read(connection, rosters, batch, &terms.consent).await?;
    let kept = facts.groups();
    let plan = plan::Plan::decide(facts, batch, terms.now);
    write::write(connection, &plan, terms.now).await?;
    Ok(Done { answers: plan.answers, rosters: kept })
}

/// Appends the batch in halves, and rolls back each half that fails, until the row that cannot be stored is
/// alone.
fn split<'a>(
    connection: &'a mut Connection,
    rosters: &'a Rosters,
    batch: &'a [NewMessage],
    terms: Terms,
) -> BoxFuture<'a, Result<Done, Stop>> {
    Box::pin(async move {
        connection.run(&PART, &[]).await?;
        let error = match attempt(connection, rosters, batch, terms).await {
            Err(error) if error.concerns_a_row() => error,
            other => {
                connection.run(&END_PART, &[]).await?;
                return Ok(other?);
            }
        };
        connection.run(&UNDO_PART, &[]).await?;
        connection.run(&END_PART, &[]).await?;
        if batch.len() == 1 {
            tracing::warn!(%error, "refused a message that cannot be stored");
            return Ok(Done { answers: vec![Err(UNSTORABLE)], rosters: Vec::new() });
        }
        let (first, second) = batch.split_at(batch.len() / 2);
        let mut done = split(connection, rosters, first, terms).await?;
        let rest = split(connection, rosters, second, terms).await?;
        done.answers.extend(rest.answers);
        done.rosters.extend(rest.rosters);
        Ok(done)
    })
}
