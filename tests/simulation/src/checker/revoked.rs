//! P7: within a second after a sign-out was answered no process accepts its tokens, also on open connections.
//! After an erasure the same holds for all tokens of the user.
//!
//! Where the bus loses the signal, processes read revocations every `auth.revocation_poll_ms`. A failover or
//! a restore that lost the revocation makes the tokens valid again (docs/SEMANTICS.md, exceptions of P7).

use super::Run;
use super::operated::{Effect, Operated};
use super::tokens::Claims;
use super::transcript::{Asked, Request};

/// How long after the answer a token may be accepted.
const WITHIN_MS: u64 = 1_000;
/// The addition for frames that were under way.
const UNDER_WAY_MS: u64 = 250;
/// The value of `auth.revocation_poll_ms` unless a plan sets it.
const USUAL_POLL_MS: u64 = 500;

/// Tokens that ended.
struct Ended {
    user: String,
    /// The sign-in; `None`: all that were there when it was asked.
    family: Option<String>,
    /// The sign-in that goes on.
    kept: Option<String>,
    /// The request and its answer.
    asked: usize,
    answered: usize,
    /// Tokens of before then, by the history.
    what: &'static str,
}

pub(super) fn check(run: &mut Run<'_>) {
    if run.may_lose() {
        return;
    }
    let begun = families(run);
    let by_operator = run.transcript.operated.iter().filter_map(ended_by_operator);
    let ended: Vec<Ended> = run.transcript.requests.iter().filter_map(ended).chain(by_operator).collect();
    let mut wrong = Vec::new();
    for end in &ended {
        let is_ended = |claims: &Claims| {
            let older = begun.iter().find(|(family, _)| *family == claims.family);
            claims.user == end.user
                && end.kept.as_ref() != Some(&claims.family)
                && match &end.family {
                    Some(family) => *family == claims.family,
                    None => older.is_some_and(|(_, at)| *at < end.asked),
                }
        };
        for request in run.transcript.requests.iter().filter(|request| request.sent > end.answered) {
            let (Asked::Call(method, path, _), Some(claims)) = (request.asked, &request.claims) else {
                continue;
            };
            // `asked` of a call is when it was made, so its process knew of it long before.
            let taken = request.status.is_some_and(|status| status < 400) && is_ended(claims);
            if taken && run.transcript.at_ms(request.sent) > due_ms(run, end, 0, usize::MAX) {
                let text = format!("{method} {path} was done with a token that {} had ended", end.what);
                wrong
                    .push((text, vec![end.answered, request.sent, request.answered.unwrap_or(request.sent)]));
            }
        }
        for (number, socket) in &run.transcript.sockets {
            let due_ms = due_ms(run, end, socket.process, socket.device);
            let last_token = |entry: usize| {
                let before = socket.tokens.iter().take_while(|(at, _)| *at < entry).last();
                before.map(|(_, claims)| claims)
            };
            let late = socket.frames.iter().find(|(entry, was_sent)| {
                let frame = run.transcript.frame(*entry);
                let kind = frame.and_then(|frame| frame["type"].as_str()).unwrap_or_default();
                !was_sent
                    && kind != "error"
                    && *entry > end.answered
                    && run.transcript.at_ms(*entry) > due_ms
                    // Between a new token and its answer either may be in force.
                    && last_token(*entry).is_some_and(is_ended)
                    && socket.tokens.iter().all(|(_, claims)| is_ended(claims))
            });
            if let Some((entry, _)) = late {
                let text = format!(
                    "connection {number} of device {} went on with a token that {} had ended",
                    socket.device, end.what
                );
                wrong.push((text, vec![end.answered, *entry]));
            }
        }
    }
    for (text, entries) in wrong {
        run.broken("P7", text, entries, None);
    }
}

fn due_ms(run: &Run<'_>, end: &Ended, process: usize, device: usize) -> u64 {
    let answered_ms = run.transcript.at_ms(end.answered);
    let poll_ms = run.setting("auth.revocation_poll_ms").unwrap_or(USUAL_POLL_MS);
    let bound_ms = WITHIN_MS + UNDER_WAY_MS + run.troubles.weather_at(answered_ms);
    let with_poll = if run.troubles.bus_is_bad(answered_ms, answered_ms + bound_ms) {
        bound_ms + poll_ms
    } else {
        bound_ms
    };
    run.troubles.reached_by(answered_ms, with_poll, process, device)
}

/// The sign-ins that a request ended, if any.
fn ended(request: &Request<'_>) -> Option<Ended> {
    let Asked::Call(method, path, _) = request.asked else { return None };
    let (claims, answered) = (request.claims.as_ref()?, request.answered?);
    request.is_done().then_some(())?;
    let kept = path.starts_with("/v1/me/").then(|| claims.family.clone());
    let (family, what) = match (method, path) {
        ("DELETE", "/v1/me/sessions") => (None, "an end of the other sessions"),
        ("POST", "/v1/me/claim") => (None, "a claim from another device"),
        ("DELETE", "/v1/tokens") => (Some(claims.family.clone()), "a sign-out"),
        ("DELETE", "/v1/tokens?all=true") => (None, "a sign-out everywhere"),
        ("DELETE", "/v1/me") => (None, "the end of the account"),
        _ => return None,
    };
    Some(Ended { user: claims.user.clone(), family, kept, asked: request.sent, answered, what })
}

fn ended_by_operator(one: &Operated) -> Option<Ended> {
    (one.effect == Effect::SignInsEnded).then_some(())?;
    let (user, what) = (one.user.clone(), "the operator");
    Some(Ended { user, family: None, kept: None, asked: one.sent, answered: one.done?, what })
}

/// When each sign-in was answered first.
fn families(run: &Run<'_>) -> Vec<(String, usize)> {
    let mut families: Vec<(String, usize)> = Vec::new();
    for request in run.transcript.requests.iter().filter(|request| request.is_done()) {
        let token = request.answer.and_then(|answer| answer["access_token"].as_str());
        if let (Some(claims), Some(answered)) = (token.and_then(Claims::read), request.answered)
            && !families.iter().any(|(family, _)| *family == claims.family)
        {
            families.push((claims.family, answered));
        }
    }
    families
}
