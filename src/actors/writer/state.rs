//! What the writer does next, as a plain value. It gathers jobs while a batch is in flight, keeps their
//! order, and is bounded.

use std::collections::VecDeque;

/// Whether a job may share its transaction with the jobs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// A send: any number go into one transaction.
    Together,
    /// A change: it needs a transaction of its own.
    Alone,
}

/// A job that the writer's queue can hold.
pub trait Batchable {
    /// The way in which it may be run.
    fn batching(&self) -> Batching;
}

/// The queue of one writer shard.
///
/// At most one batch is in flight, and the next one gathers in the meantime (group commit without an
/// artificial delay). Jobs run in the order in which they were accepted.
#[derive(Debug)]
pub struct WriterState<J> {
    queue: VecDeque<J>,
    in_flight: bool,
    batch_jobs: usize,
    queue_jobs: usize,
}

impl<J: Batchable> WriterState<J> {
    /// An idle writer that takes up to `batch_jobs` at once and lets up to `queue_jobs` wait.
    pub fn new(batch_jobs: usize, queue_jobs: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: false,
            batch_jobs: batch_jobs.max(1),
            queue_jobs: queue_jobs.max(1),
        }
    }

    /// Accepts a job, or gives it back when the queue is full.
    ///
    /// # Errors
    /// The job itself: nothing was done with it.
    pub fn submit(&mut self, job: J) -> Result<(), J> {
        if self.queue.len() >= self.queue_jobs {
            return Err(job);
        }
        self.queue.push_back(job);
        Ok(())
    }

    /// The jobs to run now; `None` while a batch is in flight or no job waits. Call [`WriterState::done`]
    /// after it.
    pub fn next_work(&mut self) -> Option<Vec<J>> {
        if self.in_flight {
            return None;
        }
        let first = self.queue.pop_front()?;
        self.in_flight = true;
        let mut work = vec![first];
        if work[0].batching() == Batching::Together {
            while work.len() < self.batch_jobs
                && self.queue.front().is_some_and(|job| job.batching() == Batching::Together)
            {
                work.extend(self.queue.pop_front());
            }
        }
        Some(work)
    }

    /// The batch in flight ended, with success or not.
    pub fn done(&mut self) {
        self.in_flight = false;
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The job that has waited longest.
    pub fn oldest(&self) -> Option<&J> {
        self.queue.front()
    }

    /// Whether something is in flight.
    pub fn is_working(&self) -> bool {
        self.in_flight
    }

    /// Whether no job waits and none is in flight.
    pub fn is_idle(&self) -> bool {
        !self.in_flight && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Numbered(u32, Batching);

    impl Batchable for Numbered {
        fn batching(&self) -> Batching {
            self.1
        }
    }

    fn send(n: u32) -> Numbered {
        Numbered(n, Batching::Together)
    }

    #[test]
    fn gathers_while_a_batch_is_in_flight() {
        let mut state = WriterState::new(3, 10);
        assert!(state.submit(send(1)).is_ok());
        assert_eq!(state.next_work(), Some(vec![send(1)]), "nothing waits for company");
        for n in 2..=5 {
            assert!(state.submit(send(n)).is_ok());
        }
        assert_eq!(state.next_work(), None);
        state.done();
        assert_eq!(state.next_work(), Some(vec![send(2), send(3), send(4)]));
        state.done();
        assert_eq!(state.next_work(), Some(vec![send(5)]));
        state.done();
        assert!(state.is_idle());
    }

    #[test]
    fn a_change_goes_alone_and_keeps_its_place() {
        let mut state = WriterState::new(10, 10);
        let change = Numbered(2, Batching::Alone);
        for job in [send(1), change, send(3), send(4)] {
            assert!(state.submit(job).is_ok());
        }
        for expected in [vec![send(1)], vec![change], vec![send(3), send(4)]] {
            assert_eq!(state.next_work(), Some(expected));
            state.done();
        }
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let mut state = WriterState::new(1, 2);
        assert!(state.submit(send(1)).is_ok() && state.submit(send(2)).is_ok());
        assert_eq!(state.submit(send(3)), Err(send(3)));
        assert_eq!(state.waiting(), 2);
    }
}
