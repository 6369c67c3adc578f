//! The contract of the bus over the model, and what each fault does.

mod contract;
mod faults;
mod presence;

use smallvec::SmallVec;
use tidings::bus::Payload;
use tidings::domain::{ConversationId, ConversationKind, Seq, UserId};
use tidings::environment::Environment;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::*;
use crate::edges::clock::SimEnvironment;

const PATIENCE: Duration = Duration::from_secs(60);
const FAIR: Weather = Weather {
    bus_loss: 0,
    bus_delay_ms: 5,
    subscribe_delay_ms: 20,
    log_delay_ms: 0,
    log_failures: 0,
    log_lost_answers: 0,
    replica_lag_ms: 0,
    socket_delay_ms: 0,
    socket_bytes: 1,
    socket_piece_bytes: 1,
};

#[derive(Default)]
struct Heard {
    received: Mutex<Vec<BusMessage>>,
    gaps: Mutex<usize>,
}

impl Listener for Heard {
    fn on_messages(&self, messages: Vec<BusMessage>) {
        lock(&self.received).extend(messages);
    }

    fn on_gap(&self) {
        *lock(&self.gaps) += 1;
    }
}

impl Heard {
    fn numbers(&self) -> Vec<u64> {
        let received = lock(&self.received);
        let numbers = received.iter().map(|message| match &message.payload {
            Payload::Published(places) => places[0].1.get(),
            other => panic!("not a number: {other:?}"),
        });
        numbers.collect()
    }

    fn gaps(&self) -> usize {
        *lock(&self.gaps)
    }
}

struct Node {
    link: Arc<SimBusLink>,
    heard: Arc<Heard>,
    alive: Arc<AtomicBool>,
    tasks: LocalSet,
}

impl Node {
    fn is_up(&self) -> bool {
        self.link.healthy().borrow().up
    }
}

/// Processes on one bus. Their tasks run while [`World::run`] waits.
struct World {
    bus: Rc<SimBus>,
    nodes: Vec<Node>,
}

impl World {
    fn new(seed: u64, weather: Weather) -> Self {
        let bus = SimBus::new(&weather, Dice::new(seed, "bus"), Arc::default());
        Self { bus, nodes: Vec::new() }
    }

    /// A bus with so many processes that are connected.
    async fn with(seed: u64, weather: Weather, count: usize) -> Self {
        let mut world = Self::new(seed, weather);
        (0..count).for_each(|_| world.add(2));
        world.until(|world| world.nodes.iter().all(Node::is_up)).await;
        world
    }

    fn add(&mut self, envelope: u8) {
        let (process, tasks) = (self.nodes.len(), LocalSet::new());
        let environment: Arc<dyn Environment> =
            SimEnvironment::new(now(), 0, Dice::new(process as u64, "node"));
        let (heard, alive) = (Arc::<Heard>::default(), Arc::new(AtomicBool::new(true)));
        let entered = tasks.enter();
        let link =
            self.bus.connect(process, envelope, Arc::clone(&alive), Arc::clone(&heard) as _, environment);
        drop(entered);
        self.nodes.push(Node { link, heard, alive, tasks });
    }

    fn heard(&self, node: usize) -> &Heard {
        &self.nodes[node].heard
    }

    /// Runs the processes until `future` ends.
    async fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        std::future::poll_fn(|context| {
            for node in &self.nodes {
                // Polled from outside, so that other sets can be polled beside it.
                let mut turn = Box::pin(node.tasks.run_until(std::future::pending::<()>()));
                let _ = turn.as_mut().poll(context);
            }
            future.as_mut().poll(context)
        })
        .await
    }

    async fn pass(&self, ms: u64) {
        self.run(sleep(Duration::from_millis(ms))).await;
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let holds = async {
            while !condition(self) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(self.run(timeout(PATIENCE, holds)).await.is_ok(), "it never holds");
    }

    async fn subscribe(&self, node: usize, topics: &[Topic]) {
        topics.iter().for_each(|topic| self.nodes[node].link.subscribe(*topic));
        self.run(self.nodes[node].link.settled()).await;
    }

    fn publish(&self, node: usize, topics: &[Topic], number: u64) {
        self.nodes[node].link.publish(vec![numbered(topics, number)]);
    }
}

fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn topic(number: u128) -> Topic {
    Topic::User(user(number))
}

fn numbered(topics: &[Topic], number: u64) -> BusMessage {
    let conversation = ConversationId::from_random(ConversationKind::Group, Uuid::from_u128(7));
    let payload = Payload::Published(vec![(conversation, Seq::new(number).unwrap())]);
    BusMessage { topics: SmallVec::from_slice(topics), epoch: Some(1), payload }
}
