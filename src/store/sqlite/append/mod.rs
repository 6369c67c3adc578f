//! Appending a batch: read the facts, decide in memory, write the outcome. Few statements, whatever the batch's size.

mod facts;
mod plan;
mod write;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::lane::{Phase, Transaction};
use crate::domain::{ConversationId, Refusal, Timestamp};
use crate::store::shared::roster::{Roster, Rosters};
use crate::store::sql::Stop;
use crate::store::{AppendError, Appended, NewMessage, StoreError};

/// One answer per message.
type Answers = Vec<Result<Appended, Refusal>>;

/// What an append leaves behind for after its commit.
#[derive(Default)]
struct Done {
    answers: Answers,
    rosters: Vec<(ConversationId, Roster)>,
}

pub(super) async fn append(
    store: &SqliteStore,
    batch: &[NewMessage],
    now: Timestamp,
) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.writer.begin().await?;
        let worked = in_transaction(&mut transaction, &store.rosters, batch, now).await;
        transaction.finish(worked, &phase).await
    };
    let done = match phase.bound(store.timeout, work).await? {
        Ok(done) => done,
        Err(refusal) => return Ok(batch.iter().map(|_| Err(refusal.clone().into())).collect()),
    };
    for (conversation, roster) in done.rosters {
        store.rosters.keep(conversation, roster).await;
    }
    Ok(done.answers.into_iter().map(|answer| answer.map_err(AppendError::Refused)).collect())
}

async fn in_transaction(
    transaction: &mut Transaction,
    rosters: &Rosters,
    batch: &[NewMessage],
    now: Timestamp,
) -> Result<Done, Stop> {
    match attempt(transaction, rosters, batch, now).await {
        Err(Stop::Failed(error)) if error.concerns_a_row() => {
            tracing::warn!(%error, messages = batch.len(), "a message cannot be stored; looking for it");
            transaction.begin_anew().await?;
            split(transaction, rosters, batch, now).await
        }
        other => other,
    }
}

async fn attempt(
    connection: &mut SqliteConnection,
    rosters: &Rosters,
    batch: &[NewMessage],
    now: Timestamp,
) -> Result<Done, Stop> {
    let facts = facts::Facts::read(connection, rosters, batch).await?;
    let kept = facts.groups();
    let plan = plan::Plan::decide(facts, batch, now);
    write::write(connection, &plan, now).await?;
    Ok(Done { answers: plan.answers, rosters: kept })
}

/// Appends in halves, each undone by itself when it fails, until the row that cannot be stored stands alone.
fn split<'a>(
    connection: &'a mut SqliteConnection,
    rosters: &'a Rosters,
    batch: &'a [NewMessage],
    now: Timestamp,
) -> BoxFuture<'a, Result<Done, Stop>> {
    Box::pin(async move {
        sqlx::query("SAVEPOINT part").execute(&mut *connection).await?;
        let error = match attempt(connection, rosters, batch, now).await {
            Err(Stop::Failed(error)) if error.concerns_a_row() => error,
            other => {
                sqlx::query("RELEASE part").execute(&mut *connection).await?;
                return other;
            }
        };
        sqlx::query("ROLLBACK TO part").execute(&mut *connection).await?;
        sqlx::query("RELEASE part").execute(&mut *connection).await?;
        if batch.len() == 1 {
            tracing::warn!(%error, "refused a message that cannot be stored");
            return Ok(Done {
                answers: vec![Err(Refusal::Invalid("the message cannot be stored".into()))],
                rosters: Vec::new(),
            });
        }
        let (first, second) = batch.split_at(batch.len() / 2);
        let mut done = split(connection, rosters, first, now).await?;
        let rest = split(connection, rosters, second, now).await?;
        done.answers.extend(rest.answers);
        done.rosters.extend(rest.rosters);
        Ok(done)
    })
}
