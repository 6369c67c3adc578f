//! Presence across nodes: what this node knows goes into the book, and what it tells is what all nodes together know.
//!
//! A change is written first and told then. A user who is online here is online; away or offline holds only if no other node
//! knows better, so the book is asked. Signals may be lost and nodes may die without a word: the watched users are looked up
//! in the book again and again. While the book is away, each node goes by what it knows itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::PresenceBoard;
use super::state::PresenceChanged;
use super::told::alike;
use crate::bus::Presence as Seen;
use crate::bus::book::{SharedBook, together};
use crate::domain::UserId;
use crate::panics::lock;

/// Changes that may wait for the book; one more is told by what is known here.
pub const WAITING_CHANGES: usize = 4_096;
/// Changes asked for at once.
const CHANGES_AT_ONCE: usize = 500;
/// Every so many looks includes those who were offline: their coming may have been missed.
const WIDE_LOOK: u32 = 8;

/// Nobody is there.
pub const GONE: Seen = Seen::Offline { last_seen: None };

/// The way to whoever asks the book.
pub struct Sharing {
    /// The book of all nodes.
    pub book: SharedBook,
    /// Changes to be told once the book was asked.
    pub asks: mpsc::Sender<PresenceChanged>,
    /// Users whom somebody has begun to watch since the last look: what was found then may have been older than a signal that
    /// came before the subscription stood. Bounded by what sessions may watch.
    doubted: Mutex<HashSet<UserId>>,
}

/// Runs for ever: answers asks and looks the watched users up.
pub async fn run(
    board: PresenceBoard,
    book: SharedBook,
    mut asks: mpsc::Receiver<PresenceChanged>,
    look_every: Duration,
) {
    let mut looks = Looks::default();
    let mut due = tokio::time::interval(look_every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = Vec::new();
    loop {
        tokio::select! {
            received = asks.recv_many(&mut changes, CHANGES_AT_ONCE) => {
                if received == 0 {
                    return;
                }
                settle(&board, &book, changes.drain(..)).await;
            }
            _ = due.tick() => looks.look(&board, &book).await,
        }
    }
}

/// Tells each change as all nodes together see it, once it stands in the book: whoever hears of it finds it there.
async fn settle(board: &PresenceBoard, book: &SharedBook, changes: impl Iterator<Item = PresenceChanged>) {
    let latest: HashMap<UserId, Seen> = changes.map(|change| (change.user, change.presence)).collect();
    let (sure, unsure): (Vec<UserId>, Vec<UserId>) =
        latest.keys().partition(|user| board.here(**user) == Some(Seen::Online));
    let others = book.others(&unsure).await.unwrap_or_else(|_| vec![None; unsure.len()]);
    for user in sure {
        board.announce(user, Seen::Online);
    }
    for (user, other) in unsure.into_iter().zip(others) {
        // It may have changed again meanwhile; the change itself still tells when the user was last seen.
        let here = board.here(user).or_else(|| latest.get(&user).copied());
        board.announce(user, together(here, other).unwrap_or(GONE));
    }
}

/// Looks the watched users up.
#[derive(Default)]
struct Looks {
    count: u32,
    /// Users who were not in the last look as their watchers were told, with the word that told it. A signal is faster than
    /// the book, and an emptied book is written anew between two looks: only what is seen twice is so.
    suspected: HashMap<UserId, (Seen, u64)>,
}

impl Looks {
    async fn look(&mut self, board: &PresenceBoard, book: &SharedBook) {
        let wide = self.count.is_multiple_of(WIDE_LOOK);
        self.count = self.count.wrapping_add(1);
        let doubted = board.sharing.get().map(Sharing::take_doubted).unwrap_or_default();
        let before = std::mem::take(&mut self.suspected);
        let is_due = |user: &UserId, told: Seen| {
            wide || is_there(told) || doubted.contains(user) || before.contains_key(user)
        };
        let mut watched = board.router.watched();
        watched.retain(|(user, word)| is_due(user, word.presence) && board.here(*user) != Some(Seen::Online));
        let users: Vec<UserId> = watched.iter().map(|(user, _)| *user).collect();
        if users.is_empty() {
            return;
        }
        let Ok(others) = book.others(&users).await else { return };
        for ((user, word), other) in watched.into_iter().zip(others) {
            let now = together(board.here(user), other).unwrap_or(GONE);
            if alike(word.presence, now) {
                continue;
            }
            let seen_before = before.get(&user);
            if seen_before.is_some_and(|(seen, number)| alike(*seen, now) && *number == word.number) {
                // Its node died without a word, or the word was lost.
                let now = if is_there(now) { now } else { gone_since(book, user).await };
                board.router.correct(user, now, word.number);
            } else {
                self.suspected.insert(user, (now, word.number));
            }
        }
    }
}

async fn gone_since(book: &SharedBook, user: UserId) -> Seen {
    Seen::Offline { last_seen: book.last_on_dead(&[user]).await.into_iter().next().flatten() }
}

const fn is_there(presence: Seen) -> bool {
    !matches!(presence, Seen::Offline { .. })
}

impl Sharing {
    fn take_doubted(&self) -> HashSet<UserId> {
        std::mem::take(&mut *lock(&self.doubted))
    }
}

impl PresenceBoard {
    /// What a new watcher is to be told of `user`, whom [`PresenceBoard::seen`] found to be `looked`. Subscribe before looking.
    pub fn answer(&self, user: UserId, looked: Seen) -> Seen {
        if let Some(sharing) = self.sharing.get() {
            lock(&sharing.doubted).insert(user);
        }
        self.router.told(user, looked)
    }

    /// Shares the book with other nodes from now on; watched users are looked up every `look_every`. Once, inside a tokio
    /// runtime. Answers the task's handle.
    pub fn share(&self, book: SharedBook, look_every: Duration) -> tokio::task::AbortHandle {
        let (asks, asked) = mpsc::channel(WAITING_CHANGES);
        let sharing = Sharing { book: Arc::clone(&book), asks, doubted: Mutex::default() };
        let already = self.sharing.set(sharing);
        debug_assert!(already.is_ok(), "the book is shared once");
        tokio::spawn(run(self.clone(), book, asked, look_every)).abort_handle()
    }

    /// What all nodes together know of `users`, in their order; of this node alone while the book is away.
    pub async fn seen(&self, users: &[UserId]) -> Vec<Seen> {
        let mut seen: Vec<Option<Seen>> = users.iter().map(|user| self.here(*user)).collect();
        if let Some(sharing) = self.sharing.get() {
            let asked: Vec<usize> = (0..users.len()).filter(|at| seen[*at] != Some(Seen::Online)).collect();
            let questions: Vec<UserId> = asked.iter().map(|at| users[*at]).collect();
            if !questions.is_empty()
                && let Ok(others) = sharing.book.others(&questions).await
            {
                for (at, other) in asked.into_iter().zip(others) {
                    seen[at] = together(seen[at], other);
                }
            }
        }
        seen.into_iter().map(|seen| seen.unwrap_or(GONE)).collect()
    }
}
