//! REST calls of a device, and other work that takes time beside its connections. Each runs as a task and
//! reports once.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::history::{History, What, Who};
use crate::net::{Broken, Call, SharedNetwork, Upgraded};

/// A call without an answer for so long is noted, and counts as broken.
const STUCK_MS: u64 = 60_000;
/// Calls that wait in one lane.
const MOST_QUEUED: usize = 64;

/// The purpose of a call, which decides the meaning of its answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// The first sign-up or a sign-in with it.
    SignUp,
    /// A sign-in with username and password.
    SignIn,
    /// A guest becomes an account.
    Claim,
    /// New tokens for a refresh token.
    Refresh,
    /// An entry of the outbox.
    Entry(u64),
    /// The direct conversation for an entry of the outbox.
    Direct(u64),
    /// A conversation for a slot of the plan.
    Create(usize),
    /// The head of a conversation that the device does not know yet.
    Head(String),
    /// A page of the list of conversations.
    List,
    /// Events of a conversation after a position.
    Events { conversation: String, after: u64 },
    /// The end of this sign-in, or of all.
    SignOut,
    /// The end of the account.
    Erase,
    /// A call beside the lanes, whose answer changes nothing.
    Beside,
    /// Anything else: done or refused, nothing follows.
    Other,
}

/// The report of a task.
pub enum Done {
    /// A connection was opened, or not.
    Connected(Result<Upgraded, Broken>),
    /// The answer to a call, and what was asked.
    Answered(Purpose, Call, Result<(u16, Value), Broken>),
    /// Something that reports nothing ended.
    Finished,
}

/// The tasks of a device. They end with it.
#[derive(Default)]
pub struct Jobs(JoinSet<Done>);

impl Jobs {
    /// Begins a task.
    pub fn spawn(&mut self, task: impl Future<Output = Done> + 'static) -> AbortHandle {
        self.0.spawn_local(task)
    }

    /// Begins a call.
    pub fn call(
        &mut self,
        network: &SharedNetwork,
        history: &History,
        device: usize,
        purpose: Purpose,
        call: Call,
    ) {
        let (network, history) = (network.clone(), history.clone());
        self.spawn(async move {
            let answer = ask(&network, &history, device, call.clone()).await;
            Done::Answered(purpose, call, answer)
        });
    }

    /// The number of tasks that run.
    pub fn running(&self) -> usize {
        self.0.len()
    }

    /// The next report. Waits for ever when nothing runs.
    pub async fn next(&mut self) -> Done {
        match self.0.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => Done::Finished,
            None => std::future::pending().await,
        }
    }
}

/// A call with its deadline.
pub async fn ask(
    network: &SharedNetwork,
    history: &History,
    device: usize,
    call: Call,
) -> Result<(u16, Value), Broken> {
    let named = format!("unanswered call {} {}", call.method, call.path);
    if let Ok(answer) = timeout(Duration::from_millis(STUCK_MS), network.call(device, call)).await {
        return answer;
    }
    history.note(Who::Device(device), What::Noted { text: named });
    Err(Broken)
}

/// A call that waits for its turn.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Its purpose.
    pub purpose: Purpose,
    /// The request, without the token.
    pub call: Call,
    /// Not before then (virtual milliseconds).
    pub at: u64,
    /// How often it was asked.
    pub tries: u32,
}

/// Calls that are made one after the other.
#[derive(Debug, Default)]
pub struct Lane {
    queue: VecDeque<Queued>,
    busy: bool,
}

impl Lane {
    /// Adds a call; false when there is no room.
    pub fn push(&mut self, purpose: Purpose, call: Call) -> bool {
        let room = self.queue.len() < MOST_QUEUED;
        if room {
            self.queue.push_back(Queued { purpose, call, at: 0, tries: 0 });
        }
        room
    }

    /// Whether a call for this waits or is made.
    pub fn has(&self, purpose: &Purpose) -> bool {
        self.queue.iter().any(|queued| queued.purpose == *purpose)
    }

    /// Whether nothing waits and nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When the first one may be asked, unless one is.
    pub fn due(&self) -> Option<u64> {
        self.queue.front().filter(|_| !self.busy).map(|queued| queued.at)
    }

    /// Takes the first one to ask it. It stays at the front until it is finished.
    pub fn begin(&mut self) -> Option<Queued> {
        let first = self.queue.front_mut()?;
        first.tries += 1;
        self.busy = true;
        Some(first.clone())
    }

    /// The one that was asked goes.
    pub fn finish(&mut self) {
        self.busy = false;
        self.queue.pop_front();
    }

    /// The one that was asked is asked again, not before `at`. Returns how often it was asked.
    pub fn again(&mut self, at: u64) -> u32 {
        self.busy = false;
        self.queue.front_mut().map_or(0, |first| {
            first.at = at;
            first.tries
        })
    }

    /// Forgets what is not asked yet.
    pub fn clear(&mut self) {
        self.queue.truncate(usize::from(self.busy));
    }
}
