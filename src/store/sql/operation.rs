//! Runs one operation from its beginning to its end: transaction, retry, deadline, and whether a failure is
//! definite.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::connection::Connection;
use crate::store::deadline::{self, Late};
use crate::store::shared::error::{Error, Result, Stop};
use crate::store::{Outcome, StoreError};

/// The number of attempts of a writing operation when another transaction conflicts with it.
pub(in crate::store) const ATTEMPTS: usize = 5;

/// A rule with its arguments. It may run several times, so it borrows its arguments. They are owned, so that
/// the whole operation can move to another thread.
pub(in crate::store) type Rule<C, A, T, E> =
    for<'a> fn(&'a mut C, &'a A) -> BoxFuture<'a, std::result::Result<T, E>>;

/// The purpose of an operation. It decides which connections run it and how its transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// Statements that write, in one transaction.
    Write,
    /// One statement that writes: on Postgres one round trip that commits by itself.
    Once,
    /// Statements that only read. SQLite: all from one snapshot. Postgres: each from its own.
    Read,
    /// Statements that read the log in commit order.
    Tail,
}

impl Purpose {
    /// Whether nothing was done, wherever the operation is interrupted.
    pub(in crate::store) const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Tail)
    }

    const fn attempts(self) -> usize {
        match self {
            Self::Write | Self::Once => ATTEMPTS,
            Self::Read | Self::Tail => 2,
        }
    }
}

/// The source of transactions.
pub(in crate::store) trait Transactions: Sync {
    type Transaction: Transaction;

    /// Begins a transaction after the callers before this one. An error means that nothing was sent.
    fn begin(
        &self,
        purpose: Purpose,
    ) -> impl Future<Output = std::result::Result<Self::Transaction, StoreError>> + Send;
}

/// An open transaction. If it is dropped in the middle, its connection is closed.
pub(in crate::store) trait Transaction: Sized + Send {
    type Connection: Connection;

    fn connection(&mut self) -> &mut Self::Connection;

    /// Its statement commits by itself, so its outcome is unknown from the moment it is sent.
    fn commits_by_itself(&self) -> bool;

    /// Commits and returns the connection.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;

    /// Rolls back and returns the connection, unless `why` says that the connection is unusable.
    fn undo(self, why: Option<&Error>) -> impl Future<Output = ()> + Send;

    /// Commits if the work succeeded, rolls back if it was refused or failed.
    fn finish<T: Send>(
        self,
        worked: std::result::Result<T, Stop>,
        phase: &Phase,
    ) -> impl Future<Output = Outcome<T>> + Send {
        async move {
            match worked {
                Ok(value) if phase.enter_commit() => match self.commit().await {
                    Ok(()) => Ok(Ok(value)),
                    Err(error) => Err(error.at_commit()),
                },
                Ok(_) => {
                    self.undo(None).await;
                    Err(given_up())
                }
                Err(Stop::Refused(refusal)) => {
                    self.undo(None).await;
                    Ok(Err(refusal))
                }
                Err(Stop::Failed(error)) => {
                    self.undo(Some(&error)).await;
                    Err(if phase.committing() { error.at_commit() } else { error.before_commit() })
                }
            }
        }
    }
}

/// Runs a rule in one transaction. Repeats it if another transaction made the database undo it, if it lost a
/// race for a unique value, or if its connection broke before the commit.
pub(in crate::store) async fn drive<S, A, T, E>(
    transactions: &S,
    purpose: Purpose,
    arguments: &A,
    rule: Rule<<S::Transaction as Transaction>::Connection, A, T, E>,
    phase: &Phase,
) -> Outcome<T>
where
    S: Transactions,
    A: Sync,
    T: Send,
    E: Into<Stop> + Send,
{
    let unwatched = Phase::default();
    let phase = if purpose.reads() { &unwatched } else { phase };
    let mut attempts = purpose.attempts();
    loop {
        let mut transaction = transactions.begin(purpose).await?;
        if purpose == Purpose::Once && transaction.commits_by_itself() && !phase.enter_commit() {
            transaction.undo(None).await;
            return Err(given_up());
        }
        let worked = rule(transaction.connection(), arguments).await.map_err(Into::into);
        attempts -= 1;
        match worked {
            Err(Stop::Failed(error))
                if attempts > 0 && error.worth_another() && (!phase.committing() || error.undone()) =>
            {
                rare!(TransactionTriedAgain);
                transaction.undo(Some(&error)).await;
                phase.begin_anew();
            }
            worked => return transaction.finish(worked, phase).await,
        }
    }
}

fn given_up() -> StoreError {
    StoreError::definite("its caller had given up before the commit")
}

/// The phase of an operation, readable after it was interrupted.
///
/// One task waits and another thread works. Either the work enters its commit first; then the outcome is
/// unknown until the answer is read. Or the task gives up first; then the work must not commit any more.
#[derive(Debug, Default)]
pub(in crate::store) struct Phase(AtomicU8);

const WORKING: u8 = 0;
const COMMITTING: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Phase {
    /// Enters the phase in which the outcome is unknown until the answer is read: a commit is sent, or a
    /// statement that commits by itself. False: the caller has given up, and nothing may be committed.
    pub(in crate::store) fn enter_commit(&self) -> bool {
        let entered = self.0.compare_exchange(WORKING, COMMITTING, Ordering::AcqRel, Ordering::Acquire);
        entered.map_or_else(|was| was == COMMITTING, |_| true)
    }

    /// The sent commit was undone, and the next attempt has not been sent.
    pub(in crate::store) fn begin_anew(&self) {
        let _ = self.0.compare_exchange(COMMITTING, WORKING, Ordering::AcqRel, Ordering::Acquire);
    }

    fn committing(&self) -> bool {
        self.0.load(Ordering::Acquire) == COMMITTING
    }

    /// The waiting task gives up. True: nothing was done and nothing will be.
    pub(in crate::store) fn give_up(&self) -> bool {
        let gave_up = self.0.compare_exchange(WORKING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire);
        gave_up.map_or_else(|was| was == GIVEN_UP, |_| true)
    }

    /// Whether the waiting task was informed that nothing was done.
    pub(in crate::store) fn has_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Runs `work` until the call's deadline, for at most `limit`. If it is interrupted before its commit,
    /// nothing was done; after that the outcome is unknown.
    pub(in crate::store) async fn bound<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = std::result::Result<T, StoreError>>,
    ) -> std::result::Result<T, StoreError> {
        match deadline::bounded(limit, work).await {
            Ok(result) => result,
            Err(Late) if self.give_up() => Err(StoreError::definite("not begun to commit in time")),
            Err(Late) => Err(StoreError::indefinite("no answer to the commit in time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_up_hears_the_truth() {
        let phase = Phase::default();
        assert!(phase.give_up(), "nothing was done");
        assert!(!phase.enter_commit(), "and nothing may be done any more");
        phase.begin_anew();
        assert!(!phase.enter_commit(), "not in a further attempt either");
    }

    #[test]
    fn once_a_commit_is_sent_nobody_knows() {
        let phase = Phase::default();
        assert!(phase.enter_commit());
        assert!(!phase.give_up(), "it may have been done");
        phase.begin_anew();
        assert!(phase.give_up(), "the attempt was undone and the next not sent");
    }
}
