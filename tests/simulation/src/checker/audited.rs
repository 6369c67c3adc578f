//! The audit log at the end: it is one chain from its first entry on, and has every command of the operator
//! that was answered.
//!
//! "An operator's command is written before it acts" (ADR 0110), so a command without an answer may be there
//! or not. A failover or a restore may lose entries at the end of the log; what is left is still one chain.

use tidings::domain::audit::verify;

use super::Run;
use super::operated::Operated;
use crate::operator::NAME;

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let first = run.log.audit.first().map_or(1, |entry| entry.id);
    if first != 1 {
        wrong.push((format!("the audit log begins with entry {first}"), Vec::new()));
    }
    if let Err(number) = verify(None, &run.log.audit) {
        wrong
            .push((format!("entry {number} of the audit log does not follow the one before it"), Vec::new()));
    }
    let loses = run.may_lose();
    for one in run.transcript.operated.iter().filter(|one| one.done.is_some()) {
        let same: Vec<&Operated> = run
            .transcript
            .operated
            .iter()
            .filter(|other| other.user == one.user && other.effect.action() == one.effect.action())
            .collect();
        let done = same.iter().filter(|other| other.done.is_some()).count();
        let logged = run.log.audit.iter().filter(|entry| {
            entry.fields.action == one.effect.action()
                && entry.fields.subject.as_ref() == Some(&one.user)
                && entry.fields.actor == format!("operator:{NAME}")
        });
        let logged = logged.count();
        if (logged < done && !loses) || logged > same.len() {
            let text = format!(
                "the operator was told {done} times that {} is {}, and asked for it {} times; the audit log has {logged} \
                 entries of that",
                one.user,
                one.effect.action(),
                same.len()
            );
            wrong.push((text, vec![one.sent]));
        }
    }
    for (text, entries) in wrong {
        run.broken("audit", text, entries, None);
    }
}
