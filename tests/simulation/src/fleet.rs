//! The machines of a run: which process runs on which, and how it is stepped, paused and killed.
//!
//! Every process has a `LocalSet` of its own, so that all its tasks end at once when it is killed. All of
//! them are polled in one task of one runtime, in an order that the dice choose.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tidings::app::process::Gateway;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

use crate::dice::Dice;
use crate::edges::clock::SimEnvironment;
use crate::edges::socket::Wire;
use crate::process::{Arrival, Running};
use crate::workers::Workers;

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does not serve yet.
    Starting,
    /// It serves.
    Ready,
    /// It was asked to stop, and takes no new connections.
    Draining,
}

/// One start of one process.
pub struct Incarnation {
    /// The process's index in the plan.
    pub process: usize,
    /// Unique in the run.
    pub number: u64,
    /// Read by every edge: a dead process reaches nothing any more.
    pub alive: Arc<AtomicBool>,
    /// Its clock.
    pub environment: Arc<SimEnvironment>,
    /// Where it is in its life.
    pub phase: Cell<Phase>,
    /// It does nothing at the moment.
    pub paused: Cell<bool>,
    /// Its worker threads.
    pub workers: Rc<Workers>,
    /// Its connections to devices.
    pub wires: RefCell<Vec<Wire>>,
    /// Requests that it has not answered are cut off.
    pub calls_cut: Notify,
    running: RefCell<Option<Running>>,
    arrivals: RefCell<Option<mpsc::Sender<Arrival>>>,
    gateway: RefCell<Option<Gateway>>,
    /// Taken out while it is polled.
    tasks: RefCell<Option<LocalSet>>,
    woken: Arc<Woken>,
}

/// Whether any task of a process can go on. Most turns are for one process, and polling another one that has
/// nothing to do costs as much as a task.
struct Woken {
    is: AtomicBool,
    /// Wakes the world, which polls its processes.
    world: Mutex<Waker>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is.swap(true, Ordering::Relaxed) {
            self.world.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

impl Woken {
    /// Takes the wake-up, if there is one. The next one wakes `world`.
    fn take(&self, world: &Waker) -> bool {
        let is = self.is.swap(false, Ordering::Relaxed);
        if is {
            self.world.lock().unwrap_or_else(PoisonError::into_inner).clone_from(world);
        }
        is
    }
}

impl Incarnation {
    /// Whether it can do anything.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Where new connections and requests go; `None` while it does not serve.
    pub fn arrivals(&self) -> Option<mpsc::Sender<Arrival>> {
        self.arrivals.borrow().clone()
    }

    /// The node, once it serves.
    pub fn gateway(&self) -> Option<Gateway> {
        self.gateway.borrow().clone()
    }

    /// It serves from now on.
    pub fn serves(&self, running: Running) {
        self.arrivals.replace(Some(running.arrivals.clone()));
        self.gateway.replace(Some(running.gateway.clone()));
        self.running.replace(Some(running));
        self.phase.set(Phase::Ready);
    }

    /// Takes what serves, to end it in order.
    pub fn take_running(&self) -> Option<Running> {
        self.running.take()
    }

    /// Adds a task to it.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        if let Some(tasks) = &*self.tasks.borrow() {
            tasks.spawn_local(task);
        }
    }
}

/// All processes that are alive.
#[derive(Default)]
pub struct Fleet {
    incarnations: RefCell<Vec<Rc<Incarnation>>>,
    /// Those that died since the last [`Fleet::take_dead`].
    dead: RefCell<Vec<Rc<Incarnation>>>,
    started: Cell<u64>,
}

impl Fleet {
    /// Adds a process that runs `start` inside its own tasks.
    pub fn add<F: Future<Output = ()> + 'static>(
        &self,
        process: usize,
        environment: Arc<SimEnvironment>,
        start: impl FnOnce(Rc<Incarnation>) -> F,
    ) -> Rc<Incarnation> {
        self.started.set(self.started.get() + 1);
        let incarnation = Rc::new(Incarnation {
            process,
            number: self.started.get(),
            alive: Arc::new(AtomicBool::new(true)),
            environment,
            phase: Cell::new(Phase::Starting),
            paused: Cell::new(false),
            workers: Rc::default(),
            wires: RefCell::default(),
            calls_cut: Notify::new(),
            running: RefCell::default(),
            arrivals: RefCell::default(),
            gateway: RefCell::default(),
            tasks: RefCell::new(Some(LocalSet::new())),
            woken: Arc::new(Woken { is: AtomicBool::new(true), world: Mutex::new(Waker::noop().clone()) }),
        });
        incarnation.spawn(start(Rc::clone(&incarnation)));
        self.incarnations.borrow_mut().push(Rc::clone(&incarnation));
        incarnation
    }

    /// The newest start of a process that is alive.
    pub fn newest(&self, process: usize) -> Option<Rc<Incarnation>> {
        let incarnations = self.incarnations.borrow();
        incarnations.iter().rev().find(|one| one.process == process && one.is_alive()).cloned()
    }

    /// All that are alive.
    pub fn alive(&self) -> Vec<Rc<Incarnation>> {
        self.incarnations.borrow().iter().filter(|one| one.is_alive()).cloned().collect()
    }

    /// Ends a process without a word. Its tasks are dropped before any other process runs again.
    pub fn kill(&self, incarnation: &Incarnation) {
        incarnation.alive.store(false, Ordering::Relaxed);
    }

    /// Those that died since the last call. Their tasks are gone.
    pub fn take_dead(&self) -> Vec<Rc<Incarnation>> {
        self.dead.take()
    }

    /// Lets every process do a little, in an order that the dice choose.
    fn step(&self, context: &mut Context<'_>, dice: &mut Dice) {
        let mut order = self.incarnations.borrow().clone();
        let first = usize::try_from(dice.below(order.len() as u64)).unwrap_or(0);
        order.rotate_left(first);
        for incarnation in order {
            let waits = incarnation.paused.get() || !incarnation.woken.take(context.waker());
            if incarnation.is_alive() && waits {
                continue;
            }
            let Some(mut tasks) = incarnation.tasks.borrow_mut().take() else { continue };
            let waker = Waker::from(Arc::clone(&incarnation.woken));
            let _ = Pin::new(&mut tasks).poll(&mut Context::from_waker(&waker));
            if incarnation.is_alive() {
                incarnation.tasks.replace(Some(tasks));
            }
        }
        self.bury();
    }

    /// Drops the tasks of the dead.
    fn bury(&self) {
        let mut dead = Vec::new();
        self.incarnations.borrow_mut().retain(|one| {
            let alive = one.is_alive();
            if !alive {
                dead.push(Rc::clone(one));
            }
            alive
        });
        for one in dead {
            drop((one.tasks.take(), one.running.take(), one.arrivals.take(), one.gateway.take()));
            self.dead.borrow_mut().push(one);
        }
    }
}

/// Runs `world`, which may spawn local tasks, beside the processes of `fleet`, until it ends.
pub async fn run<T>(fleet: Rc<Fleet>, mut dice: Dice, world: impl Future<Output = T> + 'static) -> T
where
    T: 'static,
{
    let outside = LocalSet::new();
    let mut outside = Box::pin(outside.run_until(Box::pin(world)));
    std::future::poll_fn(move |context| {
        if let Poll::Ready(result) = outside.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        fleet.step(context, &mut dice);
        Poll::Pending
    })
    .await
}
