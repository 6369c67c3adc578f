//! Appending a batch: one call of a function in the database, one round trip.
//!
//! What can be decided without the database is decided before ([`entry`]); of messages with the same key only one goes into
//! a call. A call that others stood in the way of is made again; a batch with a row that the database refuses is split until
//! that row stands alone.

mod call;
mod entry;

use std::collections::HashMap;

use futures_util::future::BoxFuture;

use self::call::{Answer, Call};
use self::entry::Entry;
use super::PostgresStore;
use super::failure::{Stop, concerns_a_row, undone_by_another};
use super::lane::{Mode, Phase};
use super::work::{ATTEMPTS, unrefused};
use crate::domain::{ClientId, Refusal, Timestamp, UserId};
use crate::store::shared::roster::Roster;
use crate::store::{Appended, NewMessage, StoreError};

/// One answer per message.
type Answers = Vec<Result<Appended, Refusal>>;

/// Appending one batch.
struct Work<'w> {
    store: &'w PostgresStore,
    phase: &'w Phase,
    now: Timestamp,
}

pub(super) async fn append(
    store: &PostgresStore,
    batch: &[NewMessage],
    now: Timestamp,
) -> Result<Answers, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let phase = Phase::default();
    let work = Work { store, phase: &phase, now };
    phase.bound(store.timeout, work.all(batch)).await
}

impl Work<'_> {
    async fn all(&self, batch: &[NewMessage]) -> Result<Answers, StoreError> {
        let mut answers: Vec<Option<Result<Appended, Refusal>>> = batch.iter().map(|_| None).collect();
        let mut waiting = Vec::with_capacity(batch.len());
        for (at, new) in batch.iter().enumerate() {
            match Entry::new(new) {
                Ok(entry) => waiting.push((at, entry)),
                Err(refusal) => answers[at] = Some(Err(refusal)),
            }
        }
        while !waiting.is_empty() {
            let (first, later) = firsts(waiting);
            let places: Vec<usize> = first.iter().map(|(at, _)| *at).collect();
            let entries: Vec<Entry<'_>> = first.into_iter().map(|(_, entry)| entry).collect();
            let answered = self.some(&entries).await?;
            for (at, answer) in places.into_iter().zip(answered) {
                answers[at] = Some(answer);
            }
            waiting = later;
        }
        // Every message was refused at once or answered in one of the rounds.
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(Refusal::NotFound))).collect())
    }

    /// Appends messages of different keys.
    fn some<'a>(&'a self, entries: &'a [Entry<'a>]) -> BoxFuture<'a, Result<Answers, StoreError>> {
        Box::pin(async move {
            match self.call(entries).await {
                Ok(answers) => answers,
                Err(error) if entries.len() == 1 => {
                    tracing::warn!(%error, "refused a message that cannot be stored");
                    Ok(vec![Err(Refusal::Invalid("the message cannot be stored".into()))])
                }
                Err(error) => {
                    tracing::warn!(%error, messages = entries.len(), "a message cannot be stored; looking for it");
                    let (first, second) = entries.split_at(entries.len() / 2);
                    let mut answers = self.some(first).await?;
                    // The first half may be committed, so a failure of the second is no definite no for the whole.
                    answers.extend(self.some(second).await.map_err(doubtful)?);
                    Ok(answers)
                }
            }
        })
    }

    /// One call, again while others stand in the way. The outer error concerns a row; the batch is as it was before.
    async fn call(&self, entries: &[Entry<'_>]) -> Result<Result<Answers, StoreError>, sqlx::Error> {
        let rosters = self.rosters(entries).await;
        let mut attempts = ATTEMPTS;
        loop {
            let mut transaction = match self.store.writer.begin(Mode::Single).await {
                Ok(transaction) => transaction,
                Err(error) => return Ok(Err(error)),
            };
            if transaction.prepared() {
                self.phase.enter_commit();
            }
            let call = Call { entries, rosters: &rosters, now: self.now };
            let worked = call.make(&mut transaction).await;
            attempts -= 1;
            match worked {
                Err(error) if attempts > 0 && undone_by_another(&error) => {
                    self.store.meters.undone.increment(1);
                    self.phase.begin_anew();
                    transaction.abandon(&error).await;
                }
                Err(error) if concerns_a_row(&error) => {
                    self.phase.begin_anew();
                    transaction.abandon(&error).await;
                    return Err(error);
                }
                worked => {
                    let done = transaction.finish(worked.map_err(Stop::from), self.phase).await;
                    return Ok(self.keep(unrefused(done)).await);
                }
            }
        }
    }

    /// What the cache knows of the members of the conversations concerned.
    async fn rosters(&self, entries: &[Entry<'_>]) -> Vec<Option<Roster>> {
        let mut known = Vec::with_capacity(entries.len());
        for entry in entries {
            known.push(self.store.rosters.cached(entry.conversation).await);
        }
        known
    }

    /// Keeps the rosters that came along, now that their transaction is committed.
    async fn keep(&self, answer: Result<Answer, StoreError>) -> Result<Answers, StoreError> {
        let Answer { answers, rosters } = answer?;
        for (conversation, roster) in rosters {
            self.store.rosters.keep(conversation, roster).await;
        }
        Ok(answers)
    }
}

type Placed<'m> = (usize, Entry<'m>);

/// The first message of each key, and the others. Whether one of those repeats the first or stands for itself is known
/// when the first is answered.
fn firsts(waiting: Vec<Placed<'_>>) -> (Vec<Placed<'_>>, Vec<Placed<'_>>) {
    let mut seen = HashMap::<(UserId, ClientId), ()>::with_capacity(waiting.len());
    waiting
        .into_iter()
        .partition(|(_, entry)| seen.insert((entry.new.sender, entry.new.client_id), ()).is_none())
}

/// An error after which some of the batch may be in the log.
fn doubtful(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { detail, .. } => StoreError::indefinite(detail),
        other @ StoreError::Inconsistent(_) => other,
    }
}
