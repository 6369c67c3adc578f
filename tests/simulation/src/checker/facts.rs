//! Facts from the log and the history together: when an event was known to be committed, and who was a member
//! at which time.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{FinalLog, Logged};
use super::transcript::Transcript;
use crate::history::{What, Who};

/// The note of the world that names the events that a failover or a restore lost.
const LOST: &str = "lost events: ";

/// After a loss, processes find the new log within so long.
const UNDER_WAY_MS: u64 = 15_000;

/// When something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The entry.
    pub entry: usize,
    /// When, in milliseconds.
    pub at_ms: u64,
}

/// A stay in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// The seq of the join; 1 in a direct conversation.
    pub joined: u64,
    /// The seq of the leave; the greatest number while it lasts.
    pub left: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Facts {
    known: BTreeMap<String, BTreeMap<u64, Seen>>,
    stays: BTreeMap<String, BTreeMap<String, Vec<Stay>>>,
    /// When the log lost events for the last time, in milliseconds, with the time in which processes may
    /// still read the old one.
    pub lost_ms: Option<u64>,
    /// When it lost events.
    losses: Vec<u64>,
    /// When another log took its place, in milliseconds, whether or not it lost events.
    replaced: Vec<u64>,
    /// The events that were lost, each with the entries that say so.
    lost: BTreeMap<(String, u64), Vec<usize>>,
}

impl Facts {
    /// The facts of a run.
    pub fn of(transcript: &Transcript<'_>, log: &FinalLog) -> Self {
        let mut facts = Self::default();
        facts.lose(transcript);
        facts.stay(log);
        facts.know(transcript, log);
        facts
    }

    fn lose(&mut self, transcript: &Transcript<'_>) {
        for (at, entry) in transcript.entries.iter().enumerate() {
            let What::Noted { text } = &entry.what else { continue };
            let Some((_, list)) = text.split_once(LOST).filter(|_| entry.who == Who::World) else { continue };
            self.replaced.push(entry.at_ms);
            for (seq, conversation) in list.split(", ").filter_map(|one| one.split_once(" of ")) {
                let Ok(seq) = seq.parse() else { continue };
                self.lost.entry((conversation.to_owned(), seq)).or_default().push(at);
                self.lost_ms = Some(entry.at_ms + UNDER_WAY_MS);
                self.losses.push(entry.at_ms);
            }
        }
    }

    fn stay(&mut self, log: &FinalLog) {
        for (conversation, events) in &log.events {
            let of_conversation = self.stays.entry(conversation.clone()).or_default();
            let direct = conversation.starts_with("d_");
            if direct {
                for user in log.members.get(conversation).into_iter().flat_map(BTreeMap::keys) {
                    of_conversation.insert(user.clone(), vec![Stay { joined: 1, left: u64::MAX }]);
                }
            }
            for (seq, event) in events {
                let Some(user) = event.fields["user"].as_str() else { continue };
                let stays = of_conversation.entry(user.to_owned()).or_default();
                match (event.kind.as_str(), stays.last_mut()) {
                    ("member_joined", _) => stays.push(Stay { joined: *seq, left: u64::MAX }),
                    ("member_left", Some(last)) => last.left = *seq,
                    ("member_left", None) => stays.push(Stay { joined: 1, left: *seq }),
                    _ => {}
                }
            }
        }
    }

    fn know(&mut self, transcript: &Transcript<'_>, log: &FinalLog) {
        let since_ms = self.lost_ms.unwrap_or(0);
        // What was seen before a loss and is still there was counted by other heads than those of the new
        // log.
        let mut survivors: BTreeSet<(&str, u64)> = BTreeSet::new();
        let mut seen: Vec<(usize, &str, u64)> = Vec::new();
        for request in transcript.requests.iter().filter(|request| request.is_done()) {
            let (Some(answer), Some(answered)) = (request.answer, request.answered) else { continue };
            // The head of a conversation has no `seq`.
            if let (Some(conversation), Some(seq)) = (answer["conversation"].as_str(), answer["seq"].as_u64())
            {
                seen.push((answered, conversation, seq));
            }
        }
        for shown in &transcript.shown {
            if log.event(shown.conversation, shown.seq).is_some_and(|logged| is_same(logged, shown.event)) {
                seen.push((shown.entry, shown.conversation, shown.seq));
            }
        }
        for head in &transcript.heads {
            let events = log
                .events
                .get(head.conversation)
                .into_iter()
                .flat_map(|events| events.range(..=head.last_seq));
            seen.extend(events.map(|(seq, _)| (head.entry, head.conversation, *seq)));
        }
        seen.sort_unstable();
        for (entry, conversation, seq) in seen {
            let at_ms = transcript.at_ms(entry);
            if at_ms < since_ms {
                survivors.insert((conversation, seq));
            } else if !survivors.contains(&(conversation, seq)) {
                let of_conversation = self.known.entry(conversation.to_owned()).or_default();
                of_conversation.entry(seq).or_insert(Seen { entry, at_ms });
            }
        }
    }

    /// When anybody saw that an event is committed.
    pub fn known(&self, conversation: &str, seq: u64) -> Option<Seen> {
        self.known.get(conversation)?.get(&seq).copied()
    }

    /// Whether an event that was there at an entry was lost later.
    pub fn was_lost(&self, conversation: &str, seq: u64, entry: usize) -> bool {
        let lost = self.lost.get(&(conversation.to_owned(), seq));
        lost.is_some_and(|entries| entries.iter().any(|at| *at > entry))
    }

    /// When the log lost events, in milliseconds.
    pub fn losses(&self) -> Vec<u64> {
        let mut losses = self.losses.clone();
        losses.dedup();
        losses
    }

    /// When the log was replaced the last time before a moment, and until when processes may not have noticed
    /// it. Positions of the new log may lie before what they know of the old one, even if no event was lost.
    pub fn unsettled(&self, at_ms: u64) -> Option<(u64, u64)> {
        let since_ms = self.replaced.iter().rev().find(|since_ms| **since_ms <= at_ms)?;
        Some((*since_ms, since_ms + UNDER_WAY_MS))
    }

    /// The stays of a user in a conversation.
    pub fn stays(&self, conversation: &str, user: &str) -> &[Stay] {
        let of_conversation = self.stays.get(conversation);
        of_conversation.and_then(|users| users.get(user)).map_or(&[], Vec::as_slice)
    }
}

/// Whether an event as it was shown is the one of the log.
pub fn is_same(logged: &Logged, shown: &serde_json::Value) -> bool {
    let alike = |field: &str, value: &str| shown[field].as_str().is_none_or(|text| text == value);
    alike("kind", &logged.kind)
        && alike("sender", &logged.sender)
        && logged.message_id.as_deref().is_none_or(|id| alike("message_id", id))
}
