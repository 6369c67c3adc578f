//! Devices, written from docs/PROTOCOL.md alone. Each is one task. What it does and sees is in the history.
//!
//! - [`wire`], [`link`]: frames in both encodings; one connection.
//! - [`device`]: the task; [`account`]: its sign-in; [`connection`]: which connection it uses; [`frames`]:
//!   what comes.
//! - [`outbox`], [`delivery`]: what the user did, until the answer is definite; [`requests`]: what waits for
//!   an answer.
//! - [`copy`], [`resume`]: what the user sees, and how it becomes complete again.
//! - [`operations`], [`jobs`], [`polling`]: steps of the plan, REST calls, devices that use REST only.
//! - [`hostile`], [`raw`], [`scratch`]: what no client should do.

mod account;
mod connection;
pub mod copy;
mod delivery;
mod device;
mod frames;
mod hostile;
mod jobs;
mod link;
mod operations;
mod outbox;
mod polling;
mod raw;
mod requests;
mod resume;
mod scratch;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;
pub mod world;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};

use self::copy::Copy;
use self::device::Device;
pub use self::world::{SharedWorld, World};
use crate::history::{History, What, Who};
use crate::net::SharedNetwork;
use crate::plan::{Operation, Plan};

/// Operations that wait for a device. Further ones are dropped, and noted.
const MOST_OPERATIONS: usize = 64;

/// A device that runs.
pub struct Handle {
    device: usize,
    history: History,
    operations: mpsc::Sender<Operation>,
    quiet: watch::Sender<bool>,
    settled: Rc<Cell<bool>>,
    copy: Rc<RefCell<Copy>>,
    task: JoinHandle<()>,
}

/// Starts the device of an index in the plan. Call inside a `LocalSet`.
pub fn start(
    device: usize,
    plan: &Plan,
    network: SharedNetwork,
    history: History,
    shared: SharedWorld,
) -> Handle {
    let (operations, queue) = mpsc::channel(MOST_OPERATIONS);
    let (quiet, calm) = watch::channel(false);
    let settled = Rc::new(Cell::new(false));
    let begun = Device::new(device, plan, network, history.clone(), shared, Rc::clone(&settled));
    let copy = Rc::clone(&begun.copy);
    let task = spawn_local(begun.run(queue, calm));
    Handle { device, history, operations, quiet, settled, copy, task }
}

impl Handle {
    /// Queues an operation.
    pub fn perform(&self, operation: Operation) {
        if let Err(error) = self.operations.try_send(operation) {
            let text = format!("too many operations wait, dropped: {error:?}");
            self.history.note(Who::Device(self.device), What::Noted { text });
        }
    }

    /// The calm has begun: the device connects, sends what waits, reads what it lacks, stays connected, and
    /// does nothing more but what the plan has for the calm.
    pub fn quiet(&self) {
        self.quiet.send_replace(true);
    }

    /// Whether nothing is left to do, after [`Self::quiet`].
    pub fn is_settled(&self) -> bool {
        self.settled.get()
    }

    /// The copy that the device shows now.
    pub fn copy(&self) -> Copy {
        self.copy.borrow().clone()
    }

    /// Ends the device and its connections at once.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
