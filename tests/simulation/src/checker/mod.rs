//! Whether the promises held: from what devices saw and what the log has at the end.
//!
//! Each file checks one promise or a few that belong together, and says what it assumes. Where the contract
//! allows either of two answers, both are accepted.

mod acks;
mod answers;
mod audited;
mod banned;
mod blocks;
mod calm;
mod changes;
mod copies;
mod definite;
mod delivery;
mod drain;
mod erased;
mod facts;
mod fits;
mod fresh;
mod gone;
mod lagging;
mod live;
pub mod log;
mod muted;
mod numbers;
pub mod operated;
mod order;
mod pages;
mod private;
mod ranges;
mod refresh;
mod reset;
mod resumes;
mod revoked;
mod signals;
mod suspended;
#[cfg(test)]
mod tests;
mod tokens;
mod told;
pub mod transcript;
mod troubles;
mod typing;
mod waits;
mod watches;

use std::collections::BTreeMap;
use std::fmt;

use self::facts::Facts;
pub use self::log::FinalLog;
use self::transcript::{Shown, Socket, Transcript};
use self::troubles::Troubles;
use crate::clients::copy::Copy;
use crate::history::{Entry, What};
use crate::plan::{Act, Behaviour, Fault, Plan};

/// A promise of docs/SEMANTICS.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promise(pub &'static str);

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// Who, where, and what was promised, in plain English.
    pub text: String,
    /// The entries of the history that show it.
    pub entries: Vec<usize>,
    /// The conversation it is about, if it is about one.
    pub conversation: Option<String>,
}

/// The verdict of a run.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The broken promises, the most serious first.
    pub violations: Vec<Violation>,
    /// Too little happened to say that the run is clean.
    pub unknown: bool,
    /// How much happened.
    pub traffic: BTreeMap<String, u64>,
}

/// What every check reads.
pub struct Run<'r> {
    /// The plan.
    pub plan: &'r Plan,
    /// What happened.
    pub transcript: Transcript<'r>,
    /// The log at the end.
    pub log: &'r FinalLog,
    /// What each device showed at the end.
    pub copies: &'r BTreeMap<usize, Copy>,
    /// What follows from the history and the log together.
    pub(crate) facts: Facts,
    /// What was wrong when.
    pub(crate) troubles: Troubles,
    found: Vec<Violation>,
}

/// The most violations of one promise that are listed.
const MOST_OF_ONE: usize = 5;
/// Below this, a run says nothing.
const LEAST_ACKS: u64 = 5;
const LEAST_EVENTS: u64 = 10;

impl Run<'_> {
    /// Notes a broken promise.
    pub fn broken(
        &mut self,
        promise: &'static str,
        text: String,
        entries: Vec<usize>,
        conversation: Option<&str>,
    ) {
        if self.found.iter().filter(|one| one.promise.0 == promise).count() < MOST_OF_ONE {
            let conversation = conversation.map(str::to_owned);
            self.found.push(Violation { promise: Promise(promise), text, entries, conversation });
        }
    }

    /// A setting of the plan that is a number.
    pub fn setting(&self, name: &str) -> Option<u64> {
        let (_, value) = self.plan.settings.iter().rev().find(|(key, _)| key == name)?;
        value.parse().ok()
    }

    /// When the run ended, in milliseconds.
    pub fn ended_ms(&self) -> u64 {
        self.plan.active_ms + self.plan.calm_ms
    }

    /// Whether the whole history of a conversation was shown to its members at any time, other than from its
    /// beginning.
    pub fn history_was_opened(&self, conversation: &str) -> bool {
        let events = self.log.events.get(conversation).into_iter().flat_map(BTreeMap::values);
        events.into_iter().any(|event| event.fields["changes"]["history"] == "all") || self.may_lose()
    }

    /// Whether what was shown can be compared with the log: nothing of it was lost since, and it is the event
    /// that the log has.
    pub fn holds(&self, shown: &Shown<'_>) -> bool {
        let since = self.facts.lost_ms.is_none_or(|lost_ms| self.transcript.at_ms(shown.asked) > lost_ms);
        let logged = self.log.event(shown.conversation, shown.seq);
        since && logged.is_some_and(|logged| facts::is_same(logged, shown.event))
    }

    /// When a connection was over for the device or the process, in milliseconds.
    pub fn over_ms(&self, socket: &Socket) -> u64 {
        let ends = [socket.left, socket.closed.map(|(at, _)| at)].into_iter().flatten();
        let over_ms = ends.map(|at| self.transcript.at_ms(at)).min().unwrap_or(self.ended_ms());
        over_ms.min(self.troubles.cut_at(self.transcript.at_ms(socket.opened), socket.process, socket.device))
    }

    /// Whether a device is connected at the end, to a process that is alive.
    pub fn is_connected(&self, device: usize) -> bool {
        let mut sockets =
            self.transcript.sockets.values().filter(|one| one.device == device && one.user.is_some());
        sockets.any(|one| one.closed.is_none() && self.over_ms(one) >= self.ended_ms())
    }

    /// Whether one of two users asked to block the other at any time.
    pub fn were_blocked(&self, one: &str, other: &str) -> bool {
        self.transcript.requests.iter().any(|request| {
            let of = request.call("PUT").and_then(|(path, _)| match path.as_slice() {
                ["v1", "blocks", of] => Some(*of),
                _ => None,
            });
            of == Some(one) || of == Some(other)
        })
    }

    /// Whether a user left a conversation, or was removed from one, at any time.
    pub fn left_something(&self, user: &str) -> bool {
        let mut events = self.log.events.values().flat_map(BTreeMap::values);
        events.any(|event| {
            event.kind == "member_left" && event.fields["user"].as_str().is_none_or(|left| left == user)
        })
    }

    /// Whether a device sends what no client should.
    pub fn is_hostile(&self, device: usize) -> bool {
        self.plan.devices.get(device).is_none_or(|one| one.behaviour == Behaviour::Hostile)
    }

    /// Whether a fault of the plan may take something away that was committed: a sign-in, a block, an event.
    pub fn may_lose(&self) -> bool {
        self.plan.steps.iter().any(|step| {
            matches!(step.act, Act::Fault(Fault::FailOver { lost: 1.. } | Fault::Restore { lost: 1.. }))
        })
    }
}

/// All checks.
const CHECKS: &[fn(&mut Run<'_>)] = &[
    order::check,
    acks::check,
    definite::check,
    fits::check,
    live::check,
    delivery::check,
    lagging::check,
    private::check,
    revoked::check,
    suspended::check,
    audited::check,
    blocks::check,
    muted::check,
    banned::check,
    watches::check,
    copies::check,
    resumes::check,
    ranges::check,
    pages::check,
    fresh::check,
    numbers::check,
    erased::check,
    gone::check,
    answers::check,
    waits::check,
    refresh::check,
    drain::check,
    reset::check,
    signals::check,
    typing::check,
    calm::check,
];

/// Checks a run.
pub fn check(plan: &Plan, entries: &[Entry], log: &FinalLog, copies: &BTreeMap<usize, Copy>) -> Verdict {
    let transcript = Transcript::read(plan, entries);
    let traffic = traffic(entries);
    let facts = Facts::of(&transcript, log);
    let troubles = Troubles::of(plan, &transcript);
    let mut run = Run { plan, transcript, log, copies, facts, troubles, found: Vec::new() };
    CHECKS.iter().for_each(|check| check(&mut run));
    let mut violations = run.found;
    violations.sort_by_key(|one| one.promise);
    let count = |name: &str| traffic.get(name).copied().unwrap_or_default();
    let unknown = count("acks") < LEAST_ACKS || count("events") < LEAST_EVENTS;
    Verdict { violations, unknown, traffic }
}

/// Counts of what happened.
fn traffic(entries: &[Entry]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut add = |name: String| *counts.entry(name).or_default() += 1;
    for entry in entries {
        match &entry.what {
            What::Opened { .. } => add("connections".to_owned()),
            What::Received { frame, .. } => match frame["type"].as_str() {
                Some("ack") => add("acks".to_owned()),
                Some("event") => add("events".to_owned()),
                Some(name) => add(format!("frames {name}")),
                None => {}
            },
            What::Answered { status: Some(status), .. } => {
                add(format!("calls {}", if *status < 300 { "done" } else { "refused" }));
            }
            What::Answered { status: None, .. } => add("calls broken".to_owned()),
            _ => {}
        }
    }
    counts
}
