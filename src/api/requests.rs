//! The requests in progress, so that a stop can wait for their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts the requests in progress, and refuses further ones once the process is about to end.
#[derive(Debug, Default)]
pub struct Requests {
    in_progress: AtomicUsize,
    closed: AtomicBool,
}

/// One request. It is counted until this value is dropped.
#[derive(Debug)]
pub struct InProgress(Arc<Requests>);

impl Requests {
    /// Counts one more request; `None`: none is taken any more.
    pub fn begin(self: &Arc<Self>) -> Option<InProgress> {
        self.in_progress.fetch_add(1, Ordering::SeqCst);
        let counted = InProgress(Arc::clone(self));
        (!self.closed.load(Ordering::SeqCst)).then_some(counted)
    }

    /// From now on no request is taken.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether no request is in progress.
    pub fn is_idle(&self) -> bool {
        self.in_progress.load(Ordering::SeqCst) == 0
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_waits_for_those_that_were_taken_and_takes_no_more() {
        let requests = Arc::new(Requests::default());
        let first = requests.begin();
        requests.close();
        assert!(first.is_some() && requests.begin().is_none() && !requests.is_idle());
        drop(first);
        assert!(requests.is_idle());
    }
}
