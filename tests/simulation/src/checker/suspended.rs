//! P7: within a second after the suspension of an account was answered, no process shows its user anything,
//! and every door refuses the account, until the suspension ends. After that the tokens from before work
//! again.
//!
//! What is certain begins with an answer and ends when the next command about the same account is sent. Each
//! process measures the end of a suspension by its own clock, so around that end nothing is certain for as
//! long as clocks may differ. A failover or a restore may lose a suspension (ADR 0110).

use super::Run;
use super::operated::{Effect, Operated};
use super::refresh::may_be_ended;
use super::transcript::{Asked, Request};
use crate::edges::clock::BEGAN_AT_MS;
use crate::plan::{Act, Fault};

/// How long after the answer an account may still be used, or kept out.
const WITHIN_MS: u64 = 1_000;
/// The addition for what was under way.
const UNDER_WAY_MS: u64 = 250;
/// The value of `auth.revocation_poll_ms` unless a plan sets it.
const USUAL_POLL_MS: u64 = 500;

/// The value of `auth.access_token_s` unless a plan sets it.
const USUAL_LIFE_S: u64 = 900;
/// A call is under way for so long at most.
const PATIENCE_MS: u64 = 20_000;

/// A device that was refused tries again within so long, and is then connected.
const TRIES_AGAIN_MS: u64 = 14_000;

/// A time in which it is certain whether an account is kept out.
struct Certain<'r> {
    user: &'r str,
    is_out: bool,
    /// The entry from which on it is so, and when.
    since: usize,
    since_ms: u64,
    to_ms: u64,
}

pub(super) fn check(run: &mut Run<'_>) {
    if run.may_lose() {
        return;
    }
    let mut wrong = Vec::new();
    for certain in certain(run) {
        let told = if certain.is_out { kept_out(run, &certain) } else { let_in(run, &certain) };
        wrong.extend(told);
    }
    for (text, entries) in wrong {
        run.broken("P7", text, entries, None);
    }
}

/// Whether an account is kept out at the end of a run, or may be.
pub(super) fn may_be_out_at_the_end(run: &Run<'_>, user: &str) -> bool {
    let last =
        run.transcript.operated.iter().rfind(|one| one.user == user && one.effect != Effect::SignInsEnded);
    let Some(last) = last else { return false };
    // The lift may be lost, and nobody repeats it.
    if run.may_lose() {
        return true;
    }
    match (last.effect, last.done) {
        (Effect::Suspended { ms: None }, _) | (_, None) => true,
        (Effect::Suspended { ms: Some(ms) }, Some(at)) => {
            run.transcript.at_ms(at) + ms + clocks_apart_ms(run) + TRIES_AGAIN_MS >= run.ended_ms()
        }
        (Effect::Lifted | Effect::SignInsEnded, Some(at)) => {
            run.transcript.at_ms(at) + TRIES_AGAIN_MS >= run.ended_ms()
        }
    }
}

/// By how much the clocks of two processes may differ, in milliseconds.
fn clocks_apart_ms(run: &Run<'_>) -> u64 {
    let off = run.plan.processes.iter().map(|process| process.clock_off_ms.unsigned_abs()).max().unwrap_or(0);
    let jumps = run.plan.steps.iter().map(|step| match step.act {
        Act::Fault(Fault::ClockJump { by_ms, .. }) => by_ms.unsigned_abs(),
        _ => 0,
    });
    2 * off + jumps.sum::<u64>() + 1
}

fn certain<'r>(run: &'r Run<'_>) -> Vec<Certain<'r>> {
    let apart_ms = clocks_apart_ms(run);
    let operated: Vec<&Operated> =
        run.transcript.operated.iter().filter(|one| one.effect != Effect::SignInsEnded).collect();
    let mut all = Vec::new();
    for (nth, one) in operated.iter().enumerate() {
        let Some(since) = one.done else { continue };
        let since_ms = run.transcript.at_ms(since);
        let next = operated[nth + 1..].iter().find(|next| next.user == one.user);
        let to_ms = next.map_or(u64::MAX, |next| run.transcript.at_ms(next.sent));
        let (user, is_out) = (one.user.as_str(), matches!(one.effect, Effect::Suspended { .. }));
        let Effect::Suspended { ms: Some(ms) } = one.effect else {
            all.push(Certain { user, is_out, since, since_ms, to_ms });
            continue;
        };
        let sent_ms = run.transcript.at_ms(one.sent);
        let ends_ms = (sent_ms + ms).saturating_sub(apart_ms);
        if ends_ms > since_ms {
            all.push(Certain { user, is_out, since, since_ms, to_ms: to_ms.min(ends_ms) });
        }
        let free_ms = since_ms + ms + apart_ms;
        if free_ms < to_ms {
            all.push(Certain { user, is_out: false, since, since_ms: free_ms, to_ms });
        }
    }
    all
}

type Told = Vec<(String, Vec<usize>)>;

/// What the user of an account that is kept out was shown, and the doors that were open.
fn kept_out(run: &Run<'_>, certain: &Certain<'_>) -> Told {
    let mut told = Told::new();
    for request in of_user(run, certain.user) {
        let Asked::Call(method, path, _) = request.asked else { continue };
        let sent_ms = run.transcript.at_ms(request.sent);
        let taken = request.status.is_some_and(|status| status < 400);
        let answered_ms = run.transcript.at_ms(request.answered.unwrap_or(request.sent));
        if taken && sent_ms > due_ms(run, certain, 0, usize::MAX) && answered_ms < certain.to_ms {
            let text = format!("{method} {path} was done for a user who was suspended");
            told.push((text, vec![certain.since, request.sent, request.answered.unwrap_or(request.sent)]));
        }
    }
    for (number, socket) in &run.transcript.sockets {
        if socket.user.as_deref() != Some(certain.user) {
            continue;
        }
        let due_ms = due_ms(run, certain, socket.process, socket.device);
        let late = socket.frames.iter().find(|(entry, was_sent)| {
            let (at_ms, kind) = (run.transcript.at_ms(*entry), kind(run, *entry));
            !was_sent && kind != "error" && at_ms > due_ms && at_ms < certain.to_ms
        });
        if let Some((entry, _)) = late {
            let text = format!(
                "connection {number} of device {} went on with a user who was suspended",
                socket.device
            );
            told.push((text, vec![certain.since, *entry]));
        }
    }
    told
}

/// Refusals of an account that nobody keeps out any more.
fn let_in(run: &Run<'_>, certain: &Certain<'_>) -> Told {
    let mut told = Told::new();
    let due_ms = due_ms(run, certain, 0, usize::MAX);
    let is_late = |sent: usize, at: usize| {
        run.transcript.at_ms(sent) > due_ms && run.transcript.at_ms(at) < certain.to_ms
    };
    for request in of_user(run, certain.user) {
        let (Asked::Call(method, path, _), Some(answered)) = (request.asked, request.answered) else {
            continue;
        };
        if !is_late(request.sent, answered) {
            continue;
        }
        if request.is_suspended() {
            let text = format!("{method} {path} was refused to a user whose suspension had ended");
            told.push((text, vec![certain.since, request.sent, answered]));
        }
        if request.status == Some(401) && still_holds(run, request) {
            let text = format!("{method} {path} was refused after a suspension with a token from before it");
            told.push((text, vec![certain.since, request.sent, answered]));
        }
    }
    for (number, socket) in &run.transcript.sockets {
        let of_user = socket.tokens.iter().any(|(_, claims)| claims.user == certain.user);
        let refused = socket.frames.iter().find(|(entry, was_sent)| {
            let is_refusal = run.transcript.frame(*entry).is_some_and(|frame| frame["code"] == "suspended");
            !was_sent && is_refusal && is_late(socket.opened, *entry)
        });
        if let Some((entry, _)) = refused.filter(|_| of_user) {
            let text = format!("connection {number} was refused to a user whose suspension had ended");
            told.push((text, vec![certain.since, *entry]));
        }
    }
    told
}

/// Whether a call has an access token that nothing has ended and that has not expired by any clock.
fn still_holds(run: &Run<'_>, request: &Request<'_>) -> bool {
    let Some(claims) = &request.claims else { return false };
    let now_ms = BEGAN_AT_MS.saturating_add_unsigned(run.transcript.at_ms(request.sent));
    let age_ms = u64::try_from(now_ms.saturating_sub(claims.issued_ms)).unwrap_or(0);
    let life_ms = run.setting("auth.access_token_s").unwrap_or(USUAL_LIFE_S) * 1_000;
    let is_new = age_ms + clocks_apart_ms(run) + PATIENCE_MS < life_ms;
    // A refresh token that comes again too late ends its sign-in, and so does a stolen one.
    let honest = (0..run.plan.devices.len()).all(|device| !run.is_hostile(device));
    let refreshed = run.transcript.requests.iter().any(|other| {
        other.call("POST").is_some_and(|(path, _)| path.as_slice() == ["v1", "tokens", "refresh"])
            && (other.is_done() || other.answer.is_none())
    });
    is_new && honest && !refreshed && !may_be_ended(run, &claims.user, usize::MAX, request.sent)
}

fn kind<'r>(run: &Run<'r>, entry: usize) -> &'r str {
    run.transcript.frame(entry).and_then(|frame| frame["type"].as_str()).unwrap_or_default()
}

/// The calls of a user: those with a token of theirs, and those that gave them one.
fn of_user<'a, 'r>(run: &'a Run<'r>, user: &'a str) -> impl Iterator<Item = &'a Request<'r>> {
    run.transcript.requests.iter().filter(move |request| {
        request.user.as_deref() == Some(user)
            || request
                .answer
                .is_some_and(|answer| answer["user"]["id"] == user && !answer["access_token"].is_null())
    })
}

fn due_ms(run: &Run<'_>, certain: &Certain<'_>, process: usize, device: usize) -> u64 {
    let bound_ms = WITHIN_MS + UNDER_WAY_MS + run.troubles.weather_at(certain.since_ms);
    // Where the bus does not say that there is something new, processes read the list by themselves.
    let poll_ms = run.setting("auth.revocation_poll_ms").unwrap_or(USUAL_POLL_MS);
    let bad = run.troubles.bus_is_bad(certain.since_ms, certain.since_ms + bound_ms);
    let with_poll = if bad { bound_ms + poll_ms } else { bound_ms };
    run.troubles.reached_by(certain.since_ms, with_poll, process, device)
}
