//! The honest pair: two people who write to each other, and look at their own profile now and then.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::gang::address;
use crate::{
    client::connection::{Connection, Dial, Resumption},
    clock::{Clock, new_client_id},
    ids::{ConversationId, UserId},
    latency::Latency,
    rest::{Account, Rest},
    wire::{ClientFrame, FrameType, ServerFrame},
};

/// Between two messages of one of them.
const EVERY: Duration = Duration::from_millis(100);
/// Between two REST calls of one of them.
const CALL_EVERY: Duration = Duration::from_millis(500);
/// What was said is waited for at most so long after the end.
const SETTLE: Duration = Duration::from_secs(5);

/// The two, before they talk.
#[derive(Debug)]
pub struct Pair {
    people: [Person; 2],
    direct: ConversationId,
    clock: Clock,
}

#[derive(Clone, Debug)]
struct Person {
    account: Account,
    rest: Rest,
    dial: Dial,
}

/// What both of them have done so far.
#[derive(Debug, Default)]
struct Said {
    messages: [AtomicU64; 2],
    /// How many of them say nothing more.
    ended: AtomicU64,
}

/// What they saw.
#[derive(Clone, Debug)]
pub struct Honest {
    /// From when a message was meant to be said until the other one was shown it. One that never came counts
    /// as the whole wait.
    pub delivery: Latency,
    /// From then until its ack.
    pub ack: Latency,
    /// REST calls.
    pub calls: Latency,
    /// Errors, closes, answers other than a success, and messages that never came.
    pub refused: u64,
    /// One of the refusals.
    pub why: Option<String>,
}

impl Pair {
    /// Makes both, each at an address of its own.
    pub async fn meet(base: &str, dial: &Dial, clock: Clock) -> Result<Self> {
        let mut people = Vec::new();
        for number in 0..2 {
            let source = address(dial.address, 8, number);
            let rest = Rest::from_address(base, source)?;
            let account = rest.guest(["Ada", "Ben"][number]).await?;
            people.push(Person { account, rest, dial: dial.from_source(source) });
        }
        let people: [Person; 2] = people.try_into().ok().context("two")?;
        let direct = people[0].rest.direct(&people[0].account, &people[1].account.user).await?;
        Ok(Self { people, direct, clock })
    }

    /// Their ids.
    pub fn users(&self) -> [UserId; 2] {
        self.people.each_ref().map(|person| person.account.user.clone())
    }

    /// The server's address.
    pub fn server(&self) -> SocketAddr {
        self.people[0].dial.address
    }

    /// New tokens.
    pub async fn refresh(&mut self) -> Result<()> {
        for person in &mut self.people {
            person.account = person.rest.refresh(&person.account.refresh_token).await?;
        }
        Ok(())
    }

    /// They talk until `until`.
    pub async fn talk(&self, until: Instant) -> Result<Honest> {
        let [ada, ben] = &self.people;
        // Both are there before the first word: what is said earlier comes as heads.
        let (to_ada, to_ben) = tokio::try_join!(ada.connect(), ben.connect())?;
        let said = Said::default();
        let (mut seen, others, calls, more) = tokio::try_join!(
            self.chat(0, to_ada, &said, until),
            self.chat(1, to_ben, &said, until),
            self.call(ada, until),
            self.call(ben, until)
        )?;
        for other in [others, calls, more] {
            seen.delivery.histogram.add(&other.delivery.histogram)?;
            seen.ack.histogram.add(&other.ack.histogram)?;
            seen.calls.histogram.add(&other.calls.histogram)?;
            seen.refused += other.refused;
            seen.why = seen.why.or(other.why);
        }
        Ok(seen)
    }

    /// One of them over a WebSocket: says something every [`EVERY`], and notes what the other one says.
    async fn chat(
        &self,
        number: usize,
        mut connection: Connection,
        said: &Said,
        until: Instant,
    ) -> Result<Honest> {
        let person = &self.people[number];
        let mut seen = Honest::nothing()?;
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut waiting: HashMap<u64, u64> = HashMap::new();
        let (mut heard, mut next_id) = (0, 0);
        loop {
            tokio::select! {
                tick = due.tick() => {
                    if tick >= until {
                        break;
                    }
                    let meant_us = self.clock.now_us().saturating_sub(tick.elapsed().as_micros() as u64);
                    next_id += 1;
                    waiting.insert(next_id, meant_us);
                    said.messages[number].fetch_add(1, Relaxed);
                    self.say(&mut connection, next_id, meant_us).await?;
                }
                frame = connection.next() => match frame {
                    Ok(frame) => heard += self.note(person, frame, &mut waiting, &mut seen),
                    Err(closed) => {
                        seen.refuse(format!("closed with {:?}", closed.code));
                        connection = self.again(person, until).await?;
                    }
                },
            }
        }
        said.ended.fetch_add(1, Relaxed);
        let missing = |heard: u64| said.messages[1 - number].load(Relaxed).saturating_sub(heard);
        while until.elapsed() < SETTLE {
            if waiting.is_empty() && said.ended.load(Relaxed) == 2 && missing(heard) == 0 {
                break;
            }
            match timeout(EVERY, connection.next()).await {
                Ok(Ok(frame)) => heard += self.note(person, frame, &mut waiting, &mut seen),
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
        for _ in 0..waiting.len() as u64 + missing(heard) {
            seen.refuse("a message or an ack never came".to_owned());
            seen.delivery.record(SETTLE.as_micros() as u64);
        }
        Ok(seen)
    }

    async fn say(&self, connection: &mut Connection, id: u64, at_us: u64) -> Result<()> {
        let (key, body) = (new_client_id().to_string(), at_us.to_string());
        let conversation = Some(self.direct.as_str());
        connection.send(&ClientFrame::Send { id, conversation, to: None, client_id: &key, body: &body }).await
    }

    async fn again(&self, person: &Person, until: Instant) -> Result<Connection> {
        loop {
            match person.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if until.elapsed() > SETTLE => return Err(error),
                Err(_) => sleep(EVERY).await,
            }
        }
    }

    /// Notes a frame. Returns how many messages of the other one it brought.
    fn note(
        &self,
        person: &Person,
        mut frame: ServerFrame,
        waiting: &mut HashMap<u64, u64>,
        seen: &mut Honest,
    ) -> u64 {
        let now_us = self.clock.now_us();
        match frame.kind {
            FrameType::Ack => {
                if let Some(at_us) = frame.id.and_then(|id| waiting.remove(&id)) {
                    seen.ack.record(now_us.saturating_sub(at_us));
                }
            }
            FrameType::Event => {
                let Some((conversation, event)) = frame.take_event() else { return 0 };
                let theirs =
                    conversation == self.direct && event.sender.as_ref() != Some(&person.account.user);
                let at_us = event.body.as_deref().and_then(|body| body.parse::<u64>().ok());
                if let Some(at_us) = at_us.filter(|_| theirs) {
                    seen.delivery.record(now_us.saturating_sub(at_us));
                    return 1;
                }
            }
            FrameType::Error => seen.refuse(format!("answered with {:?}", frame.code)),
            FrameType::Lagging => seen.refuse("told `lagging`".to_owned()),
            _ => {}
        }
        0
    }

    /// One of them over REST.
    async fn call(&self, person: &Person, until: Instant) -> Result<Honest> {
        let mut seen = Honest::nothing()?;
        let mut due = interval(CALL_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while due.tick().await < until {
            let at_us = self.clock.now_us();
            match person.rest.try_me(&person.account).await {
                Ok(()) => {}
                Err(error) => seen.refuse(format!("GET /v1/me: {error:#}")),
            }
            seen.calls.record(self.clock.now_us() - at_us);
        }
        Ok(seen)
    }
}

impl Person {
    async fn connect(&self) -> Result<Connection> {
        let opened = Connection::open(&self.dial, &self.account.access_token, &Resumption::default()).await;
        opened.map(|(connection, _)| connection)
    }
}

impl Honest {
    fn nothing() -> Result<Self> {
        let (delivery, ack) = (Latency::new("delivery")?, Latency::new("ack")?);
        Ok(Self { delivery, ack, calls: Latency::new("calls")?, refused: 0, why: None })
    }

    fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.why.get_or_insert(why);
    }
}
