//! Reads on a replica, if it has the events that the caller must see. This saves load on the primary.
//!
//! The primary is asked first, by one primary key, who may see what and how far the conversation is. A
//! replica answers only when its own copy is at least there, as seen in the same snapshot as the answer. One
//! that is behind or fails leaves the rotation for a while; the primary answers when no replica does.
//!
//! If the primary does not answer, the read fails. A replica can prove which events it has, but not that a
//! membership has not ended since. Without that proof the read could show events to a user who may not see
//! them.
//!
//! The answer is read later than the key, and a membership can end in between. So an answer ends at the
//! newest event that the key named. An older event may still show something newer (an edit, a reaction). Then
//! the key is read again after the answer: a user who is a member at that time may see everything before.

use std::time::Duration;

use super::Pools;
use super::link::Link;
use super::pool::Mode;
use super::replicas::ReadResult;
use crate::domain::{ConversationId, UserId};
use crate::store::sql::authorize::key;
use crate::store::sql::range::{Key, Question, Seen};
use crate::store::sql::{Phase, Purpose, Stop, Transaction as _, operate_here, unrefused};
use crate::store::{Outcome, StoreError};

/// The number of repeated reads when the membership changes in the meantime.
const ATTEMPTS: usize = 3;

/// Runs a query where it is answered best.
pub(super) async fn look_up<L: Link, Q: Question>(
    store: &Pools<L>,
    user: UserId,
    question: Q,
) -> Outcome<Q::Answer> {
    let conversation = question.conversation();
    let mut given = match key_of(store, conversation, user).await? {
        Ok(key) => key,
        Err(refusal) => return Ok(Err(refusal)),
    };
    for _ in 0..ATTEMPTS {
        let seen = answered(store, given, question).await?;
        if !seen.newer {
            return Ok(Ok(seen.answer));
        }
        let now = match key_of(store, conversation, user).await? {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if now.first <= given.first {
            return Ok(Ok(seen.answer));
        }
        rare!(MembershipChangedDuringARead);
        given = now;
    }
    Err(StoreError::definite("the membership changes faster than it can be read"))
}

async fn key_of<L: Link>(store: &Pools<L>, conversation: ConversationId, user: UserId) -> Outcome<Key> {
    let asked = (conversation, user);
    let read =
        operate_here(store, store.timeout, Purpose::Read, asked, |connection, (conversation, user)| {
            Box::pin(key(connection, *conversation, *user))
        });
    read.await
}

/// The answer of a replica, or of the primary if no replica answers.
async fn answered<L: Link, Q: Question>(
    store: &Pools<L>,
    key: Key,
    question: Q,
) -> Result<Seen<Q::Answer>, StoreError> {
    let mut tried = 0;
    while let Some(index) = store.replicas.next(tried) {
        tried += 1;
        let patience = store.timeout / 3;
        let asked = tokio::time::timeout(patience, on_replica(store, index, patience, key, question)).await;
        match asked {
            Ok(Ok(Some(seen))) => {
                store.replicas.record(index, ReadResult::Served);
                return Ok(seen);
            }
            Ok(Ok(None)) => {
                rare!(ReplicaTooStale);
                store.replicas.record(index, ReadResult::Behind);
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, replica = index + 1, "a replica failed");
                store.replicas.record(index, ReadResult::Failed);
            }
            Err(_) => store.replicas.record(index, ReadResult::Failed),
        }
    }
    let asked = (key, question);
    let read = operate_here(store, store.timeout, Purpose::Read, asked, |connection, (key, question)| {
        Box::pin(question.read(connection, key))
    });
    let seen = unrefused(read.await)?;
    // The primary that gave the key has what the key names, unless another has taken its place in between.
    seen.ok_or_else(|| StoreError::definite("the primary is behind what it said a moment ago"))
}

async fn on_replica<L: Link, Q: Question>(
    store: &Pools<L>,
    index: usize,
    patience: Duration,
    key: Key,
    question: Q,
) -> Result<Option<Seen<Q::Answer>>, StoreError> {
    let phase = Phase::default();
    let work = async {
        let mut transaction = store.replicas.pool(index).begin(Mode::Single).await?;
        let worked = question.read(&mut *transaction, &key).await.map_err(Stop::from);
        transaction.finish(worked, &Phase::default()).await
    };
    unrefused(phase.bound(patience, work).await)
}
