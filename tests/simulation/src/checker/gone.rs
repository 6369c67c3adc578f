//! P14: at the end the log has no content that was deleted, replaced or erased, and no membership of an
//! erased user.
//!
//! Content that a job removes after the answer is gone a few seconds later, once everything works.

use super::Run;
use super::log::Logged;

/// Jobs are done so long after everything works: a lease may have to end first.
const JOBS_MS: u64 = 10_000;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let mut add = |text: String, conversation: &String| wrong.push((text, conversation.clone()));
    let late_ms = run.ended_ms().saturating_sub(JOBS_MS);
    let worked = run.troubles.healed_ms() <= late_ms && !asked_to_remove_after(run, late_ms);
    for (conversation, events) in &run.log.events {
        let deleted = run.log.deleted.contains(conversation);
        for (seq, event) in events {
            let place = format!("{seq} of {conversation}");
            if has_content(event) && worked && deleted {
                add(
                    format!("{conversation} was deleted, and the log has the content at {place}"),
                    conversation,
                );
            } else if has_content(event) && worked && run.log.erased.contains(&event.sender) {
                add(
                    format!("{} was erased, and the log has what they wrote at {place}", event.sender),
                    conversation,
                );
            }
            let target = event.target.and_then(|target| events.get(&target).map(|message| (target, message)));
            let Some((target, message)) = target else { continue };
            if event.kind == "delete" && has_content(message) {
                add(
                    format!("message {target} of {conversation} was deleted at {seq}, and has its content"),
                    conversation,
                );
            }
            let later = events.range(seq + 1..).map(|(_, later)| later);
            let replaced = later.clone().any(|later| {
                later.target == Some(target) && ["edit", "delete"].contains(&later.kind.as_str())
            });
            if event.kind == "edit" && event.body.is_some() && replaced {
                add(format!("the text at {place} was replaced later, and is still in the log"), conversation);
            }
            if event.kind == "edit" && event.body.is_some() && !replaced && message.body != event.body {
                add(
                    format!("message {target} of {conversation} does not have the text of its edit at {seq}"),
                    conversation,
                );
            }
        }
        for user in run.log.erased.iter().filter(|_| worked && !deleted) {
            if run.facts.stays(conversation, user).iter().any(|stay| stay.left == u64::MAX) {
                add(format!("{user} was erased, and is a member of {conversation}"), conversation);
            }
        }
    }
    for (text, conversation) in wrong {
        run.broken("P14", text, Vec::new(), Some(&conversation));
    }
}

fn has_content(event: &Logged) -> bool {
    match event.kind.as_str() {
        "message" => {
            event.has_content || event.body.is_some() || (!event.deleted && event.client_id.is_some())
        }
        "edit" => event.body.is_some(),
        _ => false,
    }
}

/// Whether an account or a conversation may have been removed after that moment.
fn asked_to_remove_after(run: &Run<'_>, at_ms: u64) -> bool {
    run.transcript.requests.iter().any(|request| {
        let removes = request
            .call("DELETE")
            .is_some_and(|(path, _)| matches!(path.as_slice(), ["v1", "me"] | ["v1", "conversations", _]));
        removes && run.transcript.at_ms(request.answered.unwrap_or(request.sent)) > at_ms
    })
}
