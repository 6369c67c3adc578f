//! P5: once faults have ended, a correct device has exactly what its user may see in the log.
//!
//! A device that the server told to stop or to stay away, or that signed out, is not compared. Content that
//! another user removes in the end may still be under way for a moment: the calm is longer than that.

use std::collections::BTreeMap;

use super::Run;
use super::log::Logged;
use crate::clients::copy::{Conversation, Copy};
use crate::plan::Behaviour;

/// What is committed is delivered within so long (P6).
const UNDER_WAY_MS: u64 = 1_500;
/// Who was given something that it asked for so shortly before the end has not stopped reading.
const CATCHING_UP_MS: u64 = 3_000;
/// Who was refused several times waits so long at most before the next try.
const TRIES_AGAIN_MS: u64 = 8_000;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (device, copy) in run.copies {
        let Some(user) = compared(run, *device, copy) else { continue };
        for (conversation, members) in &run.log.members {
            let Some(member) = members.get(user).filter(|_| !run.log.deleted.contains(conversation)) else {
                continue;
            };
            let Some(events) = run.log.events.get(conversation) else { continue };
            let Some(last) = events.keys().next_back().copied().filter(|last| *last >= member.first_seq)
            else {
                continue;
            };
            let Some(have) = copy.conversations.get(conversation) else {
                if former_refused(run, *device, conversation) {
                    continue;
                }
                let text = format!(
                    "device {device} does not know {conversation}, of which its user {user} is a member"
                );
                wrong.push((text, conversation));
                continue;
            };
            if have.position != last
                && (is_catching_up(run, *device) || is_under_way(run, conversation, have.position))
            {
                continue;
            }
            if have.position != last {
                let text = format!(
                    "device {device} has {conversation} up to {}, and the log goes up to {last}: {}",
                    have.position,
                    events[&last].shown()
                );
                wrong.push((text, conversation));
                continue;
            }
            // Who was a member before the history was opened has what came since the join.
            let opened = run.history_was_opened(conversation);
            let first = if opened { member.first_seq.max(member.joined_seq) } else { member.first_seq };
            for (seq, logged) in events.range(first..) {
                // Nobody is told that a user was erased: who had the content keeps it.
                let kept = run.log.erased.contains(&logged.sender);
                if let Some(difference) = difference(have, *seq, logged, kept) {
                    let text = format!(
                        "device {device} shows event {seq} of {conversation} differently: {difference}"
                    );
                    wrong.push((text, conversation));
                    break;
                }
            }
        }
        for conversation in copy.conversations.keys() {
            let is_member =
                run.log.members.get(conversation).is_some_and(|members| members.contains_key(user));
            if !is_member && run.log.events.contains_key(conversation) {
                let text = format!(
                    "device {device} still shows {conversation}, of which its user {user} is no member"
                );
                wrong.push((text, conversation));
            }
        }
    }
    let wrong: Vec<(String, String)> = wrong.into_iter().map(|(text, about)| (text, about.clone())).collect();
    for (text, conversation) in wrong {
        run.broken("P5", text, Vec::new(), Some(&conversation));
    }
}

/// Whether everything after a position came so shortly before the end that it may still be on its way: nobody
/// was told of it, or only then.
fn is_under_way(run: &Run<'_>, conversation: &str, position: u64) -> bool {
    let events = run.log.events.get(conversation).into_iter().flat_map(BTreeMap::keys);
    let mut later = events.filter(|seq| **seq > position).peekable();
    later.peek().is_some()
        && later.all(|seq| {
            let known = run.facts.known(conversation, *seq);
            known.is_none_or(|known| known.at_ms + UNDER_WAY_MS > run.ended_ms())
        })
}

/// Whether a device with small limits still reads what it lacks, and gets on. One that was told "wait
/// `retry_after_ms`" (docs/PROTOCOL.md, 1.5), because another device of its user reads at the same time,
/// tries again.
fn is_catching_up(run: &Run<'_>, device: usize) -> bool {
    let since_ms = |ms: u64| run.ended_ms().saturating_sub(ms);
    let mut read = run.transcript.shown.iter().rev().filter(|shown| shown.device == device && !shown.live);
    let reads =
        read.next().is_some_and(|shown| run.transcript.at_ms(shown.entry) >= since_ms(CATCHING_UP_MS));
    let user = run.transcript.users.get(&device);
    let shares = run.transcript.users.values().filter(|one| Some(*one) == user).count() > 1;
    let mut asked = run.transcript.requests.iter().rev().filter(|request| request.device == device);
    let last = asked.find(|request| request.frame("sync").is_some());
    let waits = last.is_some_and(|last| {
        last.answer.is_some_and(|answer| answer["code"] == "rate_limited")
            && run.transcript.at_ms(last.sent) >= since_ms(TRIES_AGAIN_MS)
    });
    reads || (shares && waits)
}

/// Whether a former primary may have said that a conversation is not there, so that the device dropped it:
/// "After a failover a node reads the former primary, if that still answers, until its first write there is
/// refused; such a read may be older than an ack" (docs/SEMANTICS.md, exceptions of P13).
fn former_refused(run: &Run<'_>, device: usize, conversation: &str) -> bool {
    run.transcript.requests.iter().filter(|request| request.device == device).any(|request| {
        let ranges = request.frame("sync").and_then(|frame| frame["ranges"].as_array());
        let alone =
            ranges.is_some_and(|ranges| ranges.len() == 1 && ranges[0]["conversation"] == conversation);
        let code = request.answer.and_then(|answer| answer["code"].as_str());
        alone
            && matches!(code, Some("not_found" | "not_member"))
            && run.facts.unsettled(run.transcript.at_ms(request.sent)).is_some()
    })
}

/// The user of a device whose copy must be complete.
fn compared<'c>(run: &Run<'_>, device: usize, copy: &'c Copy) -> Option<&'c str> {
    let correct = run.plan.devices.get(device)?.behaviour == Behaviour::Correct;
    let ended = copy.signed_out || copy.stopped.is_some() || copy.banished || !copy.complete;
    // Who is not connected is another check's business.
    copy.user.as_deref().filter(|_| correct && !ended && run.is_connected(device))
}

/// What a device shows of an event, and the log has otherwise.
fn difference(have: &Conversation, seq: u64, logged: &Logged, kept: bool) -> Option<String> {
    let Some(shown) = have.events.get(&seq) else { return Some("it does not have it".to_owned()) };
    if shown["kind"].as_str() != Some(&logged.kind) || shown["sender"].as_str() != Some(&logged.sender) {
        return Some(format!("it is a {} by {}, and shown as {shown}", logged.kind, logged.sender));
    }
    if logged.kind != "message" || kept {
        return None;
    }
    let message = have.messages.get(&seq)?;
    if message.deleted != logged.deleted {
        return Some(format!(
            "its content is {}, and shown as {}",
            gone(logged.deleted),
            gone(message.deleted)
        ));
    }
    (!logged.deleted && message.body != logged.body)
        .then(|| format!("its text is {:?}, and shown as {:?}", logged.body, message.body))
}

fn gone(is: bool) -> &'static str {
    if is { "gone" } else { "there" }
}
