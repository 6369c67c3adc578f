//! P1 and P11: an answer belongs to a request of its own connection, is of the kind that the request has, and
//! says what the log says.
//!
//! Hostile devices use ids twice, so of two requests with one id it is unknown which one was answered.

use serde_json::Value;

use super::Run;
use super::changes::{Wish, wish};
use super::transcript::{Asked, Request};

/// Which frames answer which.
const ANSWERS: &[(&str, &[&str])] = &[
    ("send", &["ack"]),
    ("edit", &["ack"]),
    ("delete", &["ack"]),
    ("react", &["ack"]),
    ("unreact", &["ack"]),
    ("read", &["ok"]),
    ("delivered", &["ok"]),
    ("watch", &["ok"]),
    ("unwatch", &["ok"]),
    ("auth", &["ok"]),
    ("background", &["ok"]),
    ("foreground", &["ok"]),
    ("sync", &["synced"]),
    ("ping", &["pong"]),
];

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (entry, socket) in &run.transcript.unasked {
        let device = run.transcript.sockets.get(socket).map_or(usize::MAX, |socket| socket.device);
        if !run.is_hostile(device) {
            let frame = run.transcript.frame(*entry).unwrap_or(&Value::Null);
            let text = format!(
                "device {device} was given an answer that it had not asked for on that connection: {frame}"
            );
            wrong.push(("P11", text, vec![*entry], None));
        }
    }
    for request in run.transcript.requests.iter().filter(|request| !run.is_hostile(request.device)) {
        let (Some(answer), Some(answered)) = (request.answer, request.answered) else { continue };
        let entries = vec![request.sent, answered];
        if let Some(text) = wrong_kind(request, answer) {
            wrong.push(("P11", text, entries, None));
        } else if request.is_done()
            && let Some(wish) = wish(request)
            && let Some(text) = wrong_place(run, request, &wish, answer)
        {
            wrong.push(("P1", text, entries, Some(wish.conversation.to_owned())));
        }
    }
    for (promise, text, entries, conversation) in wrong {
        run.broken(promise, text, entries, conversation.as_deref());
    }
}

fn wrong_kind(request: &Request<'_>, answer: &Value) -> Option<String> {
    let Asked::Frame(_, frame) = request.asked else { return None };
    let (asked, answered) = (frame["type"].as_str()?, answer["type"].as_str()?);
    let (_, fitting) = ANSWERS.iter().find(|(kind, _)| *kind == asked)?;
    let fits = answered == "error" || fitting.contains(&answered);
    (!fits).then(|| format!("device {} asked {asked} and was answered {answer}", request.device))
}

/// The mistake in the place that an ack names, if any.
fn wrong_place(run: &Run<'_>, request: &Request<'_>, wish: &Wish<'_>, answer: &Value) -> Option<String> {
    let (conversation, seq) = (answer["conversation"].as_str()?, answer["seq"].as_u64()?);
    let who = format!("device {} asked for {wish}", request.device);
    if !wish.conversation.is_empty() && wish.conversation != conversation {
        return Some(format!("{who}, and was acknowledged in {conversation}"));
    }
    let lost = run.facts.was_lost(conversation, seq, request.sent);
    if lost || run.log.deleted.contains(conversation) || !run.log.events.contains_key(conversation) {
        return None;
    }
    let Some(logged) = run.log.event(conversation, seq) else {
        return Some(format!("{who}, and was acknowledged at {seq}, which is not in the log"));
    };
    // The reactions of an erased user are removed.
    let removed = wish.reaction.is_some() && run.log.erased.contains(&logged.sender);
    // So is the content of their messages, without a `delete`: "`duplicate: true` when it made no event,
    // because the state was already so" (docs/PROTOCOL.md, 1.2).
    let gone = wish.kind == "delete"
        && answer["duplicate"] == true
        && (logged.kind == "message" && wish.target == Some(seq))
        && run.log.erased.contains(&logged.sender);
    if removed || gone || wish.made(logged) {
        return None;
    }
    Some(format!(
        "{who}, and was acknowledged at {seq} of {conversation}, where the log has {}",
        logged.shown()
    ))
}
