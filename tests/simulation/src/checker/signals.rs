//! P8 and P9: at the end who watches somebody was told last what is: online, away or offline.
//!
//! Compared are pairs who share a direct conversation or a group all the time, left none and had no block, on
//! connections that asked to watch and still do, when nothing changed lately: what the bus or a node lost is
//! corrected by the next lookup. "When the last shared conversation is left or deleted, … the watch ends"
//! (docs/PROTOCOL.md, 1.1).

use std::collections::BTreeSet;

use super::Run;
use super::transcript::{Asked, Socket};

/// What a change of presence takes at most: a lease ends, a lookup finds it, and `presence.offline_after_ms`.
const SETTLED_MS: u64 = 14_000;

pub(super) fn check(run: &mut Run<'_>) {
    let hostile = (0..run.plan.devices.len()).any(|device| run.is_hostile(device));
    if hostile || run.may_lose() || run.troubles.healed_ms().saturating_add(SETTLED_MS) > run.ended_ms() {
        return;
    }
    let mut wrong = Vec::new();
    for (number, socket) in run.transcript.sockets.iter().filter(|(_, socket)| is_open(run, socket)) {
        let Some(watcher) = socket.user.as_deref() else { continue };
        for (user, asked) in watched(run, *number) {
            if user == watcher || !see_each_other(run, watcher, &user, asked) {
                continue;
            }
            let Some(state) = state_of(run, &user) else { continue };
            let told = socket.frames.iter().rev().filter(|(_, was_sent)| !was_sent);
            let told = told.filter_map(|(entry, _)| Some((*entry, run.transcript.frame(*entry)?)));
            let mut told = told.filter(|(entry, frame)| {
                *entry > asked && frame["type"] == "presence" && frame["user"] == user.as_str()
            });
            let last = told.next();
            let shown = last.map_or("nothing", |(_, frame)| frame["state"].as_str().unwrap_or_default());
            if shown != state {
                let text = format!(
                    "connection {number} of device {} watches {user}, who is {state}, and was told {shown} last",
                    socket.device
                );
                wrong.push((
                    text,
                    [Some(asked), last.map(|(entry, _)| entry)].into_iter().flatten().collect(),
                ));
            }
        }
    }
    for (text, entries) in wrong {
        run.broken("P8", text, entries, None);
    }
}

fn is_open(run: &Run<'_>, socket: &Socket) -> bool {
    run.over_ms(socket) >= run.ended_ms()
}

/// Whom a connection watches: since when.
fn watched(run: &Run<'_>, number: u64) -> Vec<(String, usize)> {
    let mut watched: Vec<(String, usize)> = Vec::new();
    for request in &run.transcript.requests {
        let (Asked::Frame(socket, frame), true) = (request.asked, request.is_done()) else { continue };
        let users = frame["users"].as_array().into_iter().flatten().filter_map(|user| user.as_str());
        match frame["type"].as_str() {
            Some("watch") if socket == number => {
                for user in users {
                    watched.retain(|(one, _)| one != user);
                    watched.push((user.to_owned(), request.sent));
                }
            }
            Some("unwatch") if socket == number => {
                let ended: BTreeSet<&str> = users.collect();
                watched.retain(|(one, _)| !ended.contains(one.as_str()));
            }
            _ => {}
        }
    }
    watched
}

/// Whether two users saw each other all the time since an entry.
fn see_each_other(run: &Run<'_>, watcher: &str, user: &str, since: usize) -> bool {
    let blocks = run.were_blocked(watcher, user);
    let stays = |conversation: &str, user: &str| {
        run.facts.stays(conversation, user).iter().any(|stay| {
            let known = run.facts.known(conversation, stay.joined);
            stay.left == u64::MAX && known.is_none_or(|known| known.entry < since)
        })
    };
    // A watch ends when any shared conversation ends and no other one is found at that moment.
    let left = run.left_something(watcher) || run.left_something(user);
    let mut lasting = run.log.events.keys().filter(|conversation| !run.log.deleted.contains(*conversation));
    let share = lasting.any(|conversation| {
        !conversation.starts_with("c_") && stays(conversation, watcher) && stays(conversation, user)
    });
    share && !blocks && !left
}

/// What a user is, when it did not change lately and every connection is known.
fn state_of(run: &Run<'_>, user: &str) -> Option<&'static str> {
    let since_ms = run.ended_ms().saturating_sub(SETTLED_MS);
    let (mut online, mut away) = (false, false);
    for socket in run.transcript.sockets.values().filter(|socket| socket.user.as_deref() == Some(user)) {
        let ended_ms = socket.closed.map(|(at, _)| run.transcript.at_ms(at));
        if ended_ms.is_some_and(|ended_ms| ended_ms < since_ms) {
            continue;
        }
        if ended_ms.is_some() || !is_open(run, socket) || run.transcript.at_ms(socket.opened) > since_ms {
            return None;
        }
        let mut said = socket.frames.iter().rev().filter(|(_, was_sent)| *was_sent);
        let last = said.find_map(|(entry, _)| {
            let frame = run.transcript.frame(*entry)?;
            let kind = frame["type"].as_str()?;
            ["background", "foreground"].contains(&kind).then_some((*entry, kind))
        });
        if last.is_some_and(|(entry, _)| run.transcript.at_ms(entry) > since_ms) {
            return None;
        }
        match last {
            Some((_, "background")) => away = true,
            _ => online = true,
        }
    }
    Some(match (online, away) {
        (true, _) => "online",
        (false, true) => "away",
        (false, false) => "offline",
    })
}
