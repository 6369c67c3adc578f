//! Deciding on a batch: pure, message by message in the batch's order.

use std::collections::{BTreeSet, HashMap};

use super::facts::{Earlier, Facts};
use crate::domain::permissions::{Sending, may_send};
use crate::domain::{
    Approach, ClientId, ConversationId, HistoryPolicy, Position, Refusal, Seq, Timestamp, UserId,
};
use crate::store::shared::content::{REPLY, REUSED, appended, fingerprint, storable};
use crate::store::shared::conversation::ConversationRow;
use crate::store::shared::roster::Roster;
use crate::store::{Appended, NewMessage, Target};

/// A message that goes into the log.
#[derive(Debug)]
pub(super) struct Accepted {
    pub conversation: ConversationId,
    pub sender: UserId,
    pub client_id: ClientId,
    pub seq: Seq,
    pub position: Position,
    pub messages_before: u64,
    pub body: Option<String>,
    pub extra: Option<String>,
    pub fingerprint: i64,
}

/// The read position that a send gives its sender.
#[derive(Debug)]
pub(super) struct ReadUpTo {
    pub conversation: ConversationId,
    pub user: UserId,
    pub seq: Seq,
    pub count: u64,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub answers: Vec<Result<Appended, Refusal>>,
    pub accepted: Vec<Accepted>,
    /// Conversations that the batch creates, before their first event.
    pub made: Vec<ConversationRow>,
    /// Changed conversations, with their new counters.
    pub moved: Vec<ConversationRow>,
    pub reads: Vec<ReadUpTo>,
    /// Who wrote to whom in direct conversations.
    pub met: BTreeSet<(UserId, UserId)>,
}

impl Plan {
    pub(super) fn decide(facts: Facts, batch: &[NewMessage], now: Timestamp) -> Self {
        let started =
            facts.conversations.iter().map(|(id, stored)| (*id, stored.conversation.last_seq)).collect();
        let mut deciding = Deciding { facts, started, reads: HashMap::new(), plan: Self::default(), now };
        for new in batch {
            let answer = deciding.answer(new);
            deciding.plan.answers.push(answer);
        }
        let Deciding { facts, started, reads, mut plan, .. } = deciding;
        let moved = |stored: &ConversationRow| {
            started.get(&stored.id()).is_none_or(|seq| *seq < stored.conversation.last_seq)
        };
        plan.moved = facts.conversations.into_values().filter(|stored| moved(stored)).collect();
        plan.reads = reads
            .into_iter()
            .map(|((conversation, user), (seq, count))| ReadUpTo { conversation, user, seq, count })
            .collect();
        plan
    }
}

struct Deciding {
    facts: Facts,
    /// The last seq of each conversation before this batch.
    started: HashMap<ConversationId, Seq>,
    reads: HashMap<(ConversationId, UserId), (Seq, u64)>,
    plan: Plan,
    now: Timestamp,
}

impl Deciding {
    fn answer(&mut self, new: &NewMessage) -> Result<Appended, Refusal> {
        let conversation = new.target.conversation(new.sender);
        let fingerprint = fingerprint(conversation, &new.content);
        if let Some(earlier) = self.facts.earlier.get(&(new.sender, new.client_id)) {
            return repeated(earlier, fingerprint);
        }
        let (body, extra) = storable(&new.content)?;
        self.admit(new, conversation)?;
        Ok(self.accept(new, conversation, fingerprint, body, extra))
    }

    /// Checks that the conversation of this message exists and that its sender may write to it. Creates a
    /// direct one if necessary.
    fn admit(&mut self, new: &NewMessage, id: ConversationId) -> Result<(), Refusal> {
        let standing = self.facts.standings.get(&(id, new.sender)).copied().ok_or(Refusal::NotFound)?;
        let found = self.facts.conversations.get(&id);
        // A conversation created earlier in this batch has its two members, although they were not read from
        // the database.
        let made_here = !self.started.contains_key(&id)
            && found.is_some_and(|stored| {
                stored.pair.is_some_and(|(low, high)| [low, high].contains(&new.sender))
            });
        let joined = standing.joined_seq.or(made_here.then_some(Seq::ZERO));
        let sending = Sending {
            there: found.map(|stored| stored.conversation.join),
            direct: found.map_or(matches!(new.target, Target::User(_)), |stored| stored.pair.is_some()),
            member: joined.is_some(),
            approach: self.approach(standing.sending.approach, found, new.sender),
            ..standing.sending
        };
        may_send(sending, self.now)?;
        let (Some(stored), Some(joined)) = (found, joined) else {
            // Only a direct conversation may receive a message before it exists.
            let Target::User(other) = new.target else { return Err(Refusal::NotFound) };
            return self.make_direct(new, id, other);
        };
        new.content.reply_to.map_or(Ok(()), |seq| self.may_reply_to(stored, joined, seq))
    }

    /// Who wrote earlier in this batch has made the one written to a contact.
    fn approach(&self, read: Approach, found: Option<&ConversationRow>, sender: UserId) -> Approach {
        let peer = found.and_then(|stored| stored.peer_of(sender));
        let met = peer.is_some_and(|peer| self.plan.met.contains(&(peer, sender)));
        Approach { known: read.known || met, said: found.map_or(0, |stored| stored.message_count), ..read }
    }

    fn make_direct(&mut self, new: &NewMessage, id: ConversationId, other: UserId) -> Result<(), Refusal> {
        if new.content.reply_to.is_some() {
            return Err(REPLY);
        }
        let stored = ConversationRow::new_direct(id, new.sender, other, self.now);
        if let Some(pair) = stored.pair {
            self.facts.rosters.insert(id, Roster::of_pair(stored.members_version, pair));
        }
        self.plan.made.push(stored.clone());
        self.facts.conversations.insert(id, stored);
        Ok(())
    }

    fn may_reply_to(&self, stored: &ConversationRow, joined: Seq, seq: Seq) -> Result<(), Refusal> {
        let visible = match stored.conversation.history {
            HistoryPolicy::All => true,
            HistoryPolicy::FromJoin => seq >= joined,
        };
        let before = self.started.get(&stored.id()).copied().unwrap_or_default();
        let is_message = if seq > before {
            seq <= stored.conversation.last_seq
        } else {
            self.facts.replied.contains(&(stored.id(), seq))
        };
        if visible && is_message { Ok(()) } else { Err(REPLY) }
    }

    fn accept(
        &mut self,
        new: &NewMessage,
        id: ConversationId,
        fingerprint: i64,
        body: Option<String>,
        extra: Option<String>,
    ) -> Appended {
        // `admit` ran for this message just before, and it adds the conversation in every case that reaches
        // this line.
        let stored = self.facts.conversations.get_mut(&id).expect("`admit` found or made the conversation");
        let seq = stored.conversation.last_seq.next();
        let previous = stored.last_position;
        let messages_before = stored.message_count;
        let position = self.facts.positions.next(previous);
        stored.conversation.last_seq = seq;
        stored.last_position = position;
        stored.message_count += 1;
        self.plan.met.extend(stored.peer_of(new.sender).map(|peer| (new.sender, peer)));
        let read = (new.sender, new.client_id);
        let earlier = Earlier { conversation: id, seq, sent_at: self.now, fingerprint: Some(fingerprint) };
        self.facts.earlier.insert(read, earlier);
        self.reads.insert((id, new.sender), (seq, stored.message_count));
        let (sender, client_id) = read;
        self.plan.accepted.push(Accepted {
            conversation: id,
            sender,
            client_id,
            seq,
            position,
            messages_before,
            body,
            extra,
            fingerprint,
        });
        appended(new, (id, seq), (previous, position), self.now, self.facts.rosters.get(&id))
    }
}

fn repeated(earlier: &Earlier, fingerprint: i64) -> Result<Appended, Refusal> {
    if earlier.fingerprint.is_some_and(|first| first != fingerprint) {
        return Err(REUSED);
    }
    Ok(Appended {
        conversation: earlier.conversation,
        seq: earlier.seq,
        sent_at: earlier.sent_at,
        committed: None,
    })
}
