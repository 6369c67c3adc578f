//! P5 and P12: live events begin after the last of some heads, only that one has a cursor, and a device that
//! was sent `lagging` is sent heads soon after it has read what waited.

use super::Run;
use super::transcript::Socket;

/// A device that reads has its heads so long after `lagging`: the outbox drains first, heads are read, and a
/// read that fails is tried again.
const CAUGHT_UP_MS: u64 = 10_000;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (number, socket) in &run.transcript.sockets {
        let who = format!("connection {number} of device {}", socket.device);
        // The entry that paused live events.
        let mut paused: Option<(usize, &str)> = None;
        for (entry, was_sent) in &socket.frames {
            let Some(frame) = run.transcript.frame(*entry).filter(|_| !was_sent) else { continue };
            match frame["type"].as_str().unwrap_or_default() {
                kind @ ("welcome" | "heads") => {
                    let ends = frame["cursor"].is_string();
                    if kind == "welcome" && ends == (frame["more_heads"] == true) {
                        let text = format!(
                            "{who} was welcomed with a cursor before its last heads, or without one after them"
                        );
                        wrong.push(("P5", text, vec![*entry]));
                    }
                    paused = if ends { None } else { Some((*entry, "heads")) };
                }
                "lagging" => {
                    paused = Some((*entry, "lagging"));
                    let never =
                        format!("{who} was told that it lags, and was sent no heads although it reads");
                    if is_late(run, socket, *entry) {
                        wrong.push(("P12", never, vec![*entry]));
                    }
                }
                "event" => {
                    if let Some((since, what)) = paused {
                        let text =
                            format!("{who} was pushed an event after {what} and before the last heads");
                        wrong.push(("P12", text, vec![since, *entry]));
                        paused = None;
                    }
                }
                _ => {}
            }
        }
    }
    for (promise, text, entries) in wrong {
        run.broken(promise, text, entries, None);
    }
}

/// Whether the heads after `lagging` did not come in time.
fn is_late(run: &Run<'_>, socket: &Socket, lagging: usize) -> bool {
    let transcript = &run.transcript;
    let due_ms =
        run.troubles.quiet_for(transcript.at_ms(lagging), CAUGHT_UP_MS, socket.process, socket.device);
    let mut heads = socket.frames.iter().filter(|(entry, was_sent)| *entry > lagging && !was_sent);
    let came = heads.any(|(entry, _)| {
        transcript.at_ms(*entry) <= due_ms
            && transcript.frame(*entry).is_some_and(|frame| frame["type"] == "heads")
    });
    !came && run.over_ms(socket) > due_ms && !run.is_hostile(socket.device)
}
