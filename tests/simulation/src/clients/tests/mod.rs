//! Devices against a server in memory.

mod fake;
mod hostile;
mod resuming;
mod sending;
mod showing;
mod signing_in;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use self::fake::{Fake, Log};
use super::{Handle, SharedWorld, World};
use crate::history::{Entry, History};
use crate::plan::{Behaviour, DevicePlan, Operation, Place, Plan, Weather};

/// A run with some devices.
struct Try {
    log: Rc<RefCell<Log>>,
    history: History,
    world: SharedWorld,
    devices: Vec<Handle>,
}

fn plan(seed: u64, devices: &[(Behaviour, bool)]) -> Plan {
    let devices = devices.iter().enumerate().map(|(person, (behaviour, msgpack))| DevicePlan {
        person,
        behaviour: *behaviour,
        msgpack: *msgpack,
        begins_ms: 10 * person as u64,
    });
    let devices: Vec<_> = devices.collect();
    Plan {
        replicas: 0,
        tail_from_replica: false,
        seed,
        active_ms: 0,
        calm_ms: 0,
        processes: Vec::new(),
        settings: Vec::new(),
        bounds: Vec::new(),
        weather: Weather {
            bus_loss: 0,
            bus_delay_ms: 0,
            subscribe_delay_ms: 0,
            log_delay_ms: 0,
            log_failures: 0,
            log_lost_answers: 0,
            replica_lag_ms: 0,
            socket_delay_ms: 5,
            socket_bytes: 8_192,
            socket_piece_bytes: 100,
        },
        people: devices.len(),
        devices,
        steps: Vec::new(),
    }
}

/// Runs devices, each of a person of its own, until `act` is over.
fn with<F: Future<Output = Try>>(
    seed: u64,
    devices: &[(Behaviour, bool)],
    act: impl FnOnce(Try) -> F,
) -> Try {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let plan = plan(seed, devices);
    LocalSet::new().block_on(&runtime, async move {
        let (history, world, log) = (History::begin(), World::new(&plan), Rc::<RefCell<Log>>::default());
        let network = Rc::new(Fake { log: Rc::clone(&log), history: history.clone() });
        let start = |device| super::start(device, &plan, network.clone(), history.clone(), world.clone());
        let devices = (0..plan.devices.len()).map(start).collect();
        let begun = Try { log, history: history.clone(), world, devices };
        act(begun).await
    })
}

impl Try {
    /// Waits until something is so.
    async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !so(self) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(Duration::from_secs(300), wait).await.is_ok(), "{what}");
    }

    /// Waits until all are connected, and makes a conversation of all of them for slot 0.
    async fn lobby(&self) {
        self.until("everybody signs in", |run| {
            run.world.borrow().people.iter().all(|one| one.user.is_some())
        })
        .await;
        sleep(Duration::from_secs(1)).await;
        self.log.borrow_mut().make("lobby", &[]);
        self.world.borrow_mut().slots.insert(0, "lobby".to_owned());
        sleep(Duration::from_secs(1)).await;
    }

    /// Lets a device send so many messages.
    fn send(&self, device: usize, messages: usize) {
        for _ in 0..messages {
            self.devices[device].perform(Operation::Send { to: Place::Slot(0), bytes: 30 });
        }
    }

    /// Begins the calm and waits until all are settled.
    async fn settle(&self) {
        self.devices.iter().for_each(Handle::quiet);
        self.until("everybody settles", |run| run.devices.iter().all(Handle::is_settled)).await;
    }

    /// The newest seq of the lobby.
    fn last_seq(&self) -> u64 {
        self.log.borrow().conversations["lobby"].len() as u64
    }

    /// The texts of the lobby in the log.
    fn logged(&self) -> Vec<(u64, String)> {
        let log = self.log.borrow();
        let numbered = log.conversations["lobby"].iter().zip(1..);
        numbered.filter_map(|(event, seq)| Some((seq, event["body"].as_str()?.to_owned()))).collect()
    }

    /// The texts of the lobby that a device shows.
    fn shown(&self, device: usize) -> Vec<(u64, String)> {
        let copy = self.devices[device].copy();
        let Some(lobby) = copy.conversations.get("lobby") else { return Vec::new() };
        lobby.messages.iter().filter_map(|(seq, message)| Some((*seq, message.body.clone()?))).collect()
    }

    fn entries(&self) -> Vec<Entry> {
        self.history.take()
    }
}
