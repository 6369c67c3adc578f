//! P4 (signals): a device that was sent the beginning of typing gets the end: by a signal, by that user's
//! next message, or, at the latest, after `presence.typing_timeout_ms`.
//!
//! Signals may be lost with the bus, and with the node of the one who types, so only quiet times count.

use super::Run;
use super::transcript::Socket;

/// The value of `presence.typing_timeout_ms` unless a plan sets it.
const USUAL_MS: u64 = 6_000;
/// The end is sent so long after the timeout at most.
const SOON_MS: u64 = 2_000;

pub(super) fn check(run: &mut Run<'_>) {
    let timeout_ms = run.setting("presence.typing_timeout_ms").unwrap_or(USUAL_MS);
    let mut wrong = Vec::new();
    for (number, socket) in &run.transcript.sockets {
        if run.is_hostile(socket.device) {
            continue;
        }
        for (at, (entry, was_sent)) in socket.frames.iter().enumerate() {
            let Some(frame) = run.transcript.frame(*entry).filter(|_| !was_sent) else { continue };
            let (Some(conversation), Some(user)) = (frame["conversation"].as_str(), frame["user"].as_str())
            else {
                continue;
            };
            if frame["type"] != "typing" || frame["on"] != true {
                continue;
            }
            let begun_ms = run.transcript.at_ms(last_typed(run, conversation, user, *entry));
            let due_ms =
                run.troubles.quiet_for(begun_ms, timeout_ms + SOON_MS, socket.process, socket.device);
            // A fault in the meantime may have lost the signal.
            if due_ms > begun_ms + timeout_ms + SOON_MS + run.troubles.weather_at(begun_ms) {
                continue;
            }
            let viewer = socket.user.as_deref().unwrap_or_default();
            let blocked = run.were_blocked(user, viewer);
            if run.over_ms(socket) > due_ms
                && !blocked
                && !ends(run, socket, at, conversation, user, due_ms)
                && !was_overtaken(run, socket, at, conversation, user)
            {
                let text = format!(
                    "connection {number} of device {} was told that {user} types in {conversation}, and not that it ended",
                    socket.device
                );
                wrong.push((text, vec![*entry], conversation));
            }
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P4", text, entries, Some(conversation));
    }
}

/// The last `typing` of a user that may have kept the state of an entry: also those that were sent later.
fn last_typed(run: &Run<'_>, conversation: &str, user: &str, entry: usize) -> usize {
    let typed = run.transcript.requests.iter().filter(|request| {
        let frame = request.frame("typing");
        request.user.as_deref().is_none_or(|sender| sender == user)
            && frame.is_some_and(|frame| frame["conversation"] == conversation && frame["on"] == true)
    });
    typed.map(|request| request.sent).max().unwrap_or(entry).max(entry)
}

/// Whether a message that the user sent after they typed came before the typing: "a signal may arrive after
/// an event that was later" (docs/PROTOCOL.md, 1.1).
fn was_overtaken(run: &Run<'_>, socket: &Socket, at: usize, conversation: &str, user: &str) -> bool {
    let shown = socket.frames.get(at).map_or(0, |(entry, _)| *entry);
    let typed = run.transcript.requests.iter().filter(|request| {
        let frame = request.frame("typing");
        request.sent < shown
            && request.user.as_deref().is_none_or(|sender| sender == user)
            && frame.is_some_and(|frame| frame["conversation"] == conversation && frame["on"] == true)
    });
    let Some(typed) = typed.map(|request| request.sent).max() else { return false };
    let before = socket.frames.iter().take(at).filter(|(entry, was_sent)| !was_sent && *entry > typed);
    before.filter_map(|(entry, _)| run.transcript.frame(*entry)).any(|frame| {
        frame["type"] == "event"
            && frame["kind"] == "message"
            && frame["conversation"] == conversation
            && frame["sender"] == user
    })
}

fn ends(run: &Run<'_>, socket: &Socket, at: usize, conversation: &str, user: &str, due_ms: u64) -> bool {
    socket.frames.iter().skip(at + 1).filter(|(_, was_sent)| !was_sent).any(|(entry, _)| {
        let Some(frame) = run.transcript.frame(*entry).filter(|_| run.transcript.at_ms(*entry) <= due_ms)
        else {
            return false;
        };
        let here = frame["conversation"] == conversation;
        match frame["type"].as_str().unwrap_or_default() {
            "typing" => here && frame["user"] == user && frame["on"] == false,
            "event" => {
                // Who was removed is told nothing more of the conversation.
                let left = frame["kind"] == "member_left" && frame["user"].as_str() == socket.user.as_deref();
                here && (left
                    || frame["sender"] == user
                    || frame["user"] == user
                    || frame["changes"]["deleted"] == true)
            }
            // Signals to a lagging device are dropped, and a head says that the conversation was left.
            "lagging" | "heads" => true,
            _ => false,
        }
    })
}
