//! The commands of the operator, from the history.

use crate::history::{Entry, What, Who};

/// What a command does to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is kept out for so long; `None`: without an end.
    Suspended { ms: Option<u64> },
    /// It is let in again.
    Lifted,
    /// All its sign-ins end.
    SignInsEnded,
}

impl Effect {
    /// The action that the audit log has for it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Suspended { .. } => "suspended",
            Self::Lifted => "suspension_lifted",
            Self::SignInsEnded => "sign_ins_ended",
        }
    }
}

/// One call of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operated {
    /// The account.
    pub user: String,
    /// What was asked for.
    pub effect: Effect,
    /// The entry in which it was sent.
    pub sent: usize,
    /// The entry with the answer that it was done.
    pub done: Option<usize>,
}

/// Reads the commands, in the order in which they were sent.
pub fn read(entries: &[Entry]) -> Vec<Operated> {
    let (mut operated, mut calls) = (Vec::new(), Vec::new());
    let of_operator = entries.iter().enumerate().filter(|(_, entry)| entry.who == Who::Operator);
    for (at, entry) in of_operator {
        match &entry.what {
            What::Called { call, method, path, .. } => {
                if let Some((user, effect)) = effect(method, path) {
                    calls.push(*call);
                    operated.push(Operated { user, effect, sent: at, done: None });
                }
            }
            What::Answered { call, status: Some(200..=299), .. } => {
                let of_call = calls.iter().position(|one| one == call);
                if let Some(one) = of_call.and_then(|index| operated.get_mut(index)) {
                    one.done = Some(at);
                }
            }
            _ => {}
        }
    }
    operated
}

fn effect(method: &str, path: &str) -> Option<(String, Effect)> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (user, what) = path.strip_prefix("/admin/users/")?.split_once('/')?;
    let seconds = query.split('&').find_map(|part| part.strip_prefix("duration_s=")?.parse::<u64>().ok());
    let effect = match (method, what) {
        ("PUT", "suspension") => Effect::Suspended { ms: seconds.map(|seconds| seconds * 1_000) },
        ("DELETE", "suspension") => Effect::Lifted,
        ("DELETE", "sign-ins") => Effect::SignInsEnded,
        _ => return None,
    };
    Some((user.to_owned(), effect))
}
