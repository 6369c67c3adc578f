//! P2 and P5: after a failover or a restore that lost events every client is told `reset: true`: on an open
//! connection soon, and in the welcome to a hello with a cursor of the old log.

use std::collections::BTreeSet;

use super::Run;
use super::transcript::Socket;

/// An open connection is told so long after the loss.
const TOLD_MS: u64 = 10_000;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for lost_ms in run.facts.losses() {
        let settled_ms = run.troubles.calm_for(lost_ms, TOLD_MS);
        let old: BTreeSet<&str> =
            run.transcript.sockets.values().flat_map(|one| cursors(run, one, lost_ms)).collect();
        for (number, socket) in &run.transcript.sockets {
            let opened_ms = run.transcript.at_ms(socket.opened);
            let said = |after_ms: u64| {
                let mut frames = socket.frames.iter().filter(|(_, was_sent)| !was_sent);
                frames.any(|(entry, _)| {
                    run.transcript.at_ms(*entry) >= after_ms
                        && run.transcript.frame(*entry).is_some_and(|frame| frame["reset"] == true)
                })
            };
            let welcomed = socket.frames.iter().find(|(entry, was_sent)| {
                !was_sent && run.transcript.frame(*entry).is_some_and(|frame| frame["type"] == "welcome")
            });
            let Some((welcome, _)) = welcomed else { continue };
            let due_ms =
                settled_ms.max(run.troubles.quiet_for(lost_ms, TOLD_MS, socket.process, socket.device));
            let stayed = run.transcript.at_ms(*welcome) < lost_ms && run.over_ms(socket) > due_ms;
            if stayed && !said(lost_ms) {
                let text = format!(
                    "connection {number} of device {} was not told that the log lost events",
                    socket.device
                );
                wrong.push((text, vec![*welcome]));
            }
            let hello = socket.frames.first().and_then(|(entry, _)| run.transcript.frame(*entry));
            let cursor = hello.and_then(|frame| frame["cursor"].as_str());
            let returns = opened_ms > settled_ms && cursor.is_some_and(|cursor| old.contains(cursor));
            if returns && !said(opened_ms) && !run.is_hostile(socket.device) {
                let text = format!(
                    "connection {number} of device {} came back with a cursor of the log that lost events, and was told no reset",
                    socket.device
                );
                wrong.push((text, vec![socket.opened, *welcome]));
            }
        }
    }
    for (text, entries) in wrong {
        run.broken("P2", text, entries, None);
    }
}

/// The cursors that a connection brought before a moment.
fn cursors<'r>(run: &Run<'r>, socket: &Socket, before_ms: u64) -> Vec<&'r str> {
    let frames = socket
        .frames
        .iter()
        .filter(|(entry, was_sent)| !was_sent && run.transcript.at_ms(*entry) < before_ms);
    frames.filter_map(|(entry, _)| run.transcript.frame(*entry)?["cursor"].as_str()).collect()
}
