//! P5 and P13: a page of history has the messages directly before or after the requested place, in order and
//! without holes, says correctly whether there are more, and the newest page has every message that its
//! reader knew of.

use std::collections::BTreeMap;

use super::Run;
use super::log::Logged;
use super::ranges::number;
use super::told::Told;
use super::transcript::{Asked, Request};

/// A page that was asked for, and what came.
struct Page<'r> {
    conversation: &'r str,
    before: Option<u64>,
    after: Option<u64>,
    limit: u64,
    min_seq: u64,
    seqs: Vec<u64>,
    more: bool,
}

/// Messages of a page when no limit is named.
const USUAL: u64 = 50;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let told = Told::of(&run.transcript, false).since(&run.transcript, run.facts.lost_ms);
    for request in run.transcript.requests.iter().filter(|request| request.is_done()) {
        let (Some(user), Some(answered)) = (request.user.as_deref(), request.answered) else { continue };
        let Some(page) = page(request) else { continue };
        let lost = run.facts.lost_ms.is_some_and(|lost_ms| run.transcript.at_ms(request.sent) <= lost_ms);
        if lost || run.log.deleted.contains(page.conversation) {
            continue;
        }
        let Some(events) = run.log.events.get(page.conversation) else { continue };
        if let Some((promise, what)) = problem(run, request, user, &page, events, &told) {
            let text = format!(
                "device {} read the history of {} ({}) and was given {:?}: {what}",
                request.device,
                page.conversation,
                asked_for(&page),
                page.seqs
            );
            wrong.push((promise, text, vec![request.sent, answered], page.conversation));
        }
    }
    for (promise, text, entries, conversation) in wrong {
        run.broken(promise, text, entries, Some(conversation));
    }
}

fn page<'r>(request: &Request<'r>) -> Option<Page<'r>> {
    let Asked::Call("GET", path, _) = request.asked else { return None };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ["v1", "conversations", conversation, "messages"] = parts.as_slice() else { return None };
    let answer = request.answer?;
    let messages = answer["messages"].as_array()?;
    Some(Page {
        conversation,
        before: number(query, "before"),
        after: number(query, "after"),
        limit: number(query, "limit").unwrap_or(USUAL),
        min_seq: number(query, "min_seq").unwrap_or(0),
        seqs: messages.iter().filter_map(|message| message["seq"].as_u64()).collect(),
        more: answer["more"] == true,
    })
}

fn asked_for(page: &Page<'_>) -> String {
    match (page.before, page.after) {
        (Some(before), _) => format!("{} before {before}", page.limit),
        (None, Some(after)) => format!("{} after {after}", page.limit),
        (None, None) => format!("the newest {}", page.limit),
    }
}

fn problem(
    run: &Run<'_>,
    request: &Request<'_>,
    user: &str,
    page: &Page<'_>,
    events: &BTreeMap<u64, Logged>,
    told: &Told<'_>,
) -> Option<(&'static str, String)> {
    if page.seqs.iter().zip(page.seqs.iter().skip(1)).any(|(one, next)| next <= one) {
        return Some(("P5", "they are not in ascending order".to_owned()));
    }
    if page.seqs.len() as u64 > page.limit {
        return Some(("P5", "these are more than were asked for".to_owned()));
    }
    // The messages between two seqs, both left out.
    let between = |after: u64, before: u64| {
        let inside = after < u64::MAX && after + 1 < before;
        let range = inside.then(|| events.range(after + 1..before)).into_iter().flatten();
        range.filter(|(_, event)| event.kind == "message").map(|(seq, _)| *seq)
    };
    let holes = page.seqs.iter().zip(page.seqs.iter().skip(1));
    if let Some(hole) = holes.into_iter().find_map(|(one, next)| between(*one, *next).next()) {
        return Some(("P5", format!("message {hole} is left out")));
    }
    let stays = run.facts.stays(page.conversation, user);
    // A user may see at least the events since the last join. A user who has left sees less.
    let joined = stays.iter().map(|stay| stay.joined).max()?;
    let stays_on = stays.iter().any(|stay| stay.left == u64::MAX);
    let first = page.seqs.first().copied();
    let last = page.seqs.last().copied();
    match (page.before, page.after) {
        (Some(before), _) => {
            if let Some(left_out) = between(last.unwrap_or(joined.saturating_sub(1)), before).next_back() {
                return stays_on.then(|| ("P5", format!("message {left_out} is left out at the end")));
            }
        }
        (None, Some(after)) => {
            let from = after.max(joined.saturating_sub(1));
            let known =
                told.before(request.device, page.conversation, request.sent).map_or(0, |(_, seq)| seq);
            let to = first.unwrap_or(known + 1);
            if let Some(left_out) = between(from, to).next().filter(|_| stays_on) {
                return Some(("P5", format!("message {left_out} is left out at the beginning")));
            }
        }
        (None, None) => {
            let known =
                told.before(request.device, page.conversation, request.sent).map_or(0, |(_, seq)| seq);
            let known = known.max(page.min_seq);
            let newest = between(last.unwrap_or(joined.saturating_sub(1)), known + 1).next_back();
            if let Some(left_out) = newest.filter(|_| stays_on) {
                return Some((
                    "P13",
                    format!("message {left_out} is left out, and this device knew of {known}"),
                ));
            }
        }
    }
    let backwards = page.after.is_none();
    let further = match (backwards, first, last) {
        (true, Some(first), _) => between(0, first).next_back(),
        (false, _, Some(last)) => between(last, u64::MAX).next(),
        _ => None,
    };
    if page.more && further.is_none() {
        return Some(("P5", "it says that there is more, and there is not".to_owned()));
    }
    let visible = between(joined.saturating_sub(1), first.unwrap_or(0)).next_back();
    if backwards && !page.more && stays_on && visible.is_some() {
        return Some(("P5", format!("it says that there is no more, and there is message {visible:?}")));
    }
    None
}
