//! Appending a batch: one call of a function in the database, one round trip.
//!
//! Decisions that need no database come first ([`Entry`]). Of the messages with the same key only one is in a
//! call. A call that conflicted with other transactions is repeated. A batch with a row that the database
//! refuses is split until that row is alone.

use std::collections::HashSet;

use futures_util::future::BoxFuture;

use super::Pools;
use super::call::{Answer, Call, Entry};
use super::link::Link;
use super::pool::Mode;
use crate::domain::{Refusal, Timestamp};
use crate::store::shared::content::UNSTORABLE;
use crate::store::shared::roster::Roster;
use crate::store::sql::{self, ATTEMPTS, Phase, Stop, Transaction as _, unrefused};
use crate::store::{AppendError, Appended, NewMessage, StoreError};

/// One answer per message; `None` until the database has answered for it.
type Answers = Vec<Option<Result<Appended, AppendError>>>;

/// Appending one batch.
struct Work<'w, L: Link> {
    store: &'w Pools<L>,
    phase: &'w Phase,
    now: Timestamp,
}

pub(super) async fn append<L: Link>(
    store: &Pools<L>,
    batch: &[NewMessage],
    now: Timestamp,
) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
    let phase = Phase::default();
    let work = Work { store, phase: &phase, now };
    let mut answers: Answers = batch.iter().map(|_| None).collect();
    let worked = phase.bound(store.timeout, work.all(batch, &mut answers)).await;
    // A batch may take several transactions. Messages that an earlier one committed are acknowledged, even if
    // a later one fails.
    match worked {
        Err(error) if answers.iter().all(Option::is_none) => Err(error),
        worked => {
            let error = worked.err().unwrap_or_else(|| {
                StoreError::Inconsistent("a message of a batch was not answered".to_owned())
            });
            let failed = || Err(AppendError::Failed(error.clone()));
            Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(failed)).collect())
        }
    }
}

impl<L: Link> Work<'_, L> {
    async fn all(&self, batch: &[NewMessage], answers: &mut Answers) -> Result<(), StoreError> {
        let mut waiting = Vec::with_capacity(batch.len());
        for (at, new) in batch.iter().enumerate() {
            match Entry::new(at, new) {
                Ok(entry) => waiting.push(entry),
                Err(refusal) => answers[at] = Some(Err(refusal.into())),
            }
        }
        while !waiting.is_empty() {
            let (first, later) = firsts(waiting);
            self.some(&first, answers).await?;
            waiting = later;
        }
        Ok(())
    }

    /// Appends messages with different keys. After an error the committed ones have their answers.
    fn some<'a>(
        &'a self,
        entries: &'a [Entry<'a>],
        answers: &'a mut Answers,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            match self.call(entries).await {
                Ok(answered) => {
                    for (entry, answer) in entries.iter().zip(answered?) {
                        answers[entry.at] = Some(answer.map_err(AppendError::Refused));
                    }
                    Ok(())
                }
                Err(error) if entries.len() == 1 => {
                    tracing::warn!(%error, "refused a message that cannot be stored");
                    answers[entries[0].at] = Some(Err(UNSTORABLE.into()));
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(%error, messages = entries.len(), "a message cannot be stored; splitting the batch to find it");
                    let (first, second) = entries.split_at(entries.len() / 2);
                    self.some(first, answers).await?;
                    self.some(second, answers).await
                }
            }
        })
    }

    /// One call, repeated while other transactions conflict with it. The outer error concerns a row; then the
    /// batch is unchanged.
    async fn call(&self, entries: &[Entry<'_>]) -> Result<Result<Answered, StoreError>, sql::Error> {
        let cached = |entry: &Entry<'_>| self.store.rosters.cached(entry.conversation);
        let rosters: Vec<Option<Roster>> = entries.iter().map(cached).collect();
        let mut attempts = ATTEMPTS;
        loop {
            self.phase.begin_anew();
            let mut transaction = match self.store.writer.begin(Mode::Single).await {
                Ok(transaction) => transaction,
                Err(error) => return Ok(Err(error)),
            };
            if transaction.commits_by_itself() {
                self.phase.enter_commit();
            }
            let call = Call {
                entries,
                rosters: &rosters,
                #[cfg(feature = "simulation")]
                cache: &self.store.rosters,
                now: self.now,
                consent: self.store.consent,
            };
            let worked = transaction.connection().append(&call).await;
            attempts -= 1;
            match worked {
                Err(error) if attempts > 0 && error.undone_by_another() => {
                    self.store.meters.undone.increment(1);
                    transaction.undo(Some(&error)).await;
                }
                Err(error) if error.concerns_a_row() => {
                    transaction.undo(Some(&error)).await;
                    return Err(error);
                }
                worked => {
                    let done = transaction.finish(worked.map_err(Stop::from), self.phase).await;
                    return Ok(unrefused(done).map(|Answer { answers, rosters }| {
                        // Now that their transaction is committed.
                        self.store.rosters.keep(rosters);
                        answers
                    }));
                }
            }
        }
    }
}

/// The results of a call for its messages.
type Answered = Vec<Result<Appended, Refusal>>;

/// The first message of each key, and the others. The answer for the first message decides whether a later
/// one repeats it or is a different message.
fn firsts(waiting: Vec<Entry<'_>>) -> (Vec<Entry<'_>>, Vec<Entry<'_>>) {
    let mut seen = HashSet::with_capacity(waiting.len());
    waiting.into_iter().partition(|entry| seen.insert((entry.new.sender, entry.new.client_id)))
}
