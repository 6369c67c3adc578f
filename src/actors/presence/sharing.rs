//! Presence across nodes: what this node knows goes into the book, and what it tells is what all nodes together know.
//!
//! A user who is online here is online, so that is told at once. Away or offline holds only if no other node knows better, so
//! the book is asked first. Signals may be lost and nodes may die without a word: the watched users are looked up in the book
//! again and again. While the book is away, each node goes by what it knows itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::PresenceBoard;
use super::state::PresenceChanged;
use crate::bus::Presence as Seen;
use crate::bus::book::{SharedBook, together};
use crate::domain::UserId;

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

/// Tells each change as all nodes together see it.
async fn settle(board: &PresenceBoard, book: &SharedBook, changes: impl Iterator<Item = PresenceChanged>) {
    let latest: HashMap<UserId, Seen> = changes.map(|change| (change.user, change.presence)).collect();
    let users: Vec<UserId> = latest.keys().copied().collect();
    let others = book.others(&users).await.unwrap_or_else(|_| vec![None; users.len()]);
    for (user, other) in users.into_iter().zip(others) {
        // It may have changed again meanwhile; the change itself still tells when the user was last seen.
        let here = board.here(user).or_else(|| latest.get(&user).copied());
        board.announce(user, together(here, other).unwrap_or(GONE));
    }
}

/// Looks the watched users up.
#[derive(Default)]
struct Looks {
    count: u32,
    /// Users who were not in the last look as their watchers were told. A signal is faster than the book, and an emptied book
    /// is written anew between two looks: only what is seen twice is so.
    suspected: HashMap<UserId, Seen>,
}

impl Looks {
    async fn look(&mut self, board: &PresenceBoard, book: &SharedBook) {
        let wide = self.count.is_multiple_of(WIDE_LOOK);
        self.count = self.count.wrapping_add(1);
        let watched: Vec<(UserId, Seen)> = board
            .router
            .watched()
            .into_iter()
            .filter(|(user, told)| (wide || is_there(*told)) && board.here(*user) != Some(Seen::Online))
            .collect();
        let users: Vec<UserId> = watched.iter().map(|(user, _)| *user).collect();
        let before = std::mem::take(&mut self.suspected);
        if users.is_empty() {
            return;
        }
        let Ok(others) = book.others(&users).await else { return };
        for ((user, told), other) in watched.into_iter().zip(others) {
            let now = together(board.here(user), other).unwrap_or(GONE);
            if alike(told, now) {
                continue;
            }
            if before.get(&user).is_some_and(|seen| alike(*seen, now)) {
                board.router.witnessed(user, now);
            } else {
                self.suspected.insert(user, now);
            }
        }
    }
}

fn alike(one: Seen, other: Seen) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

const fn is_there(presence: Seen) -> bool {
    !matches!(presence, Seen::Offline { .. })
}

impl PresenceBoard {
    /// Shares the book with other nodes from now on; watched users are looked up every `look_every`. Once, inside a tokio
    /// runtime. Answers the task's handle.
    pub fn share(&self, book: SharedBook, look_every: Duration) -> tokio::task::AbortHandle {
        let (asks, asked) = mpsc::channel(WAITING_CHANGES);
        let sharing = Sharing { book: Arc::clone(&book), asks };
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
