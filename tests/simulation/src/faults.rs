//! Carries out the faults of a plan, and ends all of them when the calm begins.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tidings::domain::{ConversationId, Seq};
use tidings::store::model::Former;
use tokio::time::{Instant, sleep};

use crate::edges::socket::SocketOptions;
use crate::fleet::{Incarnation, Phase};
use crate::plan::Fault;
use crate::world::World;

/// Between two looks of the supervisor.
const LOOK: Duration = Duration::from_millis(25);
/// Before a process that ended by itself is started again, in milliseconds.
const START_AGAIN_MS: u64 = 500;

/// The delay of replicas once everything is calm, in milliseconds.
const CALM_LAG_MS: u64 = 10;

/// The kind of a fault, for counting.
fn kind(fault: &Fault) -> String {
    let text = format!("{fault:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// The faults that came, by kind.
#[derive(Debug, Default)]
pub struct Counted(RefCell<BTreeMap<String, u64>>);

impl Counted {
    fn add(&self, fault: &Fault) {
        *self.0.borrow_mut().entry(kind(fault)).or_default() += 1;
    }

    /// The counts.
    pub fn take(&self) -> BTreeMap<String, u64> {
        self.0.take()
    }
}

fn after(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    /// Lets something go wrong.
    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
    pub fn carry_out(self: &Rc<Self>, fault: &Fault) {
        if self.is_calm.get() {
            return;
        }
        self.faults.add(fault);
        self.history.world(format!("{fault:?}"));
        let until = |ms: u64| Instant::now() + after(ms);
        match *fault {
            Fault::Kill { process, down_ms, vanish } => self.kill(process, down_ms, vanish),
            Fault::KillAfterCommit { process, down_ms } => {
                self.log_weather.doom(process);
                self.down_ms.borrow_mut().insert(process, down_ms);
            }
            Fault::Pause { process, ms } => self.pause(process, ms),
            Fault::WorkersStop { process, ms } => {
                if let Some(one) = self.fleet.newest(process) {
                    one.workers.stop(true);
                    tokio::task::spawn_local(async move {
                        sleep(after(ms)).await;
                        one.workers.stop(false);
                    });
                }
            }
            Fault::Drain { process, down_ms } => self.drain(process, down_ms),
            Fault::ClockJump { process, by_ms } => {
                if let Some(one) = self.fleet.newest(process) {
                    one.environment.jump(by_ms);
                }
            }
            Fault::BusAway { ms } => self.bus.away(after(ms)),
            Fault::BusFrozen { ms } => self.bus.freeze(after(ms)),
            Fault::BusDemoted { ms } => self.bus.demote(after(ms)),
            Fault::BusEmptied => self.bus.empty(),
            Fault::BusCut { process } => self.bus.cut(process),
            Fault::BusForged { kind } => self.bus.forge(kind),
            Fault::LogHangs { ms } => self.log_weather.hang(until(ms)),
            Fault::LogAway { ms } => self.log_weather.go_away(until(ms)),
            Fault::LogSlow { delay_ms, ms } => self.log_weather.slow_down(until(ms), delay_ms),
            Fault::LogHeldBack { ms } => self.hold_back(ms),
            Fault::LogLosesAnswers { process, commits } => self.log_weather.lose_answers(process, commits),
            Fault::ReplicaFrozen { replica, ms } => self.freeze_replica(replica, ms),
            Fault::FailOver { lost } => self.fail_over(lost),
            Fault::Restore { lost } => self.restore(lost),
            Fault::SocketsReset { process } => {
                if let Some(one) = self.fleet.newest(process) {
                    one.wires.borrow_mut().drain(..).for_each(|wire| wire.reset());
                    one.calls_cut.notify_waiters();
                }
            }
            Fault::SocketsStall { process, ms } => {
                if let Some(one) = self.fleet.newest(process) {
                    one.wires.borrow().iter().for_each(|wire| wire.stall(after(ms)));
                }
            }
        }
    }

    fn kill(self: &Rc<Self>, process: usize, down_ms: u64, vanish: bool) {
        let Some(one) = self.fleet.newest(process) else { return };
        self.fleet.kill(&one);
        end_wires(&one, vanish);
        self.start_later(process, down_ms);
    }

    fn pause(self: &Rc<Self>, process: usize, ms: u64) {
        let Some(one) = self.fleet.newest(process) else { return };
        one.paused.set(true);
        let world = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep(after(ms)).await;
            one.paused.set(false);
            world.history.world(format!("process {process} goes on"));
        });
    }

    /// A rolling release: the successor starts, and the old process hands over.
    fn drain(self: &Rc<Self>, process: usize, down_ms: u64) {
        let Some(one) = self.fleet.newest(process).filter(|one| one.phase.get() == Phase::Ready) else {
            return;
        };
        let Some(running) = one.take_running() else { return };
        one.phase.set(Phase::Draining);
        self.start_later(process, down_ms);
        let (fleet, history, ending) = (Rc::clone(&self.fleet), self.history.clone(), Rc::clone(&one));
        one.spawn(async move {
            running.drain().await;
            history.world(format!("process {process} has stopped"));
            end_wires(&ending, false);
            fleet.kill(&ending);
        });
    }

    /// A process is started again after a while.
    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
    fn start_later(&self, process: usize, down_ms: u64) {
        self.due.borrow_mut().insert(process, Instant::now() + after(down_ms));
    }

    /// Starts processes that are due, as a supervisor does, and ends the connections of the dead.
    #[expect(clippy::disallowed_methods, reason = "the paused clock of the runtime is the virtual time")]
    pub async fn supervise(self: Rc<Self>) {
        loop {
            sleep(LOOK).await;
            for one in self.fleet.take_dead() {
                // The connections of one whose machine went away have vanished already.
                end_wires(&one, false);
                self.server.disconnect(one.number);
                let process = one.process;
                let is_due = self.due.borrow().contains_key(&process);
                if self.fleet.newest(process).is_none() && !is_due {
                    self.history.world(format!("process {process} has died"));
                    let down_ms = self.down_ms.borrow_mut().remove(&process).unwrap_or(START_AGAIN_MS);
                    self.start_later(process, down_ms);
                }
            }
            let now = Instant::now();
            let due: Vec<usize> = {
                let due = self.due.borrow();
                due.iter().filter(|(_, at)| **at <= now).map(|(process, _)| *process).collect()
            };
            for process in due {
                self.due.borrow_mut().remove(&process);
                self.start(process);
            }
        }
    }

    /// Somebody else's transaction holds back the end of the log.
    fn hold_back(&self, ms: u64) {
        let held = self.server.hold();
        tokio::task::spawn_local(async move {
            sleep(after(ms)).await;
            drop(held);
        });
    }

    fn freeze_replica(self: &Rc<Self>, replica: usize, ms: u64) {
        if replica >= self.plan.replicas {
            return;
        }
        let lag = after(self.plan.weather.replica_lag_ms);
        self.set_replica(replica, lag, true);
        let world = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep(after(ms)).await;
            let lag_ms = if world.is_calm.get() { CALM_LAG_MS } else { world.plan.weather.replica_lag_ms };
            world.set_replica(replica, after(lag_ms), false);
        });
    }

    /// Sets how far a replica is behind.
    pub(crate) fn set_replica(&self, replica: usize, lag: Duration, frozen: bool) {
        self.server.set_replica(replica, lag, frozen).expect("the replica is there");
    }

    /// A standby becomes the primary.
    fn fail_over(&self, lost: u64) {
        let former = if self.drawn(2) == 0 { Former::ReadOnly } else { Former::Gone };
        let lost = self.server.fail_over(usize::try_from(lost).unwrap_or(0), former);
        self.note_lost(&lost.expect("a copy can be made"));
    }

    /// The database is loaded from an earlier copy.
    fn restore(&self, lost: u64) {
        let epoch = self.drawn(u64::MAX) >> 1;
        let lost = self.server.restore(usize::try_from(lost).unwrap_or(0), epoch);
        self.note_lost(&lost.expect("a copy can be made"));
    }

    fn note_lost(&self, lost: &[(ConversationId, Seq)]) {
        let lost: Vec<String> = lost.iter().map(|(id, seq)| format!("{} of {id}", seq.get())).collect();
        self.history.world(format!("the log has another epoch; lost events: {}", lost.join(", ")));
    }

    /// Ends everything that goes wrong.
    pub fn calm(self: &Rc<Self>) {
        self.is_calm.set(true);
        self.history.world("the calm begins");
        let weather = self.plan.weather.calm();
        self.log_weather.calm(weather.clone());
        self.balancer.change_weather(weather.clone());
        self.bus.calm(&weather);
        for replica in 0..self.plan.replicas {
            self.set_replica(replica, after(CALM_LAG_MS), false);
        }
        for one in self.fleet.alive() {
            one.paused.set(false);
            one.workers.stop(false);
            one.wires.borrow().iter().for_each(|wire| wire.change(SocketOptions::from(&weather)));
        }
    }
}

fn end_wires(one: &Incarnation, vanish: bool) {
    for wire in one.wires.borrow_mut().drain(..) {
        if vanish { wire.vanish() } else { wire.reset() }
    }
}
