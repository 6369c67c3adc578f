//! The account of everything that is queued towards clients, in encoded bytes.
//!
//! - *Owns*: how many bytes of each kind wait in the whole process. A connection has an [`Account`], which
//!   says what waits for it, and gives all of it back when it is dropped.
//! - *Receives*: the new numbers of a connection, by whoever wrote to its socket. Nothing is counted for a
//!   socket that took everything.
//! - *Emits*: it asks the largest connections to give way ([`crate::domain::queued`]).
//! - *Limits*: `server.queued_bytes`.
//! - *On full*: live queues become `lagging`, then answers to REST calls and exports end. Answers of sockets
//!   wait for room ([`ByteBudget::room_bytes`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::domain::queued::{QueuedBytes, QueuedKind, relieved_bytes, room_bytes, who_gives_way};
use crate::panics::lock;
use crate::protocol::Failure;
use crate::telemetry::Meters;

/// Between two looks at who has to give way, while there is too much.
const ROUND: Duration = Duration::from_millis(5);

/// Pages, ranges and parts of exports that are read and encoded at once; the others wait. Rows of the
/// database are in no account.
const LARGE_READS: usize = 6;

/// How long one waits at most: a database that hangs must not gather callers.
const LARGE_READ_WAIT: Duration = Duration::from_secs(3);

/// The bytes that wait for all clients of a process.
#[derive(Debug)]
pub struct ByteBudget {
    /// 0: any number.
    most: usize,
    queued: AtomicUsize,
    next_id: AtomicU64,
    /// The connections whose sockets have been full. Locked when one is full for the first time, at its end,
    /// and when somebody has to give way.
    waiting: Mutex<HashMap<u64, Arc<Waiting>>>,
    over: Notify,
    /// Reads in progress whose answers may be large.
    large_reads: Semaphore,
    meters: Arc<Meters>,
}

/// Its state, for inspection: bytes by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ByteBudgetObserved {
    /// How many there may be; 0: any number.
    pub most: usize,
    /// How many there are.
    pub queued: usize,
    /// Events and signals.
    pub live: usize,
    /// Answers to frames.
    pub answers: usize,
    /// Heads that sessions are sent.
    pub heads: usize,
    /// Answers to REST calls.
    pub pages: usize,
    /// Exports in progress.
    pub exports: usize,
    /// The connections for which any wait.
    pub connections: usize,
    /// The bytes of the one for which most wait.
    pub largest: usize,
}

/// What waits for one connection. Its owner writes the numbers; anybody reads them.
#[derive(Debug)]
struct Waiting {
    id: u64,
    bytes: [AtomicUsize; QueuedKind::ALL.len()],
    asked: AtomicBool,
    owner: AtomicWaker,
}

/// The account of one connection. What it counts is given back when it is dropped.
#[derive(Debug)]
pub struct Account {
    budget: Arc<ByteBudget>,
    /// Made when bytes wait for the first time: most connections never have any.
    waiting: OnceLock<Arc<Waiting>>,
}

impl ByteBudget {
    /// A budget of `most` bytes; 0: any number.
    pub fn new(most: usize, meters: Arc<Meters>) -> Arc<Self> {
        meters.queued.limit.set(most as f64);
        Arc::new(Self {
            most,
            queued: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            waiting: Mutex::default(),
            over: Notify::new(),
            large_reads: Semaphore::new(LARGE_READS),
            meters,
        })
    }

    /// An account for a new connection.
    pub fn account(self: &Arc<Self>) -> Account {
        Account { budget: Arc::clone(self), waiting: OnceLock::new() }
    }

    /// A connection whose own limit is `outbox_bytes` has room while no more than this waits for it.
    pub fn room_bytes(&self, outbox_bytes: usize) -> usize {
        room_bytes(outbox_bytes, self.most, self.queued())
    }

    /// Waits until one more answer may be read and encoded. Hold the permit for as long.
    ///
    /// # Errors
    /// `Overloaded`: too many others are read, and nothing was done.
    pub async fn large_read(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let permit = tokio::time::timeout(LARGE_READ_WAIT, self.large_reads.acquire()).await;
        permit.ok().and_then(Result::ok).ok_or(Failure::Overloaded { retry_after_ms: 1_000 })
    }

    /// How many bytes wait.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.most > 0 && self.queued() > self.most
    }

    /// Asks connections to give way whenever there is too much. Never returns.
    pub async fn keep(self: Arc<Self>) {
        loop {
            self.over.notified().await;
            while self.is_over() {
                self.relieve();
                tokio::time::sleep(ROUND).await;
            }
        }
    }

    /// Asks as many connections as are needed. Those that were asked and have not acted yet count as if they
    /// had.
    fn relieve(&self) {
        let mut going = 0;
        let (mut asked, mut bytes) = (Vec::new(), Vec::new());
        for waiting in lock(&self.waiting).values() {
            let own = waiting.bytes();
            if waiting.asked.load(Ordering::Acquire) {
                going += own.can_give();
            } else if own.can_give() > 0 {
                asked.push(Arc::clone(waiting));
                bytes.push(own);
            }
        }
        let excess = self.queued().saturating_sub(relieved_bytes(self.most)).saturating_sub(going);
        for at in who_gives_way(&bytes, excess) {
            asked[at].asked.store(true, Ordering::Release);
            asked[at].owner.wake();
        }
    }

    /// The numbers at this moment.
    pub fn observed(&self) -> ByteBudgetObserved {
        let mut seen =
            ByteBudgetObserved { most: self.most, queued: self.queued(), ..ByteBudgetObserved::default() };
        for waiting in lock(&self.waiting).values() {
            let own = waiting.bytes();
            seen.live += own.get(QueuedKind::Live);
            seen.answers += own.get(QueuedKind::Answers);
            seen.heads += own.get(QueuedKind::Heads);
            seen.pages += own.get(QueuedKind::Pages);
            seen.exports += own.get(QueuedKind::Exports);
            seen.connections += usize::from(own.total() > 0);
            seen.largest = seen.largest.max(own.total());
        }
        seen
    }
}

impl Waiting {
    fn bytes(&self) -> QueuedBytes {
        QueuedBytes(std::array::from_fn(|kind| self.bytes[kind].load(Ordering::Relaxed)))
    }
}

impl Account {
    /// Says what waits for the connection now. Usually nothing changed, and nothing is written.
    pub fn set(&self, bytes: QueuedBytes) {
        let waiting = match self.waiting.get() {
            Some(waiting) => waiting,
            None if bytes == QueuedBytes::default() => return,
            None => self.waiting.get_or_init(|| self.begin()),
        };
        let mut grew = false;
        for kind in QueuedKind::ALL {
            let (now, own) = (bytes.get(kind), &waiting.bytes[kind as usize]);
            let before = own.load(Ordering::Relaxed);
            if before == now {
                continue;
            }
            own.store(now, Ordering::Relaxed);
            if now > before {
                grew = true;
                self.budget.queued.fetch_add(now - before, Ordering::Relaxed);
            } else {
                self.budget.queued.fetch_sub(before - now, Ordering::Relaxed);
            }
            self.budget.meters.queued.bytes.of(kind.as_str()).increment(now as f64 - before as f64);
        }
        if grew && self.budget.is_over() {
            self.budget.over.notify_one();
        }
    }

    fn begin(&self) -> Arc<Waiting> {
        let waiting = Arc::new(Waiting {
            id: self.budget.next_id.fetch_add(1, Ordering::Relaxed),
            bytes: Default::default(),
            asked: AtomicBool::new(false),
            owner: AtomicWaker::new(),
        });
        lock(&self.budget.waiting).insert(waiting.id, Arc::clone(&waiting));
        waiting
    }

    /// Ready when the connection is asked to give way, once. The task is woken then; call again after
    /// [`Account::set`], which may make the account.
    pub fn poll_asked(&self, task: &Context<'_>) -> Poll<()> {
        let Some(waiting) = self.waiting.get() else { return Poll::Pending };
        waiting.owner.register(task.waker());
        if waiting.asked.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Counts that the connection gave up what waited for it.
    pub fn gave_way(&self, kind: QueuedKind) {
        self.budget.meters.queued.gave_way.of(kind.as_str()).increment(1);
    }

    /// The budget that it belongs to.
    pub fn budget(&self) -> &Arc<ByteBudget> {
        &self.budget
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.set(QueuedBytes::default());
        if let Some(waiting) = self.waiting.get() {
            lock(&self.budget.waiting).remove(&waiting.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn live(bytes: usize) -> QueuedBytes {
        QueuedBytes::of(QueuedKind::Live, bytes)
    }

    fn is_asked(account: &Account) -> bool {
        account.poll_asked(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn an_account_gives_back_what_it_counted() {
        let budget = ByteBudget::new(1_000, Arc::default());
        let (first, second) = (budget.account(), budget.account());
        first.set(QueuedBytes::default());
        assert_eq!(budget.observed(), ByteBudgetObserved { most: 1_000, ..Default::default() });
        assert!(lock(&budget.waiting).is_empty(), "nothing is kept for a socket that takes everything");
        first.set(live(300));
        second.set(QueuedBytes([0, 20, 3, 0, 0]));
        first.set(live(200));
        let seen = budget.observed();
        assert_eq!((seen.queued, seen.live, seen.answers, seen.heads), (223, 200, 20, 3));
        assert_eq!((seen.connections, seen.largest), (2, 200));
        drop((first, second));
        assert_eq!((budget.queued(), lock(&budget.waiting).len()), (0, 0));
    }

    #[test]
    fn the_largest_are_asked_once_until_enough_is_given_up() {
        let budget = ByteBudget::new(1_000, Arc::default());
        let accounts: Vec<Account> = (0..4).map(|_| budget.account()).collect();
        accounts[0].set(live(20));
        accounts[1].set(live(400));
        accounts[2].set(QueuedBytes::of(QueuedKind::Pages, 500));
        assert!(!budget.is_over());
        accounts[3].set(QueuedBytes::of(QueuedKind::Answers, 150));
        assert!(budget.is_over());
        budget.relieve();
        budget.relieve();
        let asked: Vec<bool> = accounts.iter().map(is_asked).collect();
        assert_eq!(asked, [false, true, false, false], "400 of 1,070 make 670, and 875 is wanted");
        accounts[1].set(live(390));
        budget.relieve();
        let asked: Vec<bool> = accounts.iter().map(is_asked).collect();
        assert_eq!(asked, [false, true, false, false], "it did not give way, so it is asked again");
        accounts[1].set(live(0));
        accounts[0].set(live(0));
        accounts[3].set(QueuedBytes::of(QueuedKind::Answers, 600));
        budget.relieve();
        let asked: Vec<bool> = accounts.iter().map(is_asked).collect();
        assert_eq!(asked, [false, false, true, false], "no live queue is left");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_is_woken() {
        let budget = ByteBudget::new(100, Arc::default());
        let keeper = tokio::spawn(Arc::clone(&budget).keep());
        let account = budget.account();
        account.set(live(90));
        tokio::time::sleep(ROUND * 10).await;
        assert!(!is_asked(&account));
        account.set(live(101));
        std::future::poll_fn(|task| account.poll_asked(task)).await;
        keeper.abort();
    }
}
