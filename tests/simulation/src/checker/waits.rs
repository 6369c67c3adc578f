//! P11: who waits as long as a `rate_limited` answer says is not refused for its rate again.
//!
//! Compared are users with one device, whose next request came after the wait: other requests of the user in
//! between use the rate up. "A user has one rate on all nodes together: a request counts once for each node
//! that the user is connected to. So a connection to another node makes a wait longer that was told before"
//! (docs/PROTOCOL.md, 4). A connection that ended without a word counts until its node finds that out.

use std::collections::BTreeMap;

use serde_json::Value;
use tidings::domain::price;

use super::Run;
use super::transcript::{Asked, Request};

/// The nodes have learned so long after a connection began or ended how many of them count a user.
const COUNTED_MS: u64 = 15_000;

pub(super) fn check(run: &mut Run<'_>) {
    // Each process counts for itself, and divides the rate by the processes that the user is connected to.
    if !run.troubles.is_quiet() && run.plan.processes.len() > 1 {
        return;
    }
    let mut of_user: BTreeMap<&str, Vec<&Request<'_>>> = BTreeMap::new();
    for request in &run.transcript.requests {
        if let Some(user) = request.user.as_deref() {
            of_user.entry(user).or_default().push(request);
        }
    }
    let mut wrong = Vec::new();
    for (user, requests) in of_user {
        let devices = |user: &str| run.transcript.users.values().filter(|one| *one == user).count();
        if devices(user) != 1 || requests.iter().any(|request| run.is_hostile(request.device)) {
            continue;
        }
        for refused in &requests {
            let Some((wait_ms, refused_at)) = told_to_wait(refused) else { continue };
            let refused_ms = run.transcript.at_ms(refused_at);
            // The first request of the same kind after that answer.
            let Some(next) = requests.iter().find(|next| next.sent > refused_at) else { continue };
            let waited = run.transcript.at_ms(next.sent) >= refused_ms + wait_ms;
            // Others that were on their way when the answer came count, too. So do those that are sent right
            // after the next one: requests of different kinds need not be counted in their order.
            let next_answered = next.answered.unwrap_or(usize::MAX);
            let alone = requests.iter().all(|other| {
                other.sent == refused.sent
                    || other.sent == next.sent
                    || other.sent > next_answered
                    || other.sent < refused.sent
                    || other.answered.is_some_and(|at| at <= refused_at)
            });
            let next_ms = run.transcript.at_ms(next.answered.unwrap_or(next.sent));
            let works = !run.troubles.is_bad_after_start_between(refused_ms, next_ms)
                && !moves(run, user, refused_ms, next_ms);
            let dearer = units(next) > units(refused);
            let alike = is_send(next) == is_send(refused) && !dearer;
            if waited && alone && works && alike && told_to_wait(next).is_some() {
                let text = format!(
                    "device {} was told to wait for {wait_ms} ms, waited for {} ms, and was refused again",
                    refused.device,
                    run.transcript.at_ms(next.sent) - refused_ms
                );
                let entries = vec![refused.sent, refused_at, next.sent, next.answered.unwrap_or(next.sent)];
                wrong.push((text, entries));
            }
        }
    }
    for (text, entries) in wrong {
        run.broken("P11", text, entries, None);
    }
}

/// Whether the number of processes that a user is connected to may have changed between the two moments, or
/// one of them may have learned of it then.
fn moves(run: &Run<'_>, user: &str, from_ms: u64, to_ms: u64) -> bool {
    let sockets = run.transcript.sockets.values();
    run.plan.processes.len() > 1
        && sockets.filter(|socket| socket.user.as_deref() == Some(user)).any(|socket| {
            let opened_ms = run.transcript.at_ms(socket.opened);
            let over_ms = run.over_ms(socket);
            let said = socket.closed.is_some_and(|(_, code)| code.is_some_and(|code| code != 1006));
            let known_ms = if said { over_ms + COUNTED_MS } else { u64::MAX };
            let begins = opened_ms <= to_ms && from_ms <= opened_ms + COUNTED_MS;
            begins || (over_ms <= to_ms && from_ms <= known_ms)
        })
}

fn told_to_wait(request: &Request<'_>) -> Option<(u64, usize)> {
    let answer = request.answer.filter(|answer| answer["code"] == "rate_limited")?;
    Some((answer["retry_after_ms"].as_u64()?, request.answered?))
}

/// What a request costs (docs/PROTOCOL.md, 4).
fn units(request: &Request<'_>) -> u32 {
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    match request.asked {
        Asked::Frame(_, frame) => match frame["type"].as_str() {
            Some("sync") => price::of_sync(count(&frame["ranges"])),
            Some("watch") => price::of_watch(count(&frame["users"])),
            Some("auth") => price::AUTH,
            _ => price::REQUEST,
        },
        Asked::Call("POST", "/v1/conversations", body) => price::of_new_conversation(count(&body["members"])),
        Asked::Call(..) => price::REQUEST,
    }
}

/// Sends and other requests have rates of their own.
fn is_send(request: &Request<'_>) -> bool {
    match request.asked {
        Asked::Frame(_, frame) => frame["type"] == "send",
        Asked::Call(method, path, _) => method == "POST" && path.ends_with("/messages"),
    }
}
