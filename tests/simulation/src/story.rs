//! Tells a failing run as a story: who is there, what happened that matters, and which promise was broken.

mod frames;
mod names;
mod sentences;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use self::names::{Names, person};
use crate::checker::Violation;
use crate::history::{Entry, What, Who};
use crate::plan::{Behaviour, Plan};

/// The most numbered steps.
const MOST_STEPS: usize = 120;

/// Each promise in a few words.
fn promised(promise: &str) -> &'static str {
    match promise {
        "P1" => "an acknowledged event is in the log, where the ack said, for ever",
        "P2" => "in each conversation seqs run 1, 2, 3 …, the same for everybody",
        "P3" => "the same sender and client id make one event",
        "P4" => "a connection is pushed every event in order, none twice, none left out",
        "P5" => "who was away receives exactly what they missed",
        "P6" => "a message reaches connected members soon",
        "P7" => "nothing is shown to those who may not see it",
        "P8" => "Redis may fail: nothing is lost, and delivery continues within seconds",
        "P9" => "a node may fail: repeating is safe, and who wants to is connected again",
        "P10" => "who is asked to connect elsewhere keeps the connection until the deadline",
        "P12" => "a slow reader is told so, and sent heads when it has caught up",
        "P11" => "every request gets an answer that says what to do",
        "P13" => "after an ack every read shows the event",
        "P14" => "deleted content is gone",
        "audit" => "the audit log is one chain, and has what an operator did",
        _ => "what docs/SEMANTICS.md says",
    }
}

/// Tells it.
pub fn tell(plan: &Plan, entries: &[Entry], violation: &Violation) -> String {
    let names = Names::of(plan, entries);
    let seen = names.replace(&violation.text);
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = writeln!(text, "Seed {}: {} is broken.", plan.seed, violation.promise);
    let _ = writeln!(text, "Promised: {}.", promised(violation.promise.0));
    let _ = writeln!(text, "Seen: {seen}.\n");
    for (process, about) in plan.processes.iter().enumerate() {
        let _ = writeln!(text, "  process {process}: {}", about.roles);
    }
    for (device, about) in plan.devices.iter().enumerate() {
        let kind = match about.behaviour {
            Behaviour::Correct => "a correct client",
            Behaviour::Lazy => "a client without a cursor",
            Behaviour::Rest => "REST only",
            Behaviour::Hostile => "hostile",
        };
        let _ = writeln!(text, "  device {device}: {}'s, {kind}", person(about.person));
    }
    text.push('\n');
    let chosen = chosen(entries, violation);
    let left_out = chosen.len().saturating_sub(MOST_STEPS);
    if left_out > 0 {
        let _ = writeln!(text, "({left_out} earlier steps are left out)");
    }
    for (number, at) in chosen.iter().enumerate().skip(left_out) {
        let entry = &entries[*at];
        let mark = if violation.entries.contains(at) { " <--" } else { "" };
        let seconds = entry.at_ms as f64 / 1_000.0;
        let said = sentences::sentence(plan, &names, entry);
        let _ = writeln!(text, "{:>4}. {seconds:>7.3} s  {said}{mark}", number + 1);
    }
    let _ = writeln!(text, "\nPromised: {}.", promised(violation.promise.0));
    let _ = writeln!(text, "Seen: {seen}.");
    text
}

/// The entries that matter: those of the violation, those about its conversation, faults, and connections.
fn chosen(entries: &[Entry], violation: &Violation) -> Vec<usize> {
    let last = violation.entries.iter().max().copied().unwrap_or(entries.len());
    let marked: BTreeSet<usize> = violation.entries.iter().copied().collect();
    let about = |text: &str| violation.conversation.as_deref().is_none_or(|id| text.contains(id));
    (0..entries.len())
        .filter(|at| *at <= last && (marked.contains(at) || matters(&entries[*at], &about)))
        .collect()
}

fn matters(entry: &Entry, about: &impl Fn(&str) -> bool) -> bool {
    match &entry.what {
        What::Opened { .. } | What::Closed { .. } => true,
        What::Noted { .. } => entry.who == Who::World,
        What::SentGarbage { .. } => false,
        What::Sent { frame, .. } | What::Received { frame, .. } => {
            let kind = frame["type"].as_str().unwrap_or_default();
            let silent = ["ping", "pong", "presence", "typing", "delivered", "receipt"].contains(&kind);
            !silent && (about(&frame.to_string()) || ["hello", "lagging", "reconnect"].contains(&kind))
        }
        What::Called { path, body, .. } => about(path) || about(&body.to_string()),
        What::Answered { body, .. } => about(&body.to_string()),
    }
}
