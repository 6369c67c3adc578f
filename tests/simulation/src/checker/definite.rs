//! P1 and P3: a request that was refused with `definite: true` did not happen and never does. A request that
//! is answered as a repetition was done before, and one that was done before is answered as a repetition.
//!
//! A failover or a restore may lose a change, so the second part is checked without them only.

use std::collections::BTreeMap;

use super::Run;
use super::changes::{Wish, wish};
use super::transcript::Request;

/// An attempt at a change.
struct Attempt<'t, 'r> {
    request: &'t Request<'r>,
    wish: Wish<'r>,
}

impl Attempt<'_, '_> {
    /// Whether it may have made the event.
    fn may_have(&self) -> bool {
        !self.request.is_refused()
    }

    fn entries(&self) -> Vec<usize> {
        [Some(self.request.sent), self.request.answered].into_iter().flatten().collect()
    }
}

type Wrong = Vec<(String, Vec<usize>, String)>;

pub(super) fn check(run: &mut Run<'_>) {
    let requests = run.transcript.requests.iter();
    let attempts: Vec<Attempt<'_, '_>> =
        requests.filter_map(|request| wish(request).map(|wish| Attempt { request, wish })).collect();
    let mut wrong = Vec::new();
    keyed(run, &attempts, &mut wrong);
    unkeyed(run, &attempts, &mut wrong);
    for (text, entries, conversation) in wrong {
        run.broken("P3", text, entries, Some(&conversation));
    }
}

/// Whether two attempts may be of the same user: the user of a frame before the welcome is not known.
fn may_be_of(request: &Request<'_>, user: &str) -> bool {
    request.user.as_deref().is_none_or(|sender| sender == user)
}

/// Messages and edits with a key.
fn keyed(run: &Run<'_>, attempts: &[Attempt<'_, '_>], wrong: &mut Wrong) {
    let mut by_key: BTreeMap<&str, Vec<&Attempt<'_, '_>>> = BTreeMap::new();
    for attempt in attempts {
        if let Some(key) = &attempt.wish.client_id {
            by_key.entry(key).or_default().push(attempt);
        }
    }
    for (conversation, events) in &run.log.events {
        for event in events.values() {
            let of_key = event.client_id.as_deref().and_then(|key| by_key.get(key)).into_iter().flatten();
            let mut of_key = of_key.filter(|one| may_be_of(one.request, &event.sender)).peekable();
            // Another check finds events whose key was never sent.
            let Some(first) = of_key.peek().copied() else { continue };
            if !of_key.any(|one| one.may_have()) {
                let text = format!(
                    "{} of {} was refused for good, and is in the log at {} of {conversation}",
                    first.wish, event.sender, event.seq
                );
                wrong.push((text, first.entries(), conversation.clone()));
            }
        }
    }
    if run.may_lose() {
        return;
    }
    for of_key in by_key.values() {
        for attempt in of_key.iter().filter(|one| one.request.is_done()) {
            let (Some(answer), Some(user)) = (attempt.request.answer, &attempt.request.user) else {
                continue;
            };
            let others = || {
                let same = of_key.iter().filter(|other| other.request.sent != attempt.request.sent);
                same.filter(|other| other.wish.kind == attempt.wish.kind && may_be_of(other.request, user))
            };
            if answer["duplicate"] == true {
                let before = others().filter(|other| Some(other.request.sent) < attempt.request.answered);
                if !before.into_iter().any(|other| other.may_have()) {
                    let refused = others().next().map(|other| other.entries()).unwrap_or_default();
                    let text = format!(
                        "{} is answered as a repetition, and every other attempt was refused for good",
                        attempt.wish
                    );
                    let entries = refused.into_iter().chain(attempt.entries()).collect();
                    wrong.push((text, entries, attempt.wish.conversation.to_owned()));
                }
            } else if let Some(before) = others().find(|other| {
                other.request.is_done() && other.request.answered.is_some_and(|at| at < attempt.request.sent)
            }) {
                let text = format!("{} was acknowledged before, and is answered as a new one", attempt.wish);
                let entries = before.entries().into_iter().chain(attempt.entries()).collect();
                wrong.push((text, entries, attempt.wish.conversation.to_owned()));
            }
        }
    }
}

/// Changes without a key: the log has no more of a kind than there were attempts that may have made them.
fn unkeyed(run: &Run<'_>, attempts: &[Attempt<'_, '_>], wrong: &mut Wrong) {
    for (conversation, events) in &run.log.events {
        let mut counts: BTreeMap<(&str, &str, u64, String), u64> = BTreeMap::new();
        for event in events.values() {
            let (Some(target), "edit" | "delete" | "reaction") = (event.target, event.kind.as_str()) else {
                continue;
            };
            let reaction = format!("{}{}", event.fields["emoji"], event.fields["on"]);
            *counts.entry((&event.sender, &event.kind, target, reaction)).or_default() += 1;
        }
        for ((sender, kind, target, reaction), count) in counts {
            let same = |one: &&Attempt<'_, '_>| {
                let wanted = one
                    .wish
                    .reaction
                    .as_ref()
                    .map(|(emoji, on)| format!("{}{on}", serde_json::Value::from(emoji.as_str())));
                one.wish.conversation == conversation.as_str()
                    && one.wish.kind == kind
                    && one.wish.target == Some(target)
                    && wanted.is_none_or(|wanted| wanted == reaction)
                    && may_be_of(one.request, sender)
            };
            let refused = attempts.iter().filter(same).find(|one| one.request.is_refused());
            let may_have = attempts.iter().filter(same).filter(|one| one.may_have()).count() as u64;
            if let Some(refused) = refused.filter(|_| may_have < count) {
                let text = format!(
                    "{} was refused for good, and the log of {conversation} has {count} of {sender} where {may_have} may have been done",
                    refused.wish
                );
                wrong.push((text, refused.entries(), conversation.clone()));
            }
        }
    }
}
