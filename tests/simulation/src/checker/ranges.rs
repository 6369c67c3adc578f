//! P5: an answer to `sync`, and a page of events, has exactly the events that were asked for: in order,
//! without holes, from the first one that the user may see, and up to the end of what this device knew when
//! it asked.
//!
//! The syncs of a connection are read one after the other (docs/PROTOCOL.md, 1.4).

use std::collections::BTreeMap;

use serde_json::Value;

use super::Run;
use super::told::Told;
use super::transcript::{Asked, Request};

/// A range that was asked for, and what came.
pub(super) struct Range<'r> {
    pub conversation: &'r str,
    pub after: u64,
    pub limit: Option<u64>,
    pub seqs: Vec<u64>,
    /// Whether the answer says that there is more.
    pub more: bool,
}

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let told = Told::of(&run.transcript, false).since(&run.transcript, run.facts.lost_ms);
    for request in run.transcript.requests.iter().filter(|request| request.is_done()) {
        let (Some(user), Some(answered)) = (request.user.as_deref(), request.answered) else { continue };
        // Hostile devices use an id for many requests.
        if run.is_hostile(request.device) {
            continue;
        }
        for range in ranges(run, request) {
            if let Some(what) = problem(run, request, user, &range, &told) {
                let text = format!(
                    "device {} asked for the events of {} after {} and was given {:?}: {what}",
                    request.device, range.conversation, range.after, range.seqs
                );
                wrong.push(("P5", text, vec![request.sent, answered], Some(range.conversation.to_owned())));
            }
        }
    }
    interleaved(run, &mut wrong);
    for (promise, text, entries, conversation) in wrong {
        run.broken(promise, text, entries, conversation.as_deref());
    }
}

fn ranges<'r>(run: &Run<'r>, request: &Request<'r>) -> Vec<Range<'r>> {
    match request.asked {
        Asked::Frame(_, frame) if frame["type"] == "sync" => of_sync(run, request, frame),
        Asked::Call("GET", path, _) => of_page(request, path).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn of_sync<'r>(run: &Run<'r>, request: &Request<'r>, frame: &'r Value) -> Vec<Range<'r>> {
    let mut seqs: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for part in &request.parts {
        let Some(part) = run.transcript.frame(*part) else { continue };
        let came = part["events"].as_array().into_iter().flatten().filter_map(|event| event["seq"].as_u64());
        seqs.entry(part["conversation"].as_str().unwrap_or_default()).or_default().extend(came);
    }
    let asked = frame["ranges"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |id: &str| asked.iter().filter(|range| range["conversation"] == id).count();
    let more = request.answer.is_some_and(|answer| answer["more"] == true);
    asked
        .iter()
        .filter_map(|range| {
            let (conversation, after) = (range["conversation"].as_str()?, range["after"].as_u64()?);
            // Of two ranges of one conversation it is unknown which one an event belongs to.
            (count(conversation) == 1).then(|| Range {
                conversation,
                after,
                limit: range["limit"].as_u64(),
                seqs: seqs.get(conversation).cloned().unwrap_or_default(),
                more,
            })
        })
        .collect()
}

fn of_page<'r>(request: &Request<'r>, path: &'r str) -> Option<Range<'r>> {
    let (path, query) = path.split_once('?')?;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let ["v1", "conversations", conversation, "events"] = parts.as_slice() else { return None };
    let answer = request.answer?;
    let events = answer["events"].as_array()?;
    Some(Range {
        conversation,
        after: number(query, "after").unwrap_or(0),
        limit: number(query, "limit"),
        seqs: events.iter().filter_map(|event| event["seq"].as_u64()).collect(),
        more: answer["more"] == true,
    })
}

/// A number of a query.
pub(super) fn number(query: &str, name: &str) -> Option<u64> {
    let mut fields = query.split('&').filter_map(|field| field.split_once('='));
    fields.find(|(key, _)| *key == name)?.1.parse().ok()
}

fn problem(
    run: &Run<'_>,
    request: &Request<'_>,
    user: &str,
    range: &Range<'_>,
    told: &Told<'_>,
) -> Option<String> {
    if range.seqs.iter().zip(range.seqs.iter().skip(1)).any(|(one, next)| *next != one + 1) {
        return Some("they are not one after the other".to_owned());
    }
    if range.limit.is_some_and(|limit| range.seqs.len() as u64 > limit) {
        return Some("these are more than were asked for".to_owned());
    }
    let lost = run.facts.lost_ms.is_some_and(|lost_ms| run.transcript.at_ms(request.sent) <= lost_ms);
    if lost || run.log.deleted.contains(range.conversation) {
        return None;
    }
    let stays = run.facts.stays(range.conversation, user);
    if let Some(first) = range.seqs.first() {
        let at_join = *first > range.after && stays.iter().any(|stay| stay.joined == *first);
        if *first != range.after + 1 && !at_join {
            return Some(format!("the first one is not {}", range.after + 1));
        }
    }
    let last = range.seqs.last().copied().unwrap_or(range.after);
    let full = range.limit.is_some_and(|limit| range.seqs.len() as u64 >= limit);
    let (_, known) = told.before(request.device, range.conversation, request.sent)?;
    // A user who has left sees nothing after that.
    let is_member = stays.iter().any(|stay| stay.joined <= known && stay.left == u64::MAX);
    let newest = run.log.last.get(range.conversation).copied().unwrap_or(0);
    (!range.more && !full && is_member && last < known.min(newest) && range.after < known)
        .then(|| format!("this device knew of event {known}"))
}

/// The `events` frames of two syncs do not mix.
fn interleaved(run: &Run<'_>, wrong: &mut Vec<(&'static str, String, Vec<usize>, Option<String>)>) {
    for (number, socket) in &run.transcript.sockets {
        let mut current: Option<(usize, &Value)> = None;
        for (entry, was_sent) in &socket.frames {
            let Some(frame) = run.transcript.frame(*entry).filter(|_| !was_sent) else { continue };
            let id = &frame["id"];
            match (frame["type"].as_str(), current) {
                (Some("events"), Some((before, other))) if other != id => {
                    let text = format!(
                        "connection {number} of device {} was sent events of the sync {id} in the middle of the sync {other}",
                        socket.device
                    );
                    wrong.push(("P11", text, vec![before, *entry], None));
                    current = Some((*entry, id));
                }
                (Some("events"), _) => current = Some((*entry, id)),
                (Some("synced" | "error"), Some((_, other))) if other == id => current = None,
                _ => {}
            }
        }
    }
}
