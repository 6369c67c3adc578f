//! P13: everything that a device reads after an ack includes what was acknowledged to it: heads,
//! conversations and lists.
//!
//! The heads that the server sends by itself were not asked for, so they may be of a moment before the ack.
//! The event is pushed after them then: "Live events begin after the announced `last_seq` … They begin after
//! the last of these frames" (docs/PROTOCOL.md, 1.4).

use super::Run;
use super::told::Told;
use super::transcript::Head;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let told = Told::of(&run.transcript, true).since(&run.transcript, run.facts.lost_ms);
    for head in &run.transcript.heads {
        let Some((acked, seq)) = told.before(head.device, head.conversation, head.asked) else { continue };
        let lost = run.facts.was_lost(head.conversation, seq, 0);
        if lost || head.last_seq >= seq || follows(run, head, seq) {
            continue;
        }
        let text = format!(
            "device {} was told that {} ends at {}, after an ack for {seq} there",
            head.device, head.conversation, head.last_seq
        );
        wrong.push((text, vec![acked, head.asked, head.entry], head.conversation));
    }
    for (text, entries, conversation) in wrong {
        run.broken("P13", text, entries, Some(conversation));
    }
}

/// Whether an event, or a later one, is sent on the connection after heads that the server sent by itself.
fn follows(run: &Run<'_>, head: &Head<'_>, seq: u64) -> bool {
    let pushed = head.asked == head.entry;
    let Some(socket) = head.socket.and_then(|socket| run.transcript.sockets.get(&socket)) else {
        return false;
    };
    let due_ms = run.troubles.delivered_by(run.transcript.at_ms(head.entry), socket.process, socket.device);
    let later = socket.frames.iter().filter(|(entry, was_sent)| !was_sent && *entry > head.entry);
    let mut later = later.filter_map(|(entry, _)| run.transcript.frame(*entry));
    let sent = later.any(|frame| match frame["type"].as_str() {
        Some("event") => {
            frame["conversation"] == head.conversation && frame["seq"].as_u64().is_some_and(|at| at >= seq)
        }
        Some("heads") => {
            let heads = frame["heads"].as_array().into_iter().flatten();
            let mut here = heads.filter(|one| one["conversation"] == head.conversation);
            here.any(|one| one["left"] == true || one["last_seq"].as_u64().is_some_and(|at| at >= seq))
        }
        Some("lagging") => true,
        _ => false,
    });
    pushed && (sent || run.over_ms(socket) <= due_ms)
}
