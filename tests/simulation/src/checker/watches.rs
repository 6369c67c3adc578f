//! P7 and P11: a watcher is sent the presence only of users whom it may see, and a connection watches no more
//! users than its limit.
//!
//! Two users may see each other while they share a direct conversation or a group, and neither blocks the
//! other.

use std::collections::BTreeSet;

use super::Run;
use super::facts::Stay;
use super::transcript::Socket;

/// A signal may be under way for so long after the right to see it ended.
const WITHIN_MS: u64 = 2_000;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (number, socket) in &run.transcript.sockets {
        let Some(watcher) = socket.user.as_deref() else { continue };
        for (entry, was_sent) in &socket.frames {
            let Some(frame) = run.transcript.frame(*entry).filter(|_| !was_sent) else { continue };
            let Some(user) = frame["user"].as_str() else { continue };
            let tells = frame["type"] == "presence" && frame["state"] != "offline" && user != watcher;
            if tells && !may_see(run, socket, watcher, user, *entry) {
                let text = format!(
                    "connection {number} of device {} was told that {user} is {}, with whom {watcher} shares nothing",
                    socket.device, frame["state"]
                );
                wrong.push(("P7", text, vec![*entry]));
            }
        }
        if let Some((text, entries)) = too_many(run, *number, socket) {
            wrong.push(("P11", text, entries));
        }
    }
    for (promise, text, entries) in wrong {
        run.broken(promise, text, entries, None);
    }
}

/// Whether both were members of a conversation at any moment shortly before an entry.
fn may_see(run: &Run<'_>, socket: &Socket, watcher: &str, user: &str, entry: usize) -> bool {
    let at_ms = run.transcript.at_ms(entry);
    let bound_ms = WITHIN_MS + run.troubles.weather_at(at_ms);
    let since_ms = at_ms.saturating_sub(bound_ms);
    // A signal that the bus or the log lost ends the watch later.
    let unsure = run.may_lose()
        || run.troubles.bus_is_bad(0, at_ms)
        || run.troubles.is_bad_after_start(at_ms)
        || run.troubles.sockets_are_bad(since_ms, at_ms, socket.process, socket.device);
    let there = |conversation: &str, stay: &Stay| {
        let left = (stay.left != u64::MAX).then(|| run.facts.known(conversation, stay.left));
        // A leave that no device was shown may have happened just before.
        left.is_none_or(|left| left.is_none_or(|left| left.at_ms >= since_ms))
    };
    let both = |conversation: &String| {
        let of = |user| run.facts.stays(conversation, user).iter().any(|stay| there(conversation, stay));
        of(watcher) && of(user)
    };
    unsure || run.log.events.keys().any(|conversation| !conversation.starts_with("c_") && both(conversation))
}

/// Whether the watches of a connection that were granted are more than its limit. A watch that ended by
/// itself counts no more, so only those are counted that nothing can have ended: neither user left anything,
/// and there was no block.
fn too_many(run: &Run<'_>, number: u64, socket: &Socket) -> Option<(String, Vec<usize>)> {
    let watcher = socket.user.as_deref()?;
    if run.may_lose() || !run.log.deleted.is_empty() || run.left_something(watcher) {
        return None;
    }
    let lasts = |user: &&str| !run.left_something(user) && !run.were_blocked(watcher, user);
    let welcome = socket.frames.iter().filter_map(|(entry, _)| run.transcript.frame(*entry));
    let limit = welcome.into_iter().find_map(|frame| frame["limits"]["watch_users"].as_u64())?;
    let mut watched: BTreeSet<&str> = BTreeSet::new();
    for request in run.transcript.requests.iter().filter(
        |request| matches!(request.asked, super::transcript::Asked::Frame(socket, _) if socket == number),
    ) {
        let users = |frame: &'_ serde_json::Value| -> Vec<String> {
            let users = frame["users"].as_array().into_iter().flatten();
            users.filter_map(|user| user.as_str().map(str::to_owned)).collect()
        };
        if let Some(frame) = request.frame("unwatch") {
            let ended = users(frame);
            watched.retain(|user| !ended.iter().any(|one| one == user));
        }
        if let Some(frame) = request.frame("watch").filter(|_| request.is_done()) {
            // Whom one may not see is not watched, and nothing says so.
            let came = socket.frames.iter().filter(|(entry, was_sent)| {
                !was_sent
                    && *entry > request.sent
                    && request.answered.is_some_and(|answered| *entry < answered)
            });
            let told = came
                .filter_map(|(entry, _)| run.transcript.frame(*entry))
                .filter(|told| told["type"] == "presence");
            let asked = |user: &&str| frame["users"].as_array().into_iter().flatten().any(|one| one == user);
            watched.extend(told.filter_map(|told| told["user"].as_str()).filter(asked).filter(lasts));
        }
        if watched.len() as u64 > limit {
            let text = format!(
                "connection {number} of device {} watches {} users, and its limit is {limit}",
                socket.device,
                watched.len()
            );
            return Some((text, vec![request.sent, request.answered.unwrap_or(request.sent)]));
        }
    }
    None
}
