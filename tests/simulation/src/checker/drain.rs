//! P10: a connection that was asked to reconnect is not closed before the time in that request.

use super::Run;

/// The frames of a closing connection are under way for so long, beside the weather.
const UNDER_WAY_MS: u64 = 250;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    for (number, socket) in &run.transcript.sockets {
        let asked = socket.frames.iter().find(|(entry, was_sent)| {
            let frame = run.transcript.frame(*entry);
            !was_sent && frame.is_some_and(|frame| frame["type"] == "reconnect")
        });
        let (Some((entry, _)), Some((closed, code))) = (asked, socket.closed) else { continue };
        let Some(frame) = run.transcript.frame(*entry) else { continue };
        let (after_ms, deadline_ms) =
            (frame["after_ms"].as_u64(), frame["deadline_ms"].as_u64().unwrap_or(0));
        if deadline_ms > 0 && after_ms.is_none_or(|after_ms| after_ms > deadline_ms) {
            let text = format!(
                "connection {number} of device {} was asked to come back after its deadline: {frame}",
                socket.device
            );
            wrong.push((text, vec![*entry]));
        }
        let (asked_ms, closed_ms) = (run.transcript.at_ms(*entry), run.transcript.at_ms(closed));
        let slack_ms = UNDER_WAY_MS + 4 * run.plan.weather.socket_delay_ms;
        let stalled = run.troubles.sockets_are_bad(
            asked_ms.saturating_sub(deadline_ms),
            closed_ms,
            socket.process,
            socket.device,
        );
        if code == Some(1012) && closed_ms + slack_ms < asked_ms + deadline_ms && !stalled {
            let text = format!(
                "connection {number} of device {} was to stay for {deadline_ms} ms, and was closed after {} ms",
                socket.device,
                closed_ms - asked_ms
            );
            wrong.push((text, vec![*entry, closed]));
        }
    }
    for (text, entries) in wrong {
        run.broken("P10", text, entries, None);
    }
}
