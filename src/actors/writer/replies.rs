//! Delivers a result to the asker: to a session by its worker's inbox, to a waiting request directly.

use super::job::{Asker, Job};
use crate::actors::inbox::{Item, Reply};
use crate::actors::router::RoutedReply;
use crate::protocol::Failure;
use crate::store::Appended;

pub(super) fn answer<T>(
    asker: Asker<T>,
    result: Result<T, Failure>,
    reply: impl FnOnce(Result<T, Failure>) -> Reply,
) -> Option<RoutedReply> {
    match asker {
        Asker::Session { worker, session, id } => {
            Some(RoutedReply { worker, item: Item::Reply { session, id, reply: reply(result) } })
        }
        Asker::Waiter(waiter) => {
            // The request may have ended. What was committed stays committed, and a retry finds it.
            rare!(AnswerForARequestThatEnded, waiter.is_closed());
            let _ = waiter.send(result);
            None
        }
    }
}

pub(super) fn refusal(job: Job, failure: Failure) -> Option<RoutedReply> {
    match job {
        Job::Send { asker, .. } => answer(asker, Err(failure), failed_send),
        Job::Change { conversation, asker, .. } => {
            answer(asker, Err(failure), |done| Reply::Changed(done.map(|changed| (conversation, changed))))
        }
    }
}

pub(super) fn failed_send(done: Result<Appended, Failure>) -> Reply {
    Reply::Sent(Err(done.err().unwrap_or(Failure::Unavailable { definite: false })))
}
