//! The way in, and back in: subscribe first, read second, tell third. Answers in, the next step out.
//!
//! Whatever is committed is in the heads that are told, or pushed behind them, never both: the
//! subscriptions stand before the heads are read, the [`Feed`] holds what comes meanwhile, and heads that may be older than
//! a loss or a subscription are read again.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::feed::{Arrival, Feed};
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
    /// Tell these heads, then [`Feed::go_live`].
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
    /// All heads are being read, for the positions.
    reading_all: bool,
    reads_left: u32,
}

impl Entering {
    /// Begins; the session's own topic is subscribed to and its feed holds.
    pub fn new(user: UserId, since: Option<Cursor>, positions: HashMap<ConversationId, Seq>) -> (Self, Step) {
        let entering = Self { user, since, positions, gathered: None, reading_all: false, reads_left: READS };
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
    pub fn on_heads(&mut self, heads: Heads, feed: &mut Feed, subscribed: &[ConversationId]) -> Step {
        let gathered = match self.gathered.take() {
            None => {
                let known_log = self.since.is_some_and(|since| since.epoch == heads.cursor.epoch);
                let gathered = Gathered::new(heads);
                if known_log && gathered.leaves_open(&self.positions) {
                    self.gathered = Some(gathered);
                    self.reading_all = true;
                    return Step::Read(None);
                }
                gathered
            }
            Some(mut gathered) if std::mem::take(&mut self.reading_all) => {
                gathered.add_behind(heads, &self.positions);
                gathered
            }
            Some(mut gathered) => {
                gathered.add(heads);
                gathered
            }
        };
        let known: HashSet<ConversationId> = subscribed.iter().copied().collect();
        let channels = gathered.channels.iter().map(|(channel, _)| *channel);
        let missing: Vec<ConversationId> = channels.filter(|channel| !known.contains(channel)).collect();
        if !missing.is_empty() {
            self.gathered = Some(gathered);
            return Step::Subscribe(missing);
        }
        match feed.arrive(gathered.announced(), gathered.cursor, self.user, &gathered.channels) {
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
    channels: Vec<(ConversationId, Seq)>,
}

impl Gathered {
    fn new(first: Heads) -> Self {
        let mut gathered = Self { cursor: first.cursor, heads: BTreeMap::new(), channels: Vec::new() };
        gathered.add(first);
        gathered
    }

    fn add(&mut self, next: Heads) {
        self.cursor = next.cursor;
        self.channels = next.channels;
        self.heads.extend(next.heads.into_iter().map(|head| (head.conversation, head)));
    }

    /// Whether these positions may be behind in a conversation that the heads so far do not name.
    fn leaves_open(&self, positions: &HashMap<ConversationId, Seq>) -> bool {
        positions.iter().any(|(conversation, held)| {
            let quiet = self.channels.binary_search_by_key(conversation, |(channel, _)| *channel);
            let may_be_behind = match (conversation.kind(), quiet) {
                // Every channel of the user is named with its newest seq, moved or not.
                (ConversationKind::Channel, Ok(at)) => self.channels[at].1 > *held,
                (ConversationKind::Channel, Err(_)) => false,
                (ConversationKind::Direct | ConversationKind::Group, _) => true,
            };
            may_be_behind && !self.heads.contains_key(conversation)
        })
    }

    /// Adds the heads of conversations in which the client is behind although nothing moved since its cursor.
    fn add_behind(&mut self, all: Heads, positions: &HashMap<ConversationId, Seq>) {
        let behind =
            |head: &Head| positions.get(&head.conversation).is_some_and(|held| *held < head.last_seq);
        let heads = all.heads.into_iter().filter(behind).map(|head| (head.conversation, head));
        self.heads.extend(heads);
    }

    fn announced(&self) -> Vec<(ConversationId, Seq)> {
        let heads = self.heads.values().map(|head| (head.conversation, head.last_seq));
        let quiet = self.channels.iter().filter(|(channel, _)| !self.heads.contains_key(channel)).copied();
        heads.chain(quiet).collect()
    }

    /// `since`: the channels joined or left since the heads were read.
    fn entered(self, since: &[(ConversationId, bool)], subscribed: &[ConversationId]) -> Entered {
        let Self { cursor, heads, channels } = self;
        let is_in = |channel: &ConversationId| match since.iter().find(|(known, _)| known == channel) {
            Some((_, is_in)) => *is_in,
            None => channels.binary_search_by_key(channel, |(known, _)| *known).is_ok(),
        };
        let leaves = subscribed.iter().copied().filter(|channel| !is_in(channel)).collect();
        Entered { cursor, reset: false, heads: heads.into_values().collect(), channels, leaves }
    }
}
