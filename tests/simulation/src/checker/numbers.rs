//! P5: heads count the unread messages correctly, and read positions are those that devices set.
//!
//! Unread are the messages of others after the read position whose content is there. A message that was
//! deleted later counts in a head before that; the head's `last_seq` shows whether it is before. An erasure
//! has no event, so messages of erased users count or not.

use super::Run;
use super::log::Logged;
use super::transcript::{Head, Request};
use crate::plan::Behaviour;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for head in &run.transcript.heads {
        let lost = run.facts.lost_ms.is_some_and(|lost_ms| run.transcript.at_ms(head.asked) <= lost_ms);
        let user = run.transcript.user_of(head.socket, head.request);
        let Some(user) = user.filter(|_| !lost && !run.log.deleted.contains(head.conversation)) else {
            continue;
        };
        if let Some(text) = miscounted(run, head, user) {
            wrong.push((text, vec![head.entry], head.conversation.to_owned()));
        }
    }
    positions(run, &mut wrong);
    for (text, entries, conversation) in wrong {
        run.broken("P5", text, entries, Some(&conversation));
    }
}

fn miscounted(run: &Run<'_>, head: &Head<'_>, user: &str) -> Option<String> {
    let events = run.log.events.get(head.conversation)?;
    let (unread, read) = (head.head["unread"].as_u64()?, head.head["read_seq"].as_u64()?);
    if read > head.last_seq {
        return Some(format!(
            "device {} was told that {user} has read further than the end: {}",
            head.device, head.head
        ));
    }
    let of_others = || {
        let range = events.range(read + 1..).take_while(|(seq, _)| **seq <= head.last_seq);
        range
            .filter(|(_, event)| event.kind == "message" && event.sender != user)
            .map(|(seq, event)| (*seq, event))
    };
    let deleted_by = |target: u64| {
        let mut deletes =
            events.iter().filter(|(_, event)| event.kind == "delete" && event.target == Some(target));
        deletes.next().map(|(seq, _)| *seq)
    };
    let gone = |seq: u64| deleted_by(seq).is_some_and(|by| by <= head.last_seq);
    let erased = |event: &Logged| run.log.erased.contains(&event.sender);
    let most = of_others().filter(|(seq, _)| !gone(*seq)).count() as u64;
    let least = of_others().filter(|(seq, event)| !gone(*seq) && !erased(event)).count() as u64;
    (unread < least || unread > most).then(|| {
        format!(
            "device {} was told of {unread} unread messages up to {} of {} for {user}, who has read up to {read}, and there are {most}",
            head.device, head.last_seq, head.conversation
        )
    })
}

/// At the end each user has read up to a position that a device of theirs sent, and at least up to their last
/// message.
fn positions(run: &Run<'_>, wrong: &mut Vec<(String, Vec<usize>, String)>) {
    let quiet = run.troubles.is_quiet();
    for (conversation, members) in &run.log.members {
        if run.facts.lost_ms.is_some() {
            continue;
        }
        for (user, member) in members {
            let written = run.log.events.get(conversation).into_iter().flatten();
            let written = written.filter(|(_, event)| event.kind == "message" && &event.sender == user);
            let written = written.map(|(seq, _)| *seq).max().unwrap_or(0);
            // Messages from before a user left and came back do not count.
            let written = if written > member.joined_seq { written } else { 0 };
            if member.read_seq < written {
                let text = format!(
                    "{user} wrote message {written} of {conversation}, and has read up to {}",
                    member.read_seq
                );
                wrong.push((text, Vec::new(), conversation.clone()));
            }
            let asked =
                || run.transcript.requests.iter().filter_map(|request| read_to(request, conversation, user));
            let anybody = run.plan.devices.iter().any(|device| device.behaviour == Behaviour::Hostile);
            let most = asked().map(|(seq, _)| seq).chain([written, member.joined_seq]).max().unwrap_or(0);
            if member.read_seq > most && !anybody {
                let text = format!(
                    "{user} has read {conversation} up to {}, and asked for {most} at most",
                    member.read_seq
                );
                wrong.push((text, Vec::new(), conversation.clone()));
            }
            // Who asks for more is given what there was then.
            let newest = |sent: usize| {
                let events = run.log.events.get(conversation).into_iter().flat_map(|events| events.keys());
                let known =
                    |seq: &&u64| run.facts.known(conversation, **seq).is_some_and(|one| one.entry < sent);
                events.rev().find(known).copied().unwrap_or(0)
            };
            let done = run.transcript.requests.iter().filter_map(|request| {
                let (seq, done) = read_to(request, conversation, user)?;
                done.then(|| seq.min(newest(request.sent)))
            });
            let done = done.max().unwrap_or(0);
            if quiet && done > member.read_seq {
                let text = format!(
                    "{user} was answered that {conversation} is read up to {done}, and the log says {}",
                    member.read_seq
                );
                wrong.push((text, Vec::new(), conversation.clone()));
            }
        }
    }
}

/// The position that a request asked for, and whether it was done.
fn read_to(request: &Request<'_>, conversation: &str, user: &str) -> Option<(u64, bool)> {
    if request.user.as_deref().is_some_and(|sender| sender != user) {
        return None;
    }
    if let Some(frame) = request.frame("read") {
        return (frame["conversation"] == conversation)
            .then_some((frame["seq"].as_u64()?, request.is_done()));
    }
    let (path, body) = request.call("PUT")?;
    let here = path.as_slice() == ["v1", "conversations", conversation, "read"];
    here.then_some((body["seq"].as_u64()?, request.is_done()))
}
