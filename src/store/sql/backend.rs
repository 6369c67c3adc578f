//! A database with its connections. It receives each operation as a whole.

use std::future::Future;
use std::time::Duration;

use super::authorize::answer;
use super::connection::Connection;
use super::journal::Recorder;
use super::operation::{Phase, Purpose, Rule, Transaction, Transactions, drive};
use super::range::Question;
use crate::domain::{ConsentRules, Limits, Timestamp, UserId};
use crate::store::shared::error::{Error, Stop};
use crate::store::shared::roster::Rosters;
use crate::store::{AppendError, Appended, NewMessage, Outcome, Running, StoreError};

/// How a rule may end without what was asked for, and so what its caller is answered.
pub(in crate::store) trait Ends: Into<Stop> + Send + 'static {
    type Answer<T>;

    fn answer<T>(outcome: Outcome<T>) -> Self::Answer<T>;
}

/// The rule never refuses.
impl Ends for Error {
    type Answer<T> = Result<T, StoreError>;

    fn answer<T>(outcome: Outcome<T>) -> Result<T, StoreError> {
        unrefused(outcome)
    }
}

/// The rule may refuse.
impl Ends for Stop {
    type Answer<T> = Outcome<T>;

    fn answer<T>(outcome: Outcome<T>) -> Outcome<T> {
        outcome
    }
}

/// A database that runs operations. It knows nothing of the rules.
///
/// An operation is a rule and its arguments. Both are owned and `'static`, so a backend may run them on its
/// own thread: one hop in, one hop out, and between the two every future is ready at once.
pub(in crate::store) trait Backend: Send + Sync + 'static {
    type Connection: Connection + Recorder + 'static;

    /// True if writing operations run one after another, each alone on the database.
    const ONE_WRITER: bool;

    /// The cache of group memberships.
    fn rosters(&self) -> &Rosters;

    fn limits(&self) -> &Limits;

    fn consent(&self) -> &ConsentRules;

    /// See [`crate::store::Log::append`].
    fn append(
        &self,
        batch: &[NewMessage],
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Result<Appended, AppendError>>, StoreError>> + Send;

    /// Runs a query for a user who may see the conversation.
    fn look_up<Q: Question>(
        &self,
        user: UserId,
        question: Q,
    ) -> impl Future<Output = Outcome<Q::Answer>> + Send {
        self.read((user, question), |connection, (user, question)| {
            Box::pin(answer(connection, *user, *question))
        })
    }

    /// See [`crate::store::Log::running`].
    fn running(&self) -> impl Future<Output = Result<Running, StoreError>> + Send;

    /// See [`crate::store::Log::ping`].
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// See [`crate::store::Jobs::scrub`].
    fn scrub(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Runs a rule for `purpose`, within the store's deadline, and repeats it where that is safe.
    fn operate<A, T, E>(
        &self,
        purpose: Purpose,
        arguments: A,
        rule: Rule<Self::Connection, A, T, E>,
    ) -> impl Future<Output = Outcome<T>> + Send
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Into<Stop> + Send + 'static;

    /// Runs a rule that writes, in one transaction.
    fn write<A, T, E>(
        &self,
        arguments: A,
        rule: Rule<Self::Connection, A, T, E>,
    ) -> impl Future<Output = E::Answer<T>> + Send
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Ends,
    {
        async move { E::answer(self.operate(Purpose::Write, arguments, rule).await) }
    }

    /// Runs a rule that is one writing statement.
    fn once<A, T, E>(
        &self,
        arguments: A,
        rule: Rule<Self::Connection, A, T, E>,
    ) -> impl Future<Output = E::Answer<T>> + Send
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Ends,
    {
        async move { E::answer(self.operate(Purpose::Once, arguments, rule).await) }
    }

    /// Runs a rule that only reads.
    fn read<A, T, E>(
        &self,
        arguments: A,
        rule: Rule<Self::Connection, A, T, E>,
    ) -> impl Future<Output = E::Answer<T>> + Send
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Ends,
    {
        async move { E::answer(self.operate(Purpose::Read, arguments, rule).await) }
    }

    /// Runs a rule that reads the log in commit order.
    fn tail<A, T, E>(
        &self,
        arguments: A,
        rule: Rule<Self::Connection, A, T, E>,
    ) -> impl Future<Output = E::Answer<T>> + Send
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: Ends,
    {
        async move { E::answer(self.operate(Purpose::Tail, arguments, rule).await) }
    }
}

/// [`Backend::operate`] for a backend whose connections run on the caller's own task.
pub(in crate::store) async fn operate_here<S, A, T, E>(
    transactions: &S,
    limit: Duration,
    purpose: Purpose,
    arguments: A,
    rule: Rule<<S::Transaction as Transaction>::Connection, A, T, E>,
) -> Outcome<T>
where
    S: Transactions,
    A: Send + Sync,
    T: Send,
    E: Into<Stop> + Send,
{
    let phase = Phase::default();
    phase.bound(limit, drive(transactions, purpose, &arguments, rule, &phase)).await
}

/// An operation that cannot refuse.
pub(in crate::store) fn unrefused<T>(outcome: Outcome<T>) -> Result<T, StoreError> {
    outcome?.map_err(|refusal| StoreError::Inconsistent(refusal.to_string()))
}
