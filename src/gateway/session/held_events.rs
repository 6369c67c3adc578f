//! Which of the events that arrived while heads were read the user may see.
//!
//! A session subscribes to the channels of its heads. The user may have left one of them since the heads were
//! read. Events after that are not for this user, although they arrived.

use std::sync::Arc;

use crate::domain::{ConversationId, ConversationKind, EventKind, Seq, UserId};
use crate::protocol::delivery::Delivery;

/// The events that may be seen.
#[derive(Debug)]
pub struct VisibleEvents {
    /// The events, in the order of their arrival.
    pub events: Vec<Arc<Delivery>>,
    /// The channels that the user joined or left in the meantime, and whether the user is a member now.
    pub since: Vec<(ConversationId, bool)>,
}

/// Removes events of a channel while `user` is not a member of it. `channels`: the user's channels, sorted.
/// If they contradict the first join or leave among the events, they are older than that event.
pub fn visible_events(
    held: Vec<Arc<Delivery>>,
    user: UserId,
    channels: &[(ConversationId, Seq)],
) -> VisibleEvents {
    let about = |delivery: &Delivery| match &delivery.event().kind {
        EventKind::MemberJoined { user: who, .. } if *who == user => Some(true),
        EventKind::MemberLeft { user: who, .. } if *who == user => Some(false),
        _ => None,
    };
    let mut inside: Vec<(ConversationId, bool)> = Vec::new();
    for delivery in &held {
        let channel = delivery.event().conversation;
        if channel.kind() == ConversationKind::Channel
            && let Some(joins) = about(delivery)
            && !inside.iter().any(|(known, _)| *known == channel)
        {
            // Before a join the user is not a member; before a leave the user is.
            inside.push((channel, !joins));
        }
    }
    rare!(MembershipChangedWhileEntering, !inside.is_empty());
    let mut events = Vec::with_capacity(held.len());
    for delivery in held {
        let channel = delivery.event().conversation;
        if channel.kind() != ConversationKind::Channel {
            events.push(delivery);
            continue;
        }
        let turn = about(&delivery);
        let visible = match inside.iter_mut().find(|(known, _)| *known == channel) {
            Some((_, is_in)) => {
                let was_in = *is_in;
                *is_in = turn.unwrap_or(was_in);
                was_in || turn.is_some()
            }
            None => channels.binary_search_by_key(&channel, |(known, _)| *known).is_ok(),
        };
        rare!(HeldEventOfAChannelThatWasLeft, !visible);
        if visible {
            events.push(delivery);
        }
    }
    VisibleEvents { events, since: inside }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Event, LeaveReason, Position, Role, Timestamp};

    const ADA: UserId = UserId::from_uuid(Uuid::from_u128(0xada));

    fn channel(n: u128) -> ConversationId {
        ConversationId::from_random(ConversationKind::Channel, Uuid::from_u128(n << 8))
    }

    fn event(channel: ConversationId, n: u64, kind: EventKind) -> Arc<Delivery> {
        let seq = Seq::new(n).unwrap_or_default();
        let event = Event { conversation: channel, seq, sender: ADA, sent_at: Timestamp::default(), kind };
        Arc::new(Delivery::new(Arc::new(event), Position(n)))
    }

    fn said(channel: ConversationId, n: u64) -> Arc<Delivery> {
        event(channel, n, EventKind::Delete { target: Seq::new(1).unwrap_or_default() })
    }

    fn joined(channel: ConversationId, n: u64) -> Arc<Delivery> {
        event(channel, n, EventKind::MemberJoined { user: ADA, role: Role::Member })
    }

    fn left(channel: ConversationId, n: u64) -> Arc<Delivery> {
        event(channel, n, EventKind::MemberLeft { user: ADA, reason: LeaveReason::Removed })
    }

    fn seqs(visible: &VisibleEvents) -> Vec<u64> {
        visible.events.iter().map(|delivery| delivery.event().seq.get()).collect()
    }

    #[test]
    fn events_after_a_removal_are_not_visible_although_they_arrived() {
        let (in_it, out) = ([(channel(1), Seq::ZERO)], []);
        let visible =
            visible_events(vec![said(channel(1), 4), left(channel(1), 5), said(channel(1), 6)], ADA, &in_it);
        assert_eq!((seqs(&visible), &visible.since[..]), (vec![4, 5], &[(channel(1), false)][..]));
        let visible = visible_events(vec![said(channel(1), 6), said(channel(1), 7)], ADA, &out);
        assert!(
            visible.events.is_empty() && visible.since.is_empty(),
            "the heads are younger than the removal"
        );
        let back = vec![said(channel(1), 4), left(channel(1), 5), said(channel(1), 6), joined(channel(1), 7)];
        let visible = visible_events([back, vec![said(channel(1), 8)]].concat(), ADA, &out);
        assert_eq!((seqs(&visible), visible.since[0].1), (vec![4, 5, 7, 8], true));
    }

    #[test]
    fn who_joins_hears_from_the_join_on() {
        let visible =
            visible_events(vec![said(channel(1), 4), joined(channel(1), 5), said(channel(1), 6)], ADA, &[]);
        assert_eq!(seqs(&visible), [5, 6]);
        let group = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(9 << 8));
        assert_eq!(seqs(&visible_events(vec![said(group, 1)], ADA, &[])), [1], "groups name their members");
    }
}
