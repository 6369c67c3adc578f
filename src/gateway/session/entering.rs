//! The way in, and back in: subscribe first, read second, tell third. Answers in, the next step out.
//!
//! Whatever is committed is in the heads that are told, or pushed behind them, never both: the
//! subscriptions stand before the heads are read, what comes meanwhile is held ([`Life`]), and heads that may be older than
//! a loss or a subscription are read again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::feed::{Arrival, Feed};
use super::life::Life;
use crate::domain::{ConversationId, ConversationKind, Seq, UserId};
use crate::store::{Cursor, Head, Heads};

/// How often heads are read because something came between, before somebody else has a turn.
const READS: u32 = 8;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Wait until all subscriptions stand, then say [`Entering::on_settled`].
    Settle,
    /// Subscribe to these channels, then the same.
    Subscribe(Vec<ConversationId>),
    /// Read the heads since then, and say [`Entering::on_heads`].
    Read(Option<Cursor>),
    /// Read the heads of these, and say [`Entering::on_named`].
    ReadNamed(Vec<ConversationId>),
    /// Tell these heads, then [`Life::go_live`].
    Tell(Entered),
    /// Something came between every time.
    GiveUp,
}

/// Heads that may be told.
#[derive(Debug)]
pub struct Entered {
    /// Where the log ended.
    pub cursor: Cursor,
    /// The log is another one than that of the cursor which the client had.
    pub reset: bool,
    /// The conversations that moved, by id.
    pub heads: Vec<Head>,
    /// The conversations that the user is no longer a member of, by id.
    pub left: Vec<ConversationId>,
    /// The channels that the user was in then, with their newest seqs.
    pub channels: Vec<(ConversationId, Seq)>,
    /// Channels to unsubscribe from.
    pub leaves: Vec<ConversationId>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Entering {
    user: UserId,
    since: Option<Cursor>,
    /// What the client holds of conversations that it has open.
    positions: HashMap<ConversationId, Seq>,
    gathered: Option<Gathered>,
    reads_left: u32,
}

impl Entering {
    /// Begins; the session's own topic is subscribed to and its events are held.
    pub fn new(user: UserId, since: Option<Cursor>, positions: HashMap<ConversationId, Seq>) -> (Self, Step) {
        let entering = Self { user, since, positions, gathered: None, reads_left: READS };
        (entering, Step::Settle)
    }

    /// The subscriptions stand.
    pub fn on_settled(&mut self) -> Step {
        self.read()
    }

    fn read(&mut self) -> Step {
        let Some(left) = self.reads_left.checked_sub(1) else { return Step::GiveUp };
        self.reads_left = left;
        Step::Read(self.gathered.as_ref().map_or(self.since, |gathered| Some(gathered.cursor)))
    }

    /// Heads were read. `subscribed`: the session's channels.
    pub fn on_heads(
        &mut self,
        heads: Heads,
        life: &mut Life,
        feed: &mut Feed,
        subscribed: &[ConversationId],
    ) -> Step {
        let gathered = match self.gathered.take() {
            None => {
                let known_log = self.since.is_some_and(|since| since.epoch == heads.cursor.epoch);
                let mut gathered = Gathered::new(heads);
                let open = gathered.left_open(&self.positions);
                if known_log && !open.is_empty() {
                    self.gathered = Some(gathered);
                    return Step::ReadNamed(open);
                }
                // All heads were read: what is not among them, the user is in no longer.
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

    /// The heads of those of the named conversations that the user is in were read.
    pub fn on_named(
        &mut self,
        heads: Vec<Head>,
        life: &mut Life,
        feed: &mut Feed,
        subscribed: &[ConversationId],
    ) -> Step {
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
    ) -> Step {
        let known: HashSet<ConversationId> = subscribed.iter().copied().collect();
        let channels = gathered.channels.iter().map(|(channel, _)| *channel);
        let missing: Vec<ConversationId> = channels.filter(|channel| !known.contains(channel)).collect();
        if !missing.is_empty() {
            self.gathered = Some(gathered);
            return Step::Subscribe(missing);
        }
        match feed.arrive(life, gathered.announced(), gathered.cursor, self.user, &gathered.channels) {
            Arrival::Tell { since } => {
                let reset = self.since.is_some_and(|had| had.epoch != gathered.cursor.epoch);
                Step::Tell(Entered { reset, ..gathered.entered(&since, subscribed) })
            }
            Arrival::Again => {
                self.gathered = Some(gathered);
                self.read()
            }
        }
    }
}

/// Heads of several readings, the newest of each conversation.
#[derive(Debug)]
struct Gathered {
    cursor: Cursor,
    heads: BTreeMap<ConversationId, Head>,
    /// With the event that ended the membership, as far as it is known.
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

    /// The conversations in which these positions may be behind, or which the user may be in no longer, and which the heads so
    /// far do not name.
    fn left_open(&self, positions: &HashMap<ConversationId, Seq>) -> Vec<ConversationId> {
        let open = positions.iter().filter(|(conversation, held)| {
            let quiet = self.channels.binary_search_by_key(conversation, |(channel, _)| channel);
            let may_be_behind = match (conversation.kind(), quiet) {
                // Every channel of the user is named with its newest seq, moved or not.
                (ConversationKind::Channel, Ok(at)) => self.channels[at].1 > **held,
                (_, _) => true,
            };
            may_be_behind && !self.heads.contains_key(conversation) && !self.left.contains_key(conversation)
        });
        open.map(|(conversation, _)| *conversation).collect()
    }

    /// Adds the heads of conversations in which the client is behind although nothing moved since its cursor. Of those asked
    /// for that have no head, the user is no member.
    fn add_named(&mut self, named: Vec<Head>, positions: &HashMap<ConversationId, Seq>) {
        let mut missing: BTreeSet<_> = self.left_open(positions).into_iter().collect();
        for head in named {
            missing.remove(&head.conversation);
            if positions.get(&head.conversation).is_some_and(|held| *held < head.last_seq) {
                self.heads.insert(head.conversation, head);
            }
        }
        self.leave(missing);
    }

    /// The user is no member of these, and how that came is not known.
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
