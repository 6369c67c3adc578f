//! P6, P9 and P11: once everything has healed, requests are done at once: none is refused because something
//! is unavailable or full, none waits, and every device that wants to is connected.

use super::transcript::Asked;
use super::{Run, suspended};
use crate::plan::Behaviour;

/// The longest that an answer may take, in milliseconds.
const ANSWERED_MS: u64 = 3_000;
/// A device that comes back is connected so long after that.
const CONNECTED_MS: u64 = 8_000;
/// The time that a process needs beside the healing: breakers close again, and waiting work is done.
const WORKED_OFF_MS: u64 = 3_000;
/// A writer whose queue holds fewer messages is full although all is well, when a device sends at once what
/// was refused before.
const LEAST_QUEUE: u64 = 64;

pub(super) fn check(run: &mut Run<'_>) {
    let from_ms = run.troubles.healed_ms().saturating_add(WORKED_OFF_MS);
    let has_queue = run.setting("writer.queue_messages").is_none_or(|messages| messages >= LEAST_QUEUE);
    let mut wrong = Vec::new();
    for request in run.transcript.requests.iter().filter(|request| !run.is_hostile(request.device)) {
        let sent_ms = run.transcript.at_ms(request.sent);
        let (Some(answered), true) = (request.answered, sent_ms >= from_ms) else { continue };
        let answered_ms = run.transcript.at_ms(answered);
        let (what, path) = match request.asked {
            Asked::Frame(_, frame) => (frame["type"].as_str().unwrap_or_default(), ""),
            Asked::Call(method, path, _) => (method, path),
        };
        // A page that does not have `min_seq` yet says so.
        let early = path.contains("min_seq=");
        let code = request.answer.and_then(|answer| answer["code"].as_str()).unwrap_or_default();
        if (code == "unavailable" || code == "overloaded" && has_queue) && !early {
            let text = format!(
                "device {} asked {what} {path} when all was well, and was answered {code}",
                request.device
            );
            wrong.push(("P11", text, vec![request.sent, answered]));
        }
        if answered_ms > sent_ms + ANSWERED_MS {
            let text = format!(
                "device {} asked {what} {path} when all was well, and waited for {} ms",
                request.device,
                answered_ms - sent_ms
            );
            wrong.push(("P6", text, vec![request.sent, answered]));
        }
    }
    strays(run, from_ms, &mut wrong);
    for (promise, text, entries) in wrong {
        run.broken(promise, text, entries, None);
    }
}

/// Correct devices that are not connected at the end, although there was no fault for long enough to connect.
fn strays(run: &Run<'_>, from_ms: u64, wrong: &mut Vec<(&'static str, String, Vec<usize>)>) {
    if from_ms.saturating_add(CONNECTED_MS) > run.ended_ms() {
        return;
    }
    for (device, copy) in run.copies {
        let behaviour = run.plan.devices.get(*device).map(|one| one.behaviour);
        let ended = copy.stopped.is_some() || copy.signed_out || copy.user.is_none();
        if ended || !matches!(behaviour, Some(Behaviour::Correct | Behaviour::Lazy)) {
            continue;
        }
        let sockets = || run.transcript.sockets.values().filter(|socket| socket.device == *device);
        let is_open = sockets().any(|socket| socket.closed.is_none());
        // A device that was closed for too many connections comes back a minute later.
        let sent_away = sockets().any(|socket| socket.closed.is_some_and(|(_, code)| code == Some(4429)));
        let kept_out = copy.user.as_ref().is_some_and(|user| suspended::may_be_out_at_the_end(run, user));
        if !is_open && !sent_away && !kept_out && run.transcript.users.contains_key(device) {
            let last = sockets().filter_map(|socket| socket.closed).map(|(at, _)| at).max();
            let text = format!("device {device} is not connected at the end, although all was well");
            wrong.push(("P9", text, last.into_iter().collect()));
        }
    }
}
