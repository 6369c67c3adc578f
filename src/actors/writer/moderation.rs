//! Which changes are moderation, for the audit log.

use crate::domain::audit::{AuditAction, AuditActor, AuditEntry};
use crate::domain::{ConversationId, Role, Timestamp, UserId};
use crate::store::{Change, Changed};

/// The entry for a change that was made; `None` when it is nobody's moderation: members speak, join, leave
/// and delete their own messages without an entry.
pub fn entry(
    actor: UserId,
    conversation: ConversationId,
    change: &Change,
    changed: &Changed,
    now: Timestamp,
) -> Option<AuditEntry> {
    if changed.committed.is_empty() {
        return None;
    }
    let (subject, details) = match change {
        Change::Delete { target } => {
            let author = changed.author.filter(|author| *author != actor)?;
            (Some(author), format!("deleted message {}", target.get()))
        }
        Change::Leave { user } if *user != actor => (Some(*user), "removed".to_owned()),
        // A plain invitation is none.
        Change::Join { user, role } if *role > Role::Member => {
            (Some(*user), format!("added as {}", role.as_str()))
        }
        Change::SetRole { user, role } => (Some(*user), format!("role {}", role.as_str())),
        Change::Mute { user, duration_ms: 0 } => (Some(*user), "mute lifted".to_owned()),
        Change::Mute { user, duration_ms } => (Some(*user), format!("muted for {} s", duration_ms / 1_000)),
        Change::Ban { user, until, .. } if *until <= now => (Some(*user), "ban lifted".to_owned()),
        Change::Ban { user, until, reason } => {
            let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            (Some(*user), format!("banned until {until}{reason}"))
        }
        Change::Configure(_) => (None, "settings changed".to_owned()),
        Change::DeleteConversation => (None, "conversation deleted".to_owned()),
        Change::Edit { .. } | Change::React { .. } | Change::Join { .. } | Change::Leave { .. } => {
            return None;
        }
    };
    let entry = AuditEntry::new(now, AuditActor::User(actor), AuditAction::Moderated).with(details);
    Some(AuditEntry { subject, conversation: Some(conversation), ..entry })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{Audience, Committed, Event, EventKind, Position, Seq};

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    fn done(author: Option<UserId>) -> Changed {
        let event = Event {
            conversation: ConversationId::direct(user(1), user(2)),
            seq: Seq::ZERO.plus(1),
            sender: user(1),
            sent_at: Timestamp::from_unix_ms(0),
            kind: EventKind::Delete { target: Seq::ZERO },
        };
        let committed = Committed {
            event: Arc::new(event),
            position: Position(1),
            previous: Position(0),
            audience: Audience { users: Arc::new([]) },
        };
        Changed { seq: Seq::ZERO.plus(1), author, committed: vec![committed], invited: None }
    }

    fn of(change: &Change, changed: &Changed) -> Option<(Option<UserId>, Option<String>)> {
        let conversation = ConversationId::direct(user(1), user(2));
        let entry = entry(user(1), conversation, change, changed, Timestamp::from_unix_ms(10));
        entry.map(|entry| (entry.subject, entry.details))
    }

    #[test]
    fn what_is_done_to_others_is_moderation_and_ones_own_is_not() {
        let delete = Change::Delete { target: Seq::ZERO.plus(4) };
        assert_eq!(of(&delete, &done(Some(user(1)))), None);
        assert_eq!(
            of(&delete, &done(Some(user(2)))),
            Some((Some(user(2)), Some("deleted message 4".to_owned())))
        );
        assert_eq!(of(&Change::Leave { user: user(1) }, &done(None)), None);
        assert_eq!(of(&Change::Join { user: user(2), role: Role::Member }, &done(None)), None);
        let added = of(&Change::Join { user: user(2), role: Role::Admin }, &done(None));
        assert_eq!(added, Some((Some(user(2)), Some("added as admin".to_owned()))));
        let removed = of(&Change::Leave { user: user(2) }, &done(None));
        assert_eq!(removed, Some((Some(user(2)), Some("removed".to_owned()))));
        let lifted = Change::Ban { user: user(2), until: Timestamp::from_unix_ms(10), reason: None };
        assert_eq!(of(&lifted, &done(None)), Some((Some(user(2)), Some("ban lifted".to_owned()))));
        let repeated = Changed { committed: Vec::new(), ..done(Some(user(2))) };
        assert_eq!(of(&delete, &repeated), None, "nothing had to change");
    }
}
