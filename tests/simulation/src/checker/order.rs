//! P2: in each conversation seqs run 1, 2, 3 … without gaps, and everybody who was shown an event at a seq
//! was shown the same one.
//!
//! A failover or restore that lost events begins another epoch, in which other events may have the seqs; what
//! was shown before that is not compared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Run;

/// The fields that never change, whatever happens to an event later.
const LASTING: &[&str] =
    &["kind", "sender", "target_seq", "emoji", "on", "user", "role", "reason", "message_id"];

pub(super) fn check(run: &mut Run<'_>) {
    numbered(run);
    alike(run);
}

fn numbered(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (conversation, events) in &run.log.events {
        for (expected, seq) in (1..).zip(events.keys()) {
            if *seq != expected {
                wrong.push((
                    conversation.clone(),
                    format!("the log of {conversation} has no event {expected}, but {seq}"),
                ));
                break;
            }
        }
        // Without a member nobody can be asked for the row.
        let Some(last) = run.log.last.get(conversation).copied() else { continue };
        let newest = events.keys().next_back().copied().unwrap_or_default();
        if last != newest && run.log.last.contains_key(conversation) {
            let text = format!(
                "the row of {conversation} says that {last} is its last event, and its newest event is {newest}"
            );
            wrong.push((conversation.clone(), text));
        }
    }
    for (conversation, text) in wrong {
        run.broken("P2", text, Vec::new(), Some(&conversation));
    }
}

fn alike(run: &mut Run<'_>) {
    let mut first: BTreeMap<(&str, u64), (usize, &Value)> = BTreeMap::new();
    let mut wrong = Vec::new();
    let since_ms = run.facts.lost_ms;
    for shown in &run.transcript.shown {
        if since_ms.is_some_and(|lost_ms| run.transcript.at_ms(shown.asked) <= lost_ms) {
            continue;
        }
        let key = (shown.conversation, shown.seq);
        let (entry, event) = *first.entry(key).or_insert((shown.entry, shown.event));
        // The reactions of an erased user are removed.
        let erased = shown.event["sender"].as_str().is_some_and(|sender| run.log.erased.contains(sender));
        if let Some(field) = differing(event, shown.event).filter(|field| *field != "emoji" || !erased) {
            let text = format!(
                "device {} was shown an event {} of {} whose {field} is {}, and before {}",
                shown.device, shown.seq, shown.conversation, shown.event[field], event[field]
            );
            wrong.push((text, vec![entry, shown.entry], shown.conversation));
        }
        if let Some(logged) = run.log.event(shown.conversation, shown.seq)
            && (Some(logged.kind.as_str()) != shown.event["kind"].as_str()
                || Some(logged.sender.as_str()) != shown.event["sender"].as_str())
        {
            let text = format!(
                "device {} was shown a {} by {} at {} of {}, and the log has a {} by {} there",
                shown.device,
                shown.event["kind"],
                shown.event["sender"],
                shown.seq,
                shown.conversation,
                logged.kind,
                logged.sender
            );
            wrong.push((text, vec![shown.entry], shown.conversation));
        }
        if run.log.events.contains_key(shown.conversation)
            && !run.log.deleted.contains(shown.conversation)
            && run.log.event(shown.conversation, shown.seq).is_none()
        {
            let text = format!(
                "device {} was shown an event {} of {}, which is not in the log",
                shown.device, shown.seq, shown.conversation
            );
            wrong.push((text, vec![shown.entry], shown.conversation));
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P2", text, entries, Some(conversation));
    }
}

fn differing(one: &Value, other: &Value) -> Option<&'static str> {
    LASTING.iter().copied().find(|field| {
        let (one, other) = (&one[*field], &other[*field]);
        !one.is_null() && !other.is_null() && one != other
    })
}
