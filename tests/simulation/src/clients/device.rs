//! The task of a device: it waits for what comes first, and then does everything that is due.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::account::{Account, SignIn};
use super::connection::Connection;
use super::copy::Copy;
use super::jobs::{Done, Jobs, Lane, Purpose};
use super::link::{Inbox, Seen};
use super::outbox::Outbox;
use super::polling::Polling;
use super::requests::Requests;
use super::resume::Resume;
use super::world::SharedWorld;
use crate::dice::Dice;
use crate::history::{History, What, Who};
use crate::net::{Call, SharedNetwork};
use crate::plan::{Behaviour, DevicePlan, Operation, Plan};

/// Reports of connections that wait for the device. A full queue stops reading from the sockets.
const INBOX: usize = 256;
/// Without anything due the device looks around this often, in milliseconds.
const LOOK_AROUND_MS: u64 = 5_000;

/// A device.
pub(super) struct Device {
    pub index: usize,
    pub plan: DevicePlan,
    pub dice: Dice,
    pub network: SharedNetwork,
    pub history: History,
    pub world: SharedWorld,
    /// Virtual time at the last look, in milliseconds.
    pub now: u64,
    wake: u64,
    pub calm: bool,
    settled: Rc<Cell<bool>>,
    pub account: Account,
    pub connection: Connection,
    pub requests: Requests,
    pub outbox: Outbox,
    pub copy: Rc<RefCell<Copy>>,
    pub resume: Resume,
    /// Direct conversations, by the user that something was sent to.
    pub directs: BTreeMap<String, String>,
    pub polling: Polling,
    /// When to ask for presence again.
    pub watch_at: Option<u64>,
    pub jobs: Jobs,
    /// The additional work of a hostile device; the calm ends it.
    pub abuses: Vec<AbortHandle>,
    /// Calls that change something, one after the other.
    pub changes: Lane,
    /// Calls that read.
    pub reads: Lane,
    pub inbox: Inbox,
    incoming: mpsc::Receiver<(u64, Seen)>,
}

impl Device {
    pub fn new(
        index: usize,
        plan: &Plan,
        network: SharedNetwork,
        history: History,
        world: SharedWorld,
        settled: Rc<Cell<bool>>,
    ) -> Self {
        let (inbox, incoming) = mpsc::channel(INBOX);
        let device = plan.devices[index].clone();
        let complete = device.behaviour != Behaviour::Lazy;
        Self {
            index,
            dice: Dice::new(plan.seed, &format!("device {index}")),
            plan: device,
            network,
            now: history.now_ms(),
            wake: 0,
            history,
            world,
            calm: false,
            settled,
            account: Account::default(),
            connection: Connection::default(),
            requests: Requests::default(),
            outbox: Outbox::default(),
            copy: Rc::new(RefCell::new(Copy { complete, ..Copy::default() })),
            resume: Resume::default(),
            directs: BTreeMap::new(),
            polling: Polling::default(),
            watch_at: None,
            jobs: Jobs::default(),
            abuses: Vec::new(),
            changes: Lane::default(),
            reads: Lane::default(),
            inbox,
            incoming,
        }
    }

    /// Runs until it is aborted.
    pub async fn run(mut self, mut operations: mpsc::Receiver<Operation>, mut calm: watch::Receiver<bool>) {
        sleep(Duration::from_millis(self.plan.begins_ms)).await;
        loop {
            self.now = self.history.now_ms();
            self.wake = self.now + LOOK_AROUND_MS;
            self.advance();
            let wait = Duration::from_millis(self.wake.saturating_sub(self.history.now_ms()));
            tokio::select! {
                biased;
                Some(operation) = operations.recv() => {
                    self.now = self.history.now_ms();
                    self.perform(operation);
                }
                // A step that was planned before the calm begins before it.
                Ok(()) = calm.changed(), if !self.calm => self.begin_calm(),
                Some((link, seen)) = self.incoming.recv() => {
                    self.now = self.history.now_ms();
                    self.seen(link, seen);
                }
                done = self.jobs.next() => {
                    self.now = self.history.now_ms();
                    self.done(done);
                }
                () = sleep(wait) => {}
            }
        }
    }

    /// Does everything that is due.
    fn advance(&mut self) {
        // In this order: what one part makes due is seen by those after it.
        self.advance_account();
        if self.plan.behaviour == Behaviour::Rest {
            self.advance_polling();
        } else {
            self.advance_requests();
            self.advance_connection();
            self.advance_resume();
            self.advance_watching();
        }
        self.advance_outbox();
        self.advance_lanes();
        self.end_typing();
        let settled = self.calm && self.is_settled();
        if settled != self.settled.get() {
            self.settled.set(settled);
            self.remark(if settled { "settled".to_owned() } else { "not settled any more".to_owned() });
        }
    }

    fn is_settled(&self) -> bool {
        if self.account.state == SignIn::Erased || self.copy.borrow().stopped.is_some() {
            return true;
        }
        let idle = self.account.state == SignIn::Done
            && self.jobs.running() == 0
            && self.outbox.is_empty()
            && self.changes.is_empty()
            && self.reads.is_empty();
        let current = match self.plan.behaviour {
            Behaviour::Rest => self.polling.is_current(),
            Behaviour::Lazy => self.connection.is_live(),
            Behaviour::Correct | Behaviour::Hostile => self.connection.is_live() && !self.is_behind(),
        };
        idle && current && self.requests.is_empty() && self.watch_at.is_none()
    }

    fn begin_calm(&mut self) {
        self.now = self.history.now_ms();
        self.calm = true;
        self.abuses.drain(..).for_each(|abuse| abuse.abort());
        self.sign_in_again();
        self.come_back();
        self.polling.start_over(self.now);
        if self.plan.behaviour == Behaviour::Rest {
            // A device without a connection gets no notice that the log is another one: it reads everything
            // again.
            self.copy.borrow_mut().conversations.clear();
        }
    }

    /// Whether a time has come. If not, the device looks again then.
    pub fn is_due(&mut self, at: u64) -> bool {
        if at > self.now {
            self.wake = self.wake.min(at);
        }
        at <= self.now
    }

    /// How long to wait before another try: what the server asked for, or longer and longer with dice.
    pub fn backoff(&mut self, failures: u32, asked: Option<u64>) -> u64 {
        // Who waits no longer than the server says finds out whether that is enough.
        if let Some(asked) = asked.filter(|_| self.dice.chance(300)) {
            return asked;
        }
        let most = 200 << failures.min(6);
        asked.unwrap_or(0) + self.dice.between(most / 2, most)
    }

    /// Writes into the history what a reader of the story wants to know.
    pub fn remark(&self, text: String) {
        self.history.note(Who::Device(self.index), What::Noted { text });
    }

    /// Begins a call without waiting for a turn, with the access token when the device has one.
    pub fn ask(&mut self, purpose: Purpose, mut call: Call) {
        if !matches!(purpose, Purpose::SignUp | Purpose::SignIn | Purpose::Refresh) {
            call.token.clone_from(&self.account.access);
        }
        self.jobs.call(&self.network, &self.history, self.index, purpose, call);
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Connected(result) => self.connected(result),
            Done::Answered(purpose, call, answer) => match purpose {
                Purpose::SignUp | Purpose::SignIn => self.signed_in(&purpose, answer),
                Purpose::Refresh => self.renewed(answer),
                Purpose::Entry(number) => self.entry_answered(number, &call, answer),
                Purpose::Beside => {}
                Purpose::Direct(number) => self.direct_answered(number, answer),
                purpose => self.lane_answered(purpose, &call, answer),
            },
            Done::Finished => {}
        }
    }
}
