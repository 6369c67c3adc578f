//! The final log, indexed, and what can be wrong with it by itself or between two servers.

use std::collections::HashMap;

use super::{
    Anomaly, Ledger,
    history::{History, Logged, What},
};
use crate::ids::{ConversationId, UserId};

/// The final logs: of several copies the first counts, and the others must equal it.
pub(super) struct Logs<'a> {
    by_conversation: HashMap<&'a ConversationId, Log<'a>>,
}

/// One conversation's log.
pub(super) struct Log<'a> {
    events: HashMap<u64, &'a Logged>,
    memberships: HashMap<&'a UserId, Vec<(u64, bool)>>,
    pub(super) last_seq: u64,
}

impl<'a> Logs<'a> {
    pub(super) fn index(history: &'a History, ledger: &mut Ledger) -> Self {
        let mut by_conversation: HashMap<&ConversationId, Log<'a>> = HashMap::new();
        for copy in &history.logs {
            let mut expected = 1;
            for event in &copy.events {
                if event.seq != expected {
                    let text = format!(
                        "the log of {} on {} has {} where {expected} belongs",
                        copy.conversation, copy.server, event.seq
                    );
                    ledger.add("P2", Anomaly::Gap, text);
                }
                expected = event.seq + 1;
            }
            if let Some(first) = by_conversation.get(&copy.conversation) {
                first.compare(&Log::index(&copy.events), &copy.conversation, &copy.server, ledger);
            } else {
                by_conversation.insert(&copy.conversation, Log::index(&copy.events));
            }
        }
        Self { by_conversation }
    }

    pub(super) fn of(&self, conversation: &ConversationId) -> Option<&Log<'a>> {
        self.by_conversation.get(conversation)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&ConversationId, &'a Logged)> {
        self.by_conversation
            .iter()
            .flat_map(|(conversation, log)| log.events.values().map(move |event| (*conversation, *event)))
    }
}

impl<'a> Log<'a> {
    fn index(events: &'a [Logged]) -> Self {
        let mut memberships: HashMap<&UserId, Vec<(u64, bool)>> = HashMap::new();
        for event in events {
            match &event.what {
                What::Joined(user) => memberships.entry(user).or_default().push((event.seq, true)),
                What::Left(user) => memberships.entry(user).or_default().push((event.seq, false)),
                What::Message(_) | What::Other => {}
            }
        }
        Self {
            events: events.iter().map(|event| (event.seq, event)).collect(),
            memberships,
            last_seq: events.last().map_or(0, |event| event.seq),
        }
    }

    pub(super) fn at(&self, seq: u64) -> Option<&'a Logged> {
        self.events.get(&seq).copied()
    }

    /// Whether `user` was surely not a member at `seq`. The events of leaving and joining themselves are
    /// one's own to see.
    pub(super) fn absent(&self, user: &UserId, seq: u64) -> bool {
        let Some(memberships) = self.memberships.get(user) else { return false };
        let before = memberships.iter().rev().find(|(at, _)| *at <= seq);
        match before {
            Some((at, joined)) => !joined && *at != seq,
            None => memberships.first().is_some_and(|(at, joined)| *joined && *at > seq),
        }
    }

    /// Whether a live stream of `user` may lack `seq`: absent, or the very event that ended or began the
    /// absence.
    pub(super) fn excused(&self, user: &UserId, seq: u64) -> bool {
        let own = self
            .memberships
            .get(user)
            .is_some_and(|memberships| memberships.iter().any(|(at, _)| *at == seq));
        own || self.absent(user, seq)
    }

    /// Whether `user` became a member by the event at `seq`: a stream begins anew there, whatever it lacks
    /// before.
    pub(super) fn begins(&self, user: &UserId, seq: u64) -> bool {
        self.memberships.get(user).is_some_and(|memberships| memberships.contains(&(seq, true)))
    }

    /// The places where `user` became a member.
    pub(super) fn joins(&self, user: &UserId) -> Vec<u64> {
        let memberships = self.memberships.get(user).map(Vec::as_slice).unwrap_or_default();
        memberships.iter().filter(|(_, joined)| *joined).map(|(seq, _)| *seq).collect()
    }

    fn compare(&self, other: &Self, conversation: &ConversationId, server: &str, ledger: &mut Ledger) {
        for seq in 1..=self.last_seq.max(other.last_seq) {
            if self.at(seq).map(|event| event.identity) != other.at(seq).map(|event| event.identity) {
                let text = format!("{conversation}: {server} disagrees with the first server at {seq}");
                ledger.add("P2", Anomaly::Divergent, text);
            }
        }
    }
}
