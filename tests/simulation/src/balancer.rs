//! The way of the devices into the fleet: a balancer that knows which processes are ready.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tidings::protocol::Encoding;
use tokio::sync::oneshot;

use crate::dice::Dice;
use crate::edges::socket::{SimSocket, SocketOptions};
use crate::fleet::{Fleet, Incarnation, Phase};
use crate::history::{History, What, Who};
use crate::net::{Broken, Call, Network, Upgraded};
use crate::plan::{Plan, Weather};
use crate::process::{Arrival, Incoming, Request};

/// How long a device waits for the answer to a call before it gives the connection up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the balancer takes to find out that nobody is there.
const NOBODY_MS: u64 = 50;

/// The balancer of a run.
pub struct Balancer {
    fleet: Rc<Fleet>,
    plan: Rc<Plan>,
    history: History,
    dice: RefCell<Dice>,
    weather: RefCell<Weather>,
}

impl Balancer {
    /// A balancer before `fleet`.
    pub fn new(fleet: Rc<Fleet>, plan: Rc<Plan>, history: History) -> Rc<Self> {
        let dice = RefCell::new(Dice::new(plan.seed, "balancer"));
        let weather = RefCell::new(plan.weather.clone());
        Rc::new(Self { fleet, plan, history, dice, weather })
    }

    /// From now on new connections have this weather.
    pub fn change_weather(&self, weather: Weather) {
        self.weather.replace(weather);
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Dice) -> T) -> T {
        draw(&mut self.dice.borrow_mut())
    }

    async fn delay(&self) {
        let most_ms = self.weather.borrow().socket_delay_ms;
        let delay_ms = self.draw(|dice| dice.between(0, most_ms));
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }

    /// A process with a role that takes connections. A paused one is chosen too: nobody knows that it is.
    fn choose(&self, role: &str) -> Option<Rc<Incarnation>> {
        self.choose_of(|one| self.plan.processes[one.process].roles.split(',').any(|has| has == role))
    }

    fn choose_of(&self, fits: impl Fn(&Incarnation) -> bool) -> Option<Rc<Incarnation>> {
        let ready: Vec<Rc<Incarnation>> = self
            .fleet
            .alive()
            .into_iter()
            .filter(|one| one.phase.get() == Phase::Ready)
            .filter(|one| fits(one))
            .collect();
        (!ready.is_empty()).then(|| self.draw(|dice| Rc::clone(dice.pick(&ready))))
    }
}

/// The body of a call as the history has it: with the key, which travels in a header.
fn shown(call: &Call) -> Value {
    let mut body = call.body.clone().unwrap_or(Value::Null);
    if let (Some(key), Some(fields)) = (&call.key, body.as_object_mut()) {
        fields.insert("client_id".to_owned(), Value::String(key.clone()));
    }
    body
}

/// The address of a device.
fn address(device: usize) -> IpAddr {
    let device = u8::try_from(device % 250).unwrap_or(0);
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, device + 1))
}

#[async_trait(?Send)]
impl Network for Balancer {
    async fn connect(
        &self,
        device: usize,
        msgpack: bool,
        bearer: Option<String>,
    ) -> Result<Upgraded, Broken> {
        self.delay().await;
        let Some((target, arrivals)) =
            self.choose("gateway").and_then(|target| target.arrivals().map(|arrivals| (target, arrivals)))
        else {
            tokio::time::sleep(Duration::from_millis(NOBODY_MS)).await;
            return Err(Broken);
        };
        let socket = self.history.next_id();
        let dice = Dice::new(self.plan.seed, &format!("socket {socket}"));
        let options = SocketOptions::from(&*self.weather.borrow());
        let (stream, theirs) = SimSocket::pair(options, dice);
        let mut wires = target.wires.borrow_mut();
        wires.retain(|wire| !wire.is_over());
        wires.push(stream.wire());
        drop(wires);
        let encoding = if msgpack { Encoding::MessagePack } else { Encoding::Json };
        let incoming = Incoming { stream: theirs, encoding, bearer, address: address(device) };
        arrivals.try_send(Arrival::Connection(incoming)).map_err(|_| Broken)?;
        Ok(Upgraded { stream, socket, process: target.process })
    }

    async fn call(&self, device: usize, call: Call) -> Result<(u16, Value), Broken> {
        self.ask(Who::Device(device), self.choose("api"), call, |call, reply| {
            Arrival::Request(Request { call, address: address(device), reply })
        })
        .await
    }
}

impl Balancer {
    /// Makes a call of the operator, to the internal address of a process that serves.
    ///
    /// # Errors
    /// As [`Network::call`].
    pub async fn operate(&self, call: Call) -> Result<(u16, Value), Broken> {
        let target = self.choose_of(|_| true);
        self.ask(Who::Operator, target, call, |call, reply| {
            Arrival::Operator(Request { call, address: Ipv4Addr::LOCALHOST.into(), reply })
        })
        .await
    }

    async fn ask(
        &self,
        who: Who,
        target: Option<Rc<Incarnation>>,
        call: Call,
        arrival: impl FnOnce(Call, oneshot::Sender<(u16, Value)>) -> Arrival,
    ) -> Result<(u16, Value), Broken> {
        let number = self.history.next_id();
        self.history.note(
            who,
            What::Called {
                call: number,
                process: target.as_ref().map(|target| target.process),
                method: call.method.to_owned(),
                path: call.path.clone(),
                body: shown(&call),
                signed_in: call.token.is_some(),
                token: call.token.clone(),
            },
        );
        let answer = async {
            self.delay().await;
            let target = target?;
            let arrivals = target.arrivals()?;
            let (reply, answer) = oneshot::channel();
            arrivals.try_send(arrival(call, reply)).ok()?;
            let answer = tokio::select! {
                biased;
                answer = tokio::time::timeout(PATIENCE, answer) => answer.ok()?.ok()?,
                () = target.calls_cut.notified() => return None,
            };
            self.delay().await;
            Some(answer)
        };
        let answer = answer.await;
        let (status, body) = match &answer {
            Some((status, body)) => (Some(*status), body.clone()),
            None => (None, Value::Null),
        };
        self.history.note(who, What::Answered { call: number, status, body });
        answer.ok_or(Broken)
    }
}
