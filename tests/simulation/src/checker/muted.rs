//! P7: a muted member adds nothing new: no message, edit or reaction of theirs follows the mute in the log
//! before it ends.
//!
//! The end is a time. Where the clocks of processes differ, or jump, as much more is allowed.

use std::collections::BTreeMap;

use super::Run;
use crate::plan::{Act, Fault};

pub(super) fn check(run: &mut Run<'_>) {
    let slack_ms = clocks_differ_ms(run);
    let mut wrong = Vec::new();
    for (conversation, events) in &run.log.events {
        // Until when each member is muted, and the event that said so.
        let mut muted: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
        for (seq, event) in events {
            let mute = &event.fields["changes"]["muted"];
            if let (Some(user), Some(until_ms)) = (mute["user"].as_str(), mute["until_ms"].as_i64()) {
                muted.insert(user, (until_ms, *seq));
            }
            let speaks = match event.kind.as_str() {
                "message" | "edit" => true,
                "reaction" => event.fields["on"] == true,
                _ => false,
            };
            let Some((until_ms, by)) = muted.get(event.sender.as_str()).filter(|_| speaks) else { continue };
            if event.sent_at_ms + slack_ms < *until_ms {
                let text = format!(
                    "{} was muted by event {by} of {conversation} for {} ms more, and the log has {} at {seq}",
                    event.sender,
                    until_ms - event.sent_at_ms,
                    event.shown()
                );
                wrong.push((text, conversation.clone()));
            }
        }
    }
    for (text, conversation) in wrong {
        run.broken("P7", text, Vec::new(), Some(&conversation));
    }
}

/// By how much two clocks of the run may differ.
pub(super) fn clocks_differ_ms(run: &Run<'_>) -> i64 {
    let skews = run.plan.processes.iter().map(|process| process.clock_off_ms.abs()).max().unwrap_or(0);
    let jumps: i64 = run
        .plan
        .steps
        .iter()
        .map(|step| match step.act {
            Act::Fault(Fault::ClockJump { by_ms, .. }) => by_ms.abs(),
            _ => 0,
        })
        .sum();
    100 + 2 * skews + jumps
}
