//! P1 and P3: what was acknowledged is in the log where the ack said; the same (sender, client id) is one
//! event.
//!
//! Where a failover or a restore lost events, an acknowledged event may be gone (docs/SEMANTICS.md,
//! exceptions of P1), but what is in the log is there once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Run;
use super::changes::key;
use super::transcript::Request;

/// A send: its sender, key and body.
struct Send<'r> {
    sender: Option<String>,
    client_id: String,
    body: Option<&'r Value>,
}

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let mut places: BTreeMap<(String, String), (String, u64, usize)> = BTreeMap::new();
    for request in &run.transcript.requests {
        let Some(send) = send_of(request) else { continue };
        let (Some(sender), Some(answered)) = (send.sender.clone(), request.answered) else { continue };
        if !request.is_done() {
            continue;
        }
        let Some((conversation, seq)) = place(request.answer) else { continue };
        let entries = vec![request.sent, answered];
        // The answer may have been under way when it was lost.
        let lost = run.facts.was_lost(conversation, seq, request.sent);
        match run.log.event(conversation, seq) {
            None if !lost && !run.log.deleted.contains(conversation) => {
                let text = format!(
                    "the message {} of {sender} was acknowledged at {seq} of {conversation}, and is not in the log",
                    send.client_id
                );
                wrong.push(("P1", text, entries.clone(), conversation.to_owned()));
            }
            Some(logged) if !lost && (logged.sender != sender || logged.kind != "message") => {
                let text = format!(
                    "the message {} of {sender} was acknowledged at {seq} of {conversation}, where the log has a {} by {}",
                    send.client_id, logged.kind, logged.sender
                );
                wrong.push(("P1", text, entries.clone(), conversation.to_owned()));
            }
            Some(logged)
                if !lost
                    && !logged.deleted
                    && logged.fields["edited"] != true
                    && body_differs(logged.body.as_ref(), send.body) =>
            {
                let text = format!(
                    "the message {} of {sender} was acknowledged at {seq} of {conversation} with another body than it has",
                    send.client_id
                );
                wrong.push(("P1", text, entries.clone(), conversation.to_owned()));
            }
            _ => {}
        }
        let key = (sender.clone(), send.client_id.clone());
        let here = (conversation.to_owned(), seq, request.sent);
        let (known, at, before) = places.insert(key, here.clone()).unwrap_or(here);
        if !run.facts.was_lost(&known, at, before) && (known != conversation || at != seq) {
            let text = format!(
                "the message {} of {sender} was acknowledged at {at} of {known} and at {seq} of {conversation}",
                send.client_id
            );
            wrong.push(("P3", text, vec![before, answered], conversation.to_owned()));
        }
    }
    doubled(run, &mut wrong);
    for (promise, text, entries, conversation) in wrong {
        run.broken(promise, text, entries, Some(&conversation));
    }
}

type Wrong = Vec<(&'static str, String, Vec<usize>, String)>;

/// Two events with the same sender and key.
fn doubled(run: &Run<'_>, wrong: &mut Wrong) {
    let mut keys: BTreeMap<(&str, &str), (&str, u64)> = BTreeMap::new();
    for (conversation, events) in &run.log.events {
        for (seq, event) in events {
            let Some(client_id) = &event.client_id else { continue };
            if let Some((other, at)) = keys.insert((&event.sender, client_id), (conversation, *seq)) {
                let text = format!(
                    "{} and the key {client_id} made two events: {at} of {other} and {seq} of {conversation}",
                    event.sender
                );
                wrong.push(("P3", text, Vec::new(), conversation.clone()));
            }
        }
    }
}

fn send_of<'r>(request: &Request<'r>) -> Option<Send<'r>> {
    if let Some(frame) = request.frame("send") {
        let client_id = key(frame["client_id"].as_str()?)?;
        return Some(Send { sender: request.user.clone(), client_id, body: frame.get("body") });
    }
    // The key of a call is in a header, which the history shows in the body as `client_id`.
    let (path, body) = request.call("POST")?;
    let client_id = key(body["client_id"].as_str()?)?;
    (path.last() == Some(&"messages")).then(|| Send {
        sender: request.user.clone(),
        client_id,
        body: body.get("body"),
    })
}

fn place(answer: Option<&Value>) -> Option<(&str, u64)> {
    let answer = answer?;
    Some((answer["conversation"].as_str()?, answer["seq"].as_u64()?))
}

fn body_differs(logged: Option<&String>, sent: Option<&Value>) -> bool {
    let sent = sent.and_then(Value::as_str);
    sent.is_some() && logged.map(String::as_str) != sent
}
