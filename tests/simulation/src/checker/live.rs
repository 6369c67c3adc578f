//! P4: a connection is pushed the events of a conversation in the order of their seqs, none twice, and none
//! is left out without `lagging` or `heads`.
//!
//! After `lagging`, and after a `heads` frame that names a conversation, live events may begin later: the
//! client asks for what is between (docs/PROTOCOL.md, 1.4). A conversation that begins for a user in the
//! middle of a connection begins with any seq. "After a failover or a restore a node may push events with a
//! gap, or not at all, until it notices that … and sends `reset: true`" (docs/SEMANTICS.md, exceptions of
//! P4).

use std::collections::BTreeMap;

use super::Run;
use super::transcript::Socket;

/// Where the pushed events of a conversation are.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The last one that was pushed or named by a head.
    seq: u64,
    /// The entry that said so.
    entry: usize,
}

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (number, socket) in &run.transcript.sockets {
        let mut places: BTreeMap<&str, Place> = BTreeMap::new();
        let mut lagging = false;
        let mut reset_ms = 0;
        for (entry, was_sent) in &socket.frames {
            let entry = *entry;
            let Some(frame) = run.transcript.frame(entry).filter(|_| !was_sent) else { continue };
            match frame["type"].as_str().unwrap_or_default() {
                "welcome" | "heads" => {
                    lagging = false;
                    if frame["reset"] == true {
                        reset_ms = run.transcript.at_ms(entry);
                        places.clear();
                    }
                    for head in frame["heads"].as_array().into_iter().flatten() {
                        let Some(conversation) = head["conversation"].as_str() else { continue };
                        match head["last_seq"].as_u64() {
                            Some(seq) => {
                                let known = places.get(conversation).map_or(0, |place| place.seq);
                                places.insert(conversation, Place { seq: seq.max(known), entry });
                            }
                            None => {
                                places.remove(conversation);
                            }
                        }
                    }
                }
                "lagging" => lagging = true,
                "event" => {
                    let (Some(conversation), Some(seq)) =
                        (frame["conversation"].as_str(), frame["seq"].as_u64())
                    else {
                        continue;
                    };
                    let before = places.insert(conversation, Place { seq, entry });
                    let Some(before) = before else { continue };
                    // The node may not have noticed yet that the log is another one.
                    if is_unsettled(run, socket, reset_ms, run.transcript.at_ms(entry)) {
                        continue;
                    }
                    let joined =
                        frame["kind"] == "member_joined" && frame["user"].as_str() == socket.user.as_deref();
                    let what = if seq <= before.seq {
                        "twice or out of order"
                    } else if seq > before.seq + 1 && !lagging && !joined {
                        "after a gap"
                    } else {
                        continue;
                    };
                    let text = format!(
                        "device {} was pushed event {seq} of {conversation} {what} on connection {number}: the one before was {}",
                        socket.device, before.seq
                    );
                    wrong.push((text, vec![before.entry, entry], conversation));
                }
                _ => {}
            }
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P4", text, entries, Some(conversation));
    }
}

/// Whether an event may have been sent before the node noticed that the log was replaced. `reset_ms`: when
/// the connection was sent `reset` the last time. What waits in a socket comes later.
fn is_unsettled(run: &Run<'_>, socket: &Socket, reset_ms: u64, at_ms: u64) -> bool {
    run.facts.unsettled(at_ms).is_some_and(|(since_ms, until_ms)| {
        let waits_ms = run.troubles.reached_by(since_ms, until_ms - since_ms, socket.process, socket.device);
        at_ms <= until_ms || (reset_ms < since_ms && at_ms <= waits_ms)
    })
}
