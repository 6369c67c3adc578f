//! The worker threads of a process, which a fault can stop while the rest of the process goes on.
//!
//! In production each worker has a thread of its own, so what the others hand to it can wait in its inbox.
//! Here everything runs on one thread, and a worker that was given something runs next. A plan with this
//! fault gives the tasks of the workers a `LocalSet` of their own, which is not polled while they are
//! stopped.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::task::{LocalEnterGuard, LocalSet};

/// Whether the workers of a process are stopped.
#[derive(Default)]
pub struct Workers {
    stopped: Cell<bool>,
    /// Of the workers that are stopped.
    wakers: RefCell<Vec<Waker>>,
}

impl Workers {
    /// Stops all workers, or lets them go on.
    pub fn stop(&self, stopped: bool) {
        self.stopped.set(stopped);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

/// The tasks of one worker.
#[derive(Clone)]
pub struct WorkerTasks(Rc<RefCell<LocalSet>>);

impl WorkerTasks {
    /// No task yet. They run while `workers` are not stopped, for as long as the calling `LocalSet` exists.
    pub fn start(workers: Rc<Workers>) -> Self {
        let tasks = Rc::new(RefCell::new(LocalSet::new()));
        let polled = Rc::clone(&tasks);
        actix_rt::spawn(poll_fn(move |context| {
            if workers.stopped.get() {
                workers.wakers.borrow_mut().push(context.waker().clone());
            } else {
                let _ = Pin::new(&mut *polled.borrow_mut()).poll(context);
            }
            Poll::<()>::Pending
        }));
        Self(tasks)
    }

    /// Until the value is dropped, what is spawned belongs to the worker.
    pub fn enter(&self) -> LocalEnterGuard {
        self.0.borrow().enter()
    }
}
