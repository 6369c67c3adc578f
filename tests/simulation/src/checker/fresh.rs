//! P13: everything that a device reads after an ack includes what was acknowledged to it: heads,
//! conversations and lists.

use super::Run;
use super::told::Told;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let told = Told::of(&run.transcript, true);
    for head in &run.transcript.heads {
        let Some((acked, seq)) = told.before(head.device, head.conversation, head.asked) else { continue };
        let lost = run.facts.was_lost(head.conversation, seq, 0);
        if lost || head.last_seq >= seq {
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
