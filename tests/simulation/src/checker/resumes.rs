//! P5: who comes back with a cursor is told of every message since then: heads count it, or it is pushed
//! after them.
//!
//! A message that was sent after its reader had the cursor lies behind it, and "`welcome.heads` lists every
//! conversation that changed since that cursor" (docs/PROTOCOL.md, 1.4). If it was acknowledged before the
//! reader came back, the heads are newer than the message.

use std::collections::BTreeMap;

use super::Run;
use super::delivery::line;
use super::told::Told;

/// A message with the entries in which it was sent and acknowledged.
struct Sent<'r> {
    conversation: &'r str,
    seq: u64,
    sent: usize,
    acked: usize,
}

pub(super) fn check(run: &mut Run<'_>) {
    // A position of one log says nothing of another one.
    if run.facts.unsettled(run.ended_ms()).is_some() {
        return;
    }
    let told = Told::of(&run.transcript, false);
    let (sent, given) = (sent(run), given(run));
    let mut wrong = Vec::new();
    for (number, socket) in &run.transcript.sockets {
        let Some((hello, _)) = socket.frames.first().filter(|_| !run.is_hostile(socket.device)) else {
            continue;
        };
        let cursor = run.transcript.frame(*hello).and_then(|frame| frame["cursor"].as_str());
        let given = cursor.and_then(|cursor| given.get(&(socket.device, cursor)));
        let since = given.and_then(|entries| entries.iter().rfind(|entry| *entry < hello));
        let (Some(since), Some(line)) = (since, line(run, socket)) else { continue };
        let live_ms = run.transcript.at_ms(line.live);
        let due_ms = run.troubles.delivered_by(live_ms, socket.process, socket.device);
        let lags = line.lags.iter().any(|(from_ms, _)| *from_ms <= due_ms);
        if due_ms >= line.over_ms || lags || run.log.erased.contains(line.user) {
            continue;
        }
        for one in sent.iter().filter(|one| one.sent > *since && one.acked < *hello) {
            let stays = run.facts.stays(one.conversation, line.user);
            let is_in = stays.iter().any(|stay| stay.joined <= one.seq && stay.left == u64::MAX);
            let before = told.before(socket.device, one.conversation, *hello);
            let knew = before.is_some_and(|(_, seq)| seq >= one.seq);
            let on_it = line.told.get(one.conversation).into_iter().flatten();
            let mut in_time = on_it.filter(|(entry, _)| run.transcript.at_ms(*entry) <= due_ms);
            if is_in
                && !knew
                && !run.log.deleted.contains(one.conversation)
                && !in_time.any(|(_, upto)| *upto >= one.seq)
            {
                let text = format!(
                    "device {} came back on connection {number} and was not told of message {} of {}, which is newer than its cursor",
                    socket.device, one.seq, one.conversation
                );
                wrong.push((text, vec![*since, one.sent, one.acked, *hello, line.live], one.conversation));
            }
        }
    }
    for (text, entries, conversation) in wrong {
        run.broken("P5", text, entries, Some(conversation));
    }
}

/// The messages of the log that a device sent, and that were acknowledged at the first try.
fn sent<'r>(run: &Run<'r>) -> Vec<Sent<'r>> {
    let done = run.transcript.requests.iter().filter(|one| one.is_done() && !run.is_hostile(one.device));
    let sent = done.filter_map(|request| {
        let (answer, acked) = (request.answer?, request.answered?);
        let (conversation, seq) = (answer["conversation"].as_str()?, answer["seq"].as_u64()?);
        let logged = run.log.event(conversation, seq)?;
        let first = answer["duplicate"] == false && logged.kind == "message";
        first.then_some(Sent { conversation, seq, sent: request.sent, acked })
    });
    sent.collect()
}

/// When a device was given each cursor.
fn given<'r>(run: &Run<'r>) -> BTreeMap<(usize, &'r str), Vec<usize>> {
    let mut given: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for socket in run.transcript.sockets.values() {
        for (entry, _) in socket.frames.iter().filter(|(_, was_sent)| !was_sent) {
            let frame = run.transcript.frame(*entry);
            if let Some(cursor) = frame.and_then(|frame| frame["cursor"].as_str()) {
                given.entry((socket.device, cursor)).or_default().push(*entry);
            }
        }
    }
    given.values_mut().for_each(|entries| entries.sort_unstable());
    given
}
