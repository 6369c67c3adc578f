//! The observable state of a process: each actor has a small struct of numbers beside it and answers with it
//! when it is asked.
//!
//! An actor that does not answer within [`PATIENCE`] is shown as silent, so one that is blocked does
//! not delay the others. At most [`QUESTIONS`] wait for one actor. Asking changes nothing.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// How long an actor is waited for.
pub const PATIENCE: Duration = Duration::from_millis(1_000);
/// Questions that may wait for one actor; further ones find it silent at once.
const QUESTIONS: usize = 4;

type Asked = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The outcome of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    State(Value),
    Silent,
    Ended,
}

/// One actor as it was shown.
#[derive(Debug, Clone, Serialize)]
pub struct Inspected {
    /// Which actor.
    pub actor: String,
    /// Its state; `None` when it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
    /// Why there is no state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

struct Actor {
    name: String,
    ask: Box<dyn Fn() -> Asked + Send + Sync>,
}

/// All parts of a process that show their state, in the order in which they were added.
#[derive(Default)]
pub struct Inspection {
    actors: Mutex<Vec<Actor>>,
}

impl Inspection {
    /// Adds an actor that answers questions.
    pub fn add<T: Serialize + Send + 'static>(&self, name: impl Into<String>, observer: Observer<T>) {
        self.add_asked(name, move || observer.ask());
    }

    /// Adds an actor that `ask` sends a message to; `None`: it has ended.
    pub fn add_actor<T, F>(&self, name: impl Into<String>, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        T: Serialize,
        F: Future<Output = Option<T>> + Send + 'static,
    {
        self.add_asked(name, move || {
            let asked = ask();
            async move { asked.await.map_or(Answer::Ended, |state| shown(&state)) }
        });
    }

    /// Adds a value that is shared behind locks. `look` may wait for a lock: it runs on a thread for such
    /// calls.
    pub fn add_value<T: Serialize>(
        &self,
        name: impl Into<String>,
        look: impl Fn() -> T + Clone + Send + Sync + 'static,
    ) {
        self.add_asked(name, move || {
            let look = look.clone();
            let looked = tokio::task::spawn_blocking(move || shown(&look()));
            async move { looked.await.unwrap_or(Answer::Ended) }
        });
    }

    fn add_asked<F>(&self, name: impl Into<String>, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let actor = Actor { name: name.into(), ask: Box::new(move || Box::pin(ask())) };
        self.actors.lock().unwrap_or_else(PoisonError::into_inner).push(actor);
    }

    /// Asks all of them at once; takes [`PATIENCE`] at most. Call inside a tokio runtime.
    pub async fn report(&self) -> Vec<Inspected> {
        self.report_within(PATIENCE).await
    }

    async fn report_within(&self, patience: Duration) -> Vec<Inspected> {
        let asked: Vec<(String, Asked)> = {
            let actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
            actors.iter().map(|actor| (actor.name.clone(), (actor.ask)())).collect()
        };
        let answers = asked.into_iter().map(|(actor, asked)| async move {
            let (state, error) = match tokio::time::timeout(patience, asked).await {
                Ok(Answer::State(state)) => (Some(state), None),
                Ok(Answer::Ended) => (None, Some("has ended".to_owned())),
                Ok(Answer::Silent) | Err(_) => {
                    (None, Some(format!("no answer within {} ms", patience.as_millis())))
                }
            };
            Inspected { actor, state, error }
        });
        join_all(answers).await
    }
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspection").finish_non_exhaustive()
    }
}

fn shown(state: &impl Serialize) -> Answer {
    // Structs of numbers and words cannot fail.
    Answer::State(serde_json::to_value(state).unwrap_or_default())
}

/// The end that asks an actor for its state `T`.
#[derive(Debug)]
pub struct Observer<T>(mpsc::Sender<oneshot::Sender<T>>);

/// The end that the actor holds.
#[derive(Debug)]
pub struct Questions<T>(mpsc::Receiver<oneshot::Sender<T>>);

/// One question to answer.
#[derive(Debug)]
pub struct Question<T>(oneshot::Sender<T>);

/// Both ends for one actor.
pub fn observed<T>() -> (Observer<T>, Questions<T>) {
    let (ask, asked) = mpsc::channel(QUESTIONS);
    (Observer(ask), Questions(asked))
}

impl<T: Serialize + Send + 'static> Observer<T> {
    fn ask(&self) -> impl Future<Output = Answer> + Send + use<T> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.try_send(answer);
        async move {
            match sent {
                Ok(()) => answered.await.map_or(Answer::Ended, |state| shown(&state)),
                Err(mpsc::error::TrySendError::Full(_)) => Answer::Silent,
                Err(mpsc::error::TrySendError::Closed(_)) => Answer::Ended,
            }
        }
    }
}

impl<T> Questions<T> {
    /// The next question; waits without end when nobody can ask any more. A question that is not answered is
    /// lost.
    pub async fn next(&mut self) -> Question<T> {
        match self.0.recv().await {
            Some(answer) => Question(answer),
            None => std::future::pending().await,
        }
    }

    /// Answers questions with what `state` gives then, while it waits for `waited`.
    pub async fn answer_during<O>(&mut self, waited: impl Future<Output = O>, state: impl Fn() -> T) -> O {
        let mut waited = pin!(waited);
        loop {
            tokio::select! {
                done = &mut waited => return done,
                question = self.next() => question.answer(state()),
            }
        }
    }

    /// Answers every question with what `state` gives then; does not end. Run it in the task, or on the
    /// thread, of the actor concerned.
    pub async fn answer_all(mut self, state: impl Fn() -> T) {
        loop {
            self.next().await.answer(state());
        }
    }
}

impl<T> Question<T> {
    /// Answers it. The caller may have gone meanwhile.
    pub fn answer(self, state: T) {
        let _ = self.0.send(state);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn who_answers_is_shown_and_who_does_not_holds_nobody_up() {
        #[derive(Serialize)]
        struct Counter {
            waiting: u32,
        }
        let inspection = Inspection::default();
        let (observer, questions) = observed();
        inspection.add("counter", observer);
        let counter = tokio::spawn(questions.answer_all(|| Counter { waiting: 7 }));
        let (observer, _stuck) = observed::<Counter>();
        inspection.add("stuck", observer);
        inspection.add_value("value", || Counter { waiting: 1 });
        inspection.add_actor("gone", || async { None::<Counter> });
        let report = serde_json::to_value(inspection.report().await).unwrap();
        let expected = json!([
            { "actor": "counter", "state": { "waiting": 7 } },
            { "actor": "stuck", "error": "no answer within 1000 ms" },
            { "actor": "value", "state": { "waiting": 1 } },
            { "actor": "gone", "error": "has ended" },
        ]);
        assert_eq!(report, expected);
        counter.abort();
        assert!(counter.await.is_err());
        for _ in 0..=QUESTIONS {
            let report = inspection.report_within(Duration::from_millis(1)).await;
            assert_eq!(report[0].error.as_deref(), Some("has ended"));
            assert_eq!(report[1].error.as_deref(), Some("no answer within 1 ms"));
        }
    }
}
