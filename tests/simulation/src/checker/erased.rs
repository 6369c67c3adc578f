//! P14: after a change was answered, no answer to a later question has what it took away: the content of a
//! deleted message, the text of an edit that another one replaced, anything of a deleted conversation.
//!
//! Questions that were asked before the answer may be answered with it. Pushed events were committed before.
//! Of an erased account the content goes after the answer, so [`super::gone`] looks at the end only.

use std::collections::BTreeMap;

use super::Run;
use super::changes::wish;
use super::transcript::Shown;

pub(super) fn check(run: &mut Run<'_>) {
    if run.may_lose() {
        return;
    }
    // When the delete of a message, and the last edit of one, was answered: entry, and the seq of that event.
    let mut deleted: BTreeMap<(String, u64), usize> = BTreeMap::new();
    let mut edited: BTreeMap<(String, u64), Vec<(usize, u64)>> = BTreeMap::new();
    let mut ended: BTreeMap<String, usize> = BTreeMap::new();
    for request in run.transcript.requests.iter().filter(|request| request.is_done()) {
        let Some(answered) = request.answered else { continue };
        if let Some((path, _)) = request.call("DELETE")
            && let ["v1", "conversations", id] = path.as_slice()
        {
            ended.entry((*id).to_owned()).or_insert(answered);
        }
        let Some(wish) = wish(request) else { continue };
        let Some(target) = wish.target else { continue };
        let place = (wish.conversation.to_owned(), target);
        let seq = request.answer.and_then(|answer| answer["seq"].as_u64());
        match (wish.kind, seq) {
            ("delete", _) => {
                deleted.entry(place).or_insert(answered);
            }
            ("edit", Some(seq)) => edited.entry(place).or_default().push((answered, seq)),
            _ => {}
        }
    }
    let mut wrong = Vec::new();
    for shown in run.transcript.shown.iter().filter(|shown| !shown.live) {
        let mut add = |what: &str, by: usize| {
            let text = format!(
                "device {} was shown {what} at {} of {}",
                shown.device, shown.seq, shown.conversation
            );
            wrong.push((text, vec![by, shown.asked, shown.entry], shown.conversation));
        };
        if let Some(by) = ended.get(shown.conversation).filter(|by| **by < shown.asked) {
            add("an event of a conversation that was deleted before it asked,", *by);
        }
        let has = |field: &str| !shown.event[field].is_null();
        let of_message = |seq: u64| (shown.conversation.to_owned(), seq);
        match (shown.event["kind"].as_str(), target(shown)) {
            (Some("message"), _) if has("body") || has("data") || has("attachments") => {
                if let Some(by) = deleted.get(&of_message(shown.seq)).filter(|by| **by < shown.asked) {
                    add("the content of a message that was deleted before it asked,", *by);
                }
            }
            (Some("edit"), Some(target)) if has("body") => {
                let gone = deleted.get(&of_message(target)).filter(|by| **by < shown.asked);
                let later = edited.get(&of_message(target)).into_iter().flatten();
                let replaced = later.into_iter().find(|(by, seq)| *seq > shown.seq && *by < shown.asked);
                if let Some(by) = gone.or(replaced.map(|(by, _)| by)) {
                    add("a text that was replaced or deleted before it asked,", *by);
                }
            }
            _ => {}
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P14", text, entries, Some(conversation));
    }
}

fn target(shown: &Shown<'_>) -> Option<u64> {
    shown.event["target_seq"].as_u64()
}
