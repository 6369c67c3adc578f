//! P7: nobody is a member of a conversation while they are banned from it: no join of theirs follows the ban
//! in the log before it ends.
//!
//! The end is a time. Where the clocks of processes differ, or jump, as much more is allowed.

use std::collections::BTreeMap;

use super::Run;
use super::muted::clocks_differ_ms;

pub(super) fn check(run: &mut Run<'_>) {
    let slack_ms = clocks_differ_ms(run);
    let mut wrong = Vec::new();
    for (conversation, events) in &run.log.events {
        // Until when each user is banned, and the event that said so.
        let mut banned: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
        for (seq, event) in events {
            let ban = &event.fields["changes"]["banned"];
            if let (Some(user), Some(until_ms)) = (ban["user"].as_str(), ban["until_ms"].as_i64()) {
                banned.insert(user, (until_ms, *seq));
            }
            let joins = event.fields["user"].as_str().filter(|_| event.kind == "member_joined");
            let Some((until_ms, by)) = joins.and_then(|user| banned.get(user)) else { continue };
            if event.sent_at_ms + slack_ms < *until_ms {
                let text = format!(
                    "event {by} of {conversation} banned a user for {} ms more, and the log has {} at {seq}",
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
