//! Database threads. Each owns a connection and runs one operation after the other, from a bounded queue that
//! they share.
//!
//! An operation moves as a whole: it crosses to a thread once, and its answer crosses back once.
//!
//! - *Limit*: the maximum number of waiting operations is an argument of the pool. When the queue is full:
//!   [`StoreError::Overloaded`], nothing was done.
//! - *The caller stops waiting*: an operation that has not begun is skipped. One that reads is interrupted.
//!   One that writes continues to its end, unless its caller was informed that nothing was done: then it is
//!   interrupted and rolled back.
//! - *A panic* of an operation ends the process (`crate::panics`). Where no hook is set, the pool refuses
//!   further operations.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use metrics::Gauge;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use super::observed::QueueObserved;
use super::worker::{Connect, Worker};
use crate::environment::SharedEnvironment;
use crate::panics::{lock, poisoned};
use crate::store::StoreError;
use crate::store::sql::{Phase, Purpose};

type Job = Box<dyn FnOnce(&Worker) + Send>;

/// See the module's documentation. When the pool is dropped, its threads finish the waiting operations and
/// end.
pub(super) struct Pool {
    shared: Arc<Shared>,
    /// Closed once every thread has ended.
    ended: AsyncMutex<mpsc::Receiver<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
    most_waiting: usize,
    at_work: AtomicUsize,
    environment: SharedEnvironment,
    waiting: Gauge,
}

struct Queue {
    /// Each with its arrival time, on the monotonic clock.
    jobs: VecDeque<(u64, Job)>,
    open: bool,
}

impl Pool {
    /// Starts `threads` threads named `name`; each connects at its first operation.
    pub(super) fn start(
        name: &str,
        threads: usize,
        most_waiting: usize,
        connect: &Arc<Connect>,
        environment: &SharedEnvironment,
        waiting: Gauge,
    ) -> Result<Self, StoreError> {
        let queue = Mutex::new(Queue { jobs: VecDeque::new(), open: true });
        let shared = Arc::new(Shared {
            queue,
            more: Condvar::new(),
            most_waiting,
            at_work: AtomicUsize::new(0),
            environment: Arc::clone(environment),
            waiting,
        });
        let (alive, ended) = mpsc::channel(1);
        let pool = Self { shared, ended: AsyncMutex::new(ended) };
        for _ in 0..threads.max(1) {
            let (shared, connect, alive) = (Arc::clone(&pool.shared), Arc::clone(connect), alive.clone());
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                let _ends = Ends(&shared);
                let worker = Worker::new(connect);
                while let Some(job) = shared.next() {
                    shared.at_work.fetch_add(1, Ordering::Relaxed);
                    job(&worker);
                    shared.at_work.fetch_sub(1, Ordering::Relaxed);
                }
                drop(worker);
                drop(alive);
            });
            thread.map_err(|error| StoreError::definite(format!("no thread for the database: {error}")))?;
        }
        Ok(pool)
    }

    /// Runs `work` on one of the threads and waits for it until the call's deadline, for at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] and the errors of `work`. A passed deadline is definite as long as the work
    /// had not begun to commit.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        purpose: Purpose,
        work: impl FnOnce(&Worker, &Phase) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let phase = Arc::new(Phase::default());
        let watched = Arc::clone(&phase);
        let (answer, answered) = oneshot::channel();
        #[cfg(test)]
        let _clock = crate::environment::paused::hold();
        self.shared.add(Box::new(move |worker| {
            if !answer.is_closed() && !watched.has_given_up() {
                let done = worker.watched(&watched, |worker| work(worker, &watched));
                // A caller that has gone in the meantime does not get the answer.
                let _ = answer.send(done);
            }
        }))?;
        let _unread = purpose.reads().then(|| GivesUp(&phase));
        let unanswered = || {
            let detail = "a database thread ended";
            Err(if phase.give_up() { StoreError::definite(detail) } else { StoreError::indefinite(detail) })
        };
        phase.bound(limit, async { answered.await.unwrap_or_else(|_| unanswered()) }).await
    }

    /// The current load of the threads.
    pub(super) fn observed(&self) -> QueueObserved {
        let now_ms = self.shared.environment.monotonic_ms();
        let queue = self.shared.queue();
        let oldest_ms = queue.jobs.front().map_or(0, |(came_ms, _)| now_ms.saturating_sub(*came_ms));
        QueueObserved {
            waiting_operations: queue.jobs.len(),
            oldest_ms,
            at_work: self.shared.at_work.load(Ordering::Relaxed),
        }
    }

    /// Refuses new operations, waits for the accepted ones, and waits until the threads have closed their
    /// connections.
    pub(super) async fn close(&self) {
        self.shared.close();
        let _ = self.ended.lock().await.recv().await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.shared.queue();
        f.debug_struct("Pool").field("waiting", &queue.jobs.len()).field("open", &queue.open).finish()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No job runs while the lock is held.
        lock(&self.queue)
    }

    fn add(&self, job: Job) -> Result<(), StoreError> {
        let came_ms = self.environment.monotonic_ms();
        let mut queue = self.queue();
        if !queue.open {
            return Err(StoreError::definite("the store is closed"));
        }
        if queue.jobs.len() >= self.most_waiting {
            return Err(StoreError::Overloaded);
        }
        queue.jobs.push_back((came_ms, job));
        self.waiting.set(queue.jobs.len() as f64);
        drop(queue);
        self.more.notify_one();
        Ok(())
    }

    /// The next job; `None` when the queue is empty and closed.
    fn next(&self) -> Option<Job> {
        let waits = |queue: &mut Queue| queue.jobs.is_empty() && queue.open;
        let mut queue = self.more.wait_while(self.queue(), waits).unwrap_or_else(poisoned);
        let (_, job) = queue.jobs.pop_front()?;
        self.waiting.set(queue.jobs.len() as f64);
        Some(job)
    }

    fn close(&self) {
        self.queue().open = false;
        self.more.notify_all();
    }
}

/// Runs at the end of a thread, so that after a panic no caller waits for an answer that does not come.
struct Ends<'s>(&'s Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
            let jobs = std::mem::take(&mut self.0.queue().jobs);
            drop(jobs);
        }
    }
}

/// A reader: when its caller has gone, the result is not needed.
struct GivesUp<'p>(&'p Phase);

impl Drop for GivesUp<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// The result of work on a connection that answers in place.
pub(super) fn at_once<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let waited = || Err(StoreError::Inconsistent("an operation waited for more than its connection".into()));
    work.now_or_never().unwrap_or_else(waited)
}

#[cfg(test)]
mod tests;
