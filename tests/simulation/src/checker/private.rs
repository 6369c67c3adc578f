//! P7: nothing is shown to a user who is not, or no longer, a member, or whose token ended.
//!
//! From the answer to a removal on, the removed user is shown no event that was committed after the removal.
//! A request from before the answer may be answered late, but only with events from before the removal. Users
//! who were members at the time of an event may be shown it; the log says who they were.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Run;

pub(super) fn check(run: &mut Run<'_>) {
    strangers(run);
    foreign_keys(run);
    early(run);
}

/// A user who is shown an event was a member when it was committed, or joined later and may see earlier
/// events.
fn strangers(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for shown in &run.transcript.shown {
        let Some(user) = run.transcript.user_of(shown.socket, shown.request) else { continue };
        if !run.holds(shown) {
            continue;
        }
        let stays = run.facts.stays(shown.conversation, user);
        // Up to and including the event that ended the stay.
        let allowed = if shown.live {
            stays.iter().any(|stay| stay.joined <= shown.seq && shown.seq <= stay.left)
        } else {
            stays.iter().any(|stay| shown.seq <= stay.left)
        };
        if !allowed {
            let what = if stays.is_empty() {
                "and its user was never a member"
            } else {
                "and its user was no member then"
            };
            let text = format!(
                "device {} of {user} was shown event {} of {}, {what}",
                shown.device, shown.seq, shown.conversation
            );
            wrong.push((text, vec![shown.asked, shown.entry], shown.conversation));
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P7", text, entries, Some(conversation));
    }
}

/// Only the sender's own devices see the key of a message.
fn foreign_keys(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for shown in &run.transcript.shown {
        let Some(user) = run.transcript.user_of(shown.socket, shown.request) else { continue };
        if !shown.event["client_id"].is_null() && shown.event["sender"].as_str() != Some(user) {
            let text = format!(
                "device {} was shown the client id of a message of {}",
                shown.device, shown.event["sender"]
            );
            wrong.push((text, vec![shown.entry], shown.conversation));
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P7", text, entries, Some(conversation));
    }
}

/// No event before the first one that the last head named for that user.
fn early(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for socket in run.transcript.sockets.values() {
        let mut first: BTreeMap<&str, u64> = BTreeMap::new();
        for (entry, was_sent) in &socket.frames {
            let Some(frame) = run.transcript.frame(*entry).filter(|_| !was_sent) else { continue };
            match frame["type"].as_str().unwrap_or_default() {
                "welcome" | "heads" => {
                    for head in frame["heads"].as_array().into_iter().flatten() {
                        if let (Some(conversation), Some(seq)) =
                            (head["conversation"].as_str(), head["first_seq"].as_u64())
                        {
                            first.insert(conversation, seq);
                        }
                    }
                }
                "event" | "events" => {
                    let conversation = frame["conversation"].as_str().unwrap_or_default();
                    let seqs = match frame["events"].as_array() {
                        Some(events) => events.iter().map(|event| &event["seq"]).collect(),
                        None => vec![&frame["seq"]],
                    };
                    let Some(limit) = first.get(conversation) else { continue };
                    // Opening the history of a conversation moves the first event back.
                    let opened = |value: &Value| value.as_u64().is_some_and(|seq| seq < *limit);
                    if seqs.into_iter().any(opened) && !run.history_was_opened(conversation) {
                        let text = format!(
                            "device {} was shown an event of {conversation} before {limit}, its first one",
                            socket.device
                        );
                        wrong.push((text, vec![*entry], conversation));
                    }
                }
                _ => {}
            }
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P7", text, entries, Some(conversation));
    }
}
