//! P9: a refresh whose answer was lost may be repeated for a while, and ends no sign-in.
//!
//! Only tokens are checked whose sign-in nothing else ended: no sign-out, no end from another session, no new
//! password, no claim, no reused refresh token.

use super::Run;
use super::operated::Effect;
use super::transcript::Request;

/// A repetition within this time is accepted even if clocks differ: the server gives 30 s.
const IN_TIME_MS: u64 = 8_000;

pub(super) fn check(run: &mut Run<'_>) {
    if run.may_lose() {
        return;
    }
    let refreshes: Vec<(&Request<'_>, &str)> =
        run.transcript.requests.iter().filter_map(|request| Some((request, shown(request)?))).collect();
    let mut wrong = Vec::new();
    for (request, token) in &refreshes {
        let (Some(401), Some(answered)) = (request.status, request.answered) else { continue };
        if run.is_hostile(request.device) {
            continue;
        }
        let of_token: Vec<&Request<'_>> =
            refreshes.iter().filter(|(_, other)| other == token).map(|(request, _)| *request).collect();
        // A refresh that was refused because of a suspension spends nothing.
        let Some(first) = of_token.iter().find(|other| !other.is_suspended()) else { continue };
        let (first_ms, asked_ms) = (run.transcript.at_ms(first.sent), run.transcript.at_ms(answered));
        // A device that got the next token and sends the one before ends the sign-in.
        let succeeded = of_token.iter().any(|other| other.is_done());
        let Some(user) = issued_to(run, token) else { continue };
        let ended = may_be_ended(run, &user, request.device, answered);
        if !succeeded && !ended && asked_ms <= first_ms + IN_TIME_MS {
            let text = format!(
                "device {} repeated a refresh whose answer was lost, and was signed out",
                request.device
            );
            wrong.push((text, vec![first.sent, request.sent, answered]));
        }
    }
    for (text, entries) in wrong {
        run.broken("P9", text, entries, None);
    }
}

/// Whether anything may have ended a sign-in of a user, begun by a device, before an entry.
pub(super) fn may_be_ended(run: &Run<'_>, user: &str, device: usize, before: usize) -> bool {
    let by_user = run.transcript.requests.iter().any(|other| {
        (ends_sign_ins(other) || (other.device != device && ends_others(other)))
            && other.sent < before
            && other.user.as_ref().is_none_or(|one| one == user)
    });
    let mut operated = run.transcript.operated.iter();
    by_user || operated.any(|one| one.user == user && one.effect == Effect::SignInsEnded && one.sent < before)
}

/// The refresh token that a call sends.
fn shown<'r>(request: &Request<'r>) -> Option<&'r str> {
    let (path, body) = request.call("POST")?;
    let ["v1", "tokens", "refresh"] = path.as_slice() else { return None };
    body["refresh_token"].as_str()
}

/// The user whom a refresh token was given to.
fn issued_to(run: &Run<'_>, token: &str) -> Option<String> {
    let mut answers = run.transcript.requests.iter().filter_map(|request| request.answer);
    let answer = answers.find(|answer| answer["refresh_token"] == token)?;
    answer["user"]["id"].as_str().map(str::to_owned)
}

fn ends_sign_ins(request: &Request<'_>) -> bool {
    let delete =
        request.call("DELETE").is_some_and(|(path, _)| matches!(path.as_slice(), ["v1", "tokens" | "me"]));
    delete || request.call("PATCH").is_some_and(|(path, _)| path.as_slice() == ["v1", "me"])
}

/// Whether a request ends the sign-ins of the user's other devices.
fn ends_others(request: &Request<'_>) -> bool {
    let is =
        |method, last| request.call(method).is_some_and(|(path, _)| path.as_slice() == ["v1", "me", last]);
    is("DELETE", "sessions") || is("POST", "claim")
}
