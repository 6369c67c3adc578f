//! The pure steps of entering and catching up: subscribe first, read heads second, send them third. Answers
//! go in, the next step comes out.
//!
//! Every committed event is either counted in the heads that are sent, or pushed after them, never both.
//! Subscriptions are active before the heads are read, events that arrive in between are held ([`Life`]), and
//! heads that may be older than a loss or a subscription are read again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::feed::{Arrival, Feed};
use super::life::Life;
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::{Cursor, Head, Heads};

/// How often heads are read again because something changed in between, before another session may read.
const READS: u32 = 8;

/// The next step.
#[derive(Debug)]
pub enum EnteringStep {
    /// Wait until all subscriptions are active, then call [`Entering::on_settled`].
    Settle,
    /// Subscribe to these channels, then do the same.
    Subscribe(Vec<ConversationId>),
    /// Read the heads that moved since then, and call [`Entering::on_heads`].
    Read(Option<Cursor>),
    /// Read the heads of these conversations, and call [`Entering::on_named`].
    ReadNamed(Vec<ConversationId>),
    /// Send these heads, then call [`Life::go_live`].
    Tell(Entered),
    /// Something changed in between every time.
    GiveUp,
}

/// Heads that may be sent.
#[derive(Debug)]
pub struct Entered {
    /// The end of the log when they were read.
    pub cursor: Cursor,
    /// The log is not the one of the client's cursor.
    pub reset: bool,
    /// The conversations that moved, by id.
    pub heads: Vec<Head>,
    /// The conversations that the user is no longer a member of, by id.
    pub left: Vec<ConversationId>,
    /// The channels of the user at that time, with their newest seqs.
    pub channels: Vec<(ConversationId, Seq)>,
    /// Channels to unsubscribe from.
    pub leaves: Vec<ConversationId>,
}

/// The steps from a valid token to the welcome.
#[derive(Debug)]
pub struct Entering {
    user: UserId,
    since: Option<Cursor>,
    /// The client's positions in conversations that it has open.
    positions: HashMap<ConversationId, Seq>,
    gathered: Option<Gathered>,
    reads_left: u32,
}

impl Entering {
    /// Begins. The session's own topic is subscribed to, and its events are held.
    pub fn new(
        user: UserId,
        since: Option<Cursor>,
        positions: HashMap<ConversationId, Seq>,
    ) -> (Self, EnteringStep) {
        let entering = Self { user, since, positions, gathered: None, reads_left: READS };
        (entering, EnteringStep::Settle)
    }

    /// The subscriptions are active.
    pub fn on_settled(&mut self) -> EnteringStep {
        self.read()
    }

    fn read(&mut self) -> EnteringStep {
        let Some(left) = self.reads_left.checked_sub(1) else { return EnteringStep::GiveUp };
        self.reads_left = left;
        EnteringStep::Read(self.gathered.as_ref().map_or(self.since, |gathered| Some(gathered.cursor)))
    }

    /// Heads were read. `subscribed`: the session's channels.
    pub fn on_heads(
        &mut self,
        heads: Heads,
        life: &mut Life,
        feed: &mut Feed,
        subscribed: &[ConversationId],
    ) -> EnteringStep {
        let gathered = match self.gathered.take() {
            None => {
                let known_log = self.since.is_some_and(|since| since.epoch == heads.cursor.epoch);
                let mut gathered = Gathered::new(heads);
                let open = gathered.left_open(&self.positions);
                if known_log && !open.is_empty() {
                    self.gathered = Some(gathered);
                    return EnteringStep::ReadNamed(open);
                }
                // All heads were read: the user is no longer a member of a conversation that is not among
                // them.
                if !known_log {
                    gathered.leave(open);
                }
                gathered
            }
            Some(mut gathered) => {
                gathered.add(heads);
                gathered
            }
        };
        self.proceed(gathered, life, feed, subscribed)
    }

    /// The heads of those named conversations were read in which the user is a member.
    pub fn on_named(
        &mut self,
        heads: Vec<Head>,
        life: &mut Life,
        feed: &mut Feed,
        subscribed: &[ConversationId],
    ) -> EnteringStep {
        let Some(mut gathered) = self.gathered.take() else { return self.read() };
        gathered.add_named(heads, &self.positions);
        self.proceed(gathered, life, feed, subscribed)
    }

    fn proceed(
        &mut self,
        gathered: Gathered,
        life: &mut Life,
        feed: &mut Feed,
        subscribed: &[ConversationId],
    ) -> EnteringStep {
        let known: HashSet<ConversationId> = subscribed.iter().copied().collect();
        let channels = gathered.channels.iter().map(|(channel, _)| *channel);
        let missing: Vec<ConversationId> = channels.filter(|channel| !known.contains(channel)).collect();
        if !missing.is_empty() {
            rare!(ChannelFoundByALaterRead, self.reads_left + 1 < READS);
            self.gathered = Some(gathered);
            return EnteringStep::Subscribe(missing);
        }
        match feed.arrive(life, gathered.announced(), gathered.cursor, self.user, &gathered.channels) {
            Arrival::Tell { since } => {
                let reset = self.since.is_some_and(|had| had.epoch != gathered.cursor.epoch);
                rare!(CursorOfAnotherEpoch, reset);
                EnteringStep::Tell(Entered { reset, ..gathered.entered(&since, subscribed) })
            }
            Arrival::Again => {
                self.gathered = Some(gathered);
                self.read()
            }
        }
    }
}

/// The heads of several reads, the newest of each conversation.
#[derive(Debug)]
struct Gathered {
    cursor: Cursor,
    heads: BTreeMap<ConversationId, Head>,
    /// With the event that ended the membership, if it is known.
    left: BTreeMap<ConversationId, Seq>,
    channels: Vec<(ConversationId, Seq)>,
}

impl Gathered {
    fn new(first: Heads) -> Self {
        let (heads, left, channels) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut gathered = Self { cursor: first.cursor, heads, left, channels };
        gathered.add(first);
        gathered
    }

    fn add(&mut self, next: Heads) {
        self.cursor = next.cursor;
        self.channels = next.channels;
        for (conversation, left_seq) in next.left {
            self.heads.remove(&conversation);
            self.left.insert(conversation, left_seq);
        }
        for head in next.heads {
            self.left.remove(&head.conversation);
            self.heads.insert(head.conversation, head);
        }
    }

    /// The conversations in which these positions may be behind, or of which the user may no longer be a
    /// member, and that are not among the heads so far.
    fn left_open(&self, positions: &HashMap<ConversationId, Seq>) -> Vec<ConversationId> {
        let open = positions.iter().filter(|(conversation, held)| {
            let quiet = self.channels.binary_search_by_key(conversation, |(channel, _)| channel);
            let may_be_behind = match (conversation.kind(), quiet) {
                // Every channel of the user is included with its newest seq, moved or not.
                (ConversationKind::Channel, Ok(at)) => self.channels[at].1 > **held,
                (_, _) => true,
            };
            may_be_behind && !self.heads.contains_key(conversation) && !self.left.contains_key(conversation)
        });
        open.map(|(conversation, _)| *conversation).collect()
    }

    /// Adds heads of conversations in which the client is behind although nothing moved since its cursor. The
    /// user is not a member of those without a head.
    fn add_named(&mut self, named: Vec<Head>, positions: &HashMap<ConversationId, Seq>) {
        let mut missing: BTreeSet<_> = self.left_open(positions).into_iter().collect();
        for head in named {
            missing.remove(&head.conversation);
            if positions.get(&head.conversation).is_some_and(|held| *held < head.last_seq) {
                self.heads.insert(head.conversation, head);
            }
        }
        rare!(PositionInALeftConversation, !missing.is_empty());
        self.leave(missing);
    }

    /// The user is not a member of these, and the event that ended the membership is not known.
    fn leave(&mut self, conversations: impl IntoIterator<Item = ConversationId>) {
        self.left.extend(conversations.into_iter().map(|conversation| (conversation, Seq::ZERO)));
    }

    fn announced(&self) -> Vec<(ConversationId, Seq)> {
        let heads = self.heads.values().map(|head| (head.conversation, head.last_seq));
        let quiet = self.channels.iter().filter(|(channel, _)| !self.heads.contains_key(channel)).copied();
        let left = self.left.iter().map(|(conversation, left_seq)| (*conversation, *left_seq));
        heads.chain(quiet).chain(left).collect()
    }

    /// `since`: the channels joined or left since the heads were read.
    fn entered(self, since: &[(ConversationId, bool)], subscribed: &[ConversationId]) -> Entered {
        let Self { cursor, heads, left, channels } = self;
        let is_in = |channel: &ConversationId| match since.iter().find(|(known, _)| known == channel) {
            Some((_, is_in)) => *is_in,
            None => channels.binary_search_by_key(channel, |(known, _)| *known).is_ok(),
        };
        let leaves = subscribed.iter().copied().filter(|channel| !is_in(channel)).collect();
        let left = left.into_keys().collect();
        Entered { cursor, reset: false, heads: heads.into_values().collect(), left, channels, leaves }
    }
}
