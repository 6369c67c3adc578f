//! A client over its whole life: connects, resumes, sends lines, reconnects with backoff, and records what it
//! received.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    connection::{Closed, Connection, Resumption},
    outbox::{Outbox, To},
    resume::Resume,
    setup::{Command, Goal, Handle, Seen, Setup},
};
use crate::{
    ids::ConversationId,
    ledger::history::{Mark, Own, Reader, Said},
    wire::{ClientFrame, Event, FrameType, Head, Limits, ServerFrame},
};

const BACKOFF_FIRST_MS: u64 = 100;
const BACKOFF_MOST_MS: u64 = 3_000;
/// After so many failed dials in a row the next server of the list is tried.
const DIALS_EACH: u32 = 3;
/// Commands waiting for a session; the sender of commands waits beyond.
const COMMANDS: usize = 64;

/// Starts a session.
pub fn spawn(setup: Setup) -> Handle {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (finish, goal) = watch::channel(None);
    let account = setup.account.clone();
    let session = Session {
        resume: Resume::default(),
        outbox: Outbox::new(setup.account.user.clone(), setup.window),
        reader: Reader {
            user: setup.account.user.clone(),
            name: setup.name.clone(),
            streams: HashMap::new(),
            due: Vec::new(),
            own: Vec::new(),
            steady: false,
            stalls: Vec::new(),
        },
        said: Vec::new(),
        random: StdRng::seed_from_u64(setup.seed),
        limits: Limits::default(),
        number: 0,
        next_request: 1,
        goal,
        setup,
    };
    Handle { account, commands, finish, task: tokio::spawn(session.run(inbox)) }
}

struct Session {
    setup: Setup,
    resume: Resume,
    outbox: Outbox,
    reader: Reader,
    said: Vec<Said>,
    random: StdRng,
    limits: Limits,
    /// Number of the present connection, from 1.
    number: u32,
    next_request: u64,
    goal: watch::Receiver<Option<Arc<Goal>>>,
}

/// Why a connection is no longer used.
enum Left {
    Lost(Closed),
    Away(Duration),
    Moved(Box<(Connection, ServerFrame)>),
    Finished,
}

impl Session {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) -> Seen {
        let mut next = None;
        loop {
            let (connection, welcome) = match next.take() {
                Some(moved) => moved,
                None => match self.connect().await {
                    Some(connected) => connected,
                    None => break,
                },
            };
            self.setup.progress.connected.fetch_add(1, Relaxed);
            let left = self.stay(connection, &welcome, &mut inbox).await;
            self.setup.progress.connected.fetch_sub(1, Relaxed);
            self.resume.disconnected();
            self.outbox.disconnected();
            match left {
                Left::Finished => break,
                Left::Moved(moved) => {
                    self.setup.progress.handovers.fetch_add(1, Relaxed);
                    next = Some(*moved);
                }
                Left::Away(away) => {
                    self.setup.progress.dropped.fetch_add(1, Relaxed);
                    tokio::time::sleep(away).await;
                }
                Left::Lost(closed) => {
                    self.setup.progress.dropped.fetch_add(1, Relaxed);
                    if closed.code == Some(4401) {
                        self.refresh().await;
                    }
                }
            }
        }
        self.setup.progress.pushed_back.fetch_add(self.outbox.pushed_back, Relaxed);
        let mut said = self.said;
        said.extend(self.outbox.give_up());
        self.reader.steady = self.number == 1;
        Seen { reader: self.reader, said }
    }

    /// Dials until it succeeds; `None` when the run's deadline has passed meanwhile.
    async fn connect(&mut self) -> Option<(Connection, ServerFrame)> {
        let mut failures: u32 = 0;
        loop {
            let which = (failures / DIALS_EACH) as usize % self.setup.dials.len().max(1);
            let resumption = Resumption { cursor: self.resume.cursor().map(str::to_owned), handover: None };
            let dial = self.setup.dials.get(which)?;
            match Connection::open(dial, &self.setup.account.access_token, &resumption).await {
                Ok(opened) => return Some(opened),
                Err(error) => {
                    failures += 1;
                    if format!("{error:#}").contains("4401") {
                        self.refresh().await;
                    }
                }
            }
            if self.past_deadline() {
                return None;
            }
            let most_ms = (BACKOFF_FIRST_MS << failures.min(6)).min(BACKOFF_MOST_MS);
            let wait_ms = self.random.random_range(most_ms / 2..=most_ms);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    /// Uses one connection until it ends.
    async fn stay(
        &mut self,
        mut connection: Connection,
        welcome: &ServerFrame,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Left {
        self.number += 1;
        self.limits = welcome.limits;
        self.heads(welcome);
        let mut moving: Option<JoinHandle<Option<(Connection, ServerFrame)>>> = None;
        loop {
            if self.done() {
                return Left::Finished;
            }
            let now_us = self.setup.clock.now_us();
            let stalled = self.outbox.stalled(now_us) || self.resume.stalled(now_us);
            if stalled || self.write(&mut connection).await.is_err() {
                return Left::Lost(Closed { code: None });
            }
            let due = self.due_us().map(|at_us| self.setup.clock.instant(at_us));
            tokio::select! {
                frame = connection.next() => match frame {
                    Ok(frame) => {
                        if frame.kind == FrameType::Reconnect && moving.is_none() {
                            moving = Some(self.move_to_new(&frame));
                        }
                        if frame.kind == FrameType::TokenExpiring && !self.renew(&mut connection).await {
                            return Left::Lost(Closed { code: None });
                        }
                        self.frame(frame, connection.frame_bytes());
                    }
                    Err(closed) => return Left::Lost(closed),
                },
                moved = async { moving.as_mut()?.await.ok()? }, if moving.is_some() => {
                    moving = None;
                    if let Some(moved) = moved {
                        return Left::Moved(Box::new(moved));
                    }
                }
                // Wakes the loop to look at the goal; when the sender is gone, `commands` ends the session.
                Ok(()) = self.goal.changed() => {}
                command = inbox.recv(), if self.goal.borrow().is_none() && self.outbox.has_room() => match command {
                    Some(Command::Say(line)) => self.outbox.push(line),
                    Some(Command::Drop(away)) => return Left::Away(away),
                    Some(Command::Stall(pause)) => {
                        let from_us = self.setup.clock.now_us();
                        tokio::time::sleep(pause).await;
                        self.reader.stalls.push((from_us, self.setup.clock.now_us()));
                    }
                    None => return Left::Finished,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(|| self.setup.clock.instant(0))), if due.is_some() => {}
            }
        }
    }

    /// Writes what is ready: lines, then the question for what is lacking.
    async fn write(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let now_us = self.setup.clock.now_us();
        while let Some(attempt) = self.outbox.attempt(self.next_request, self.number, now_us) {
            let key = attempt.line.client_id.to_string();
            let (conversation, to) = match &attempt.line.to {
                To::Conversation(conversation) => (Some(conversation.as_str()), None),
                To::User(user) => (None, Some(user.as_str())),
            };
            let body = attempt.line.body.as_str();
            let frame = ClientFrame::Send { id: attempt.id, conversation, to, client_id: &key, body };
            connection.send(&frame).await?;
            self.next_request += 1;
        }
        if let Some(ranges) = self.resume.ask(self.next_request, self.limits, now_us) {
            connection.send(&ClientFrame::Sync { id: self.next_request, ranges: &ranges }).await?;
            self.next_request += 1;
        }
        Ok(())
    }

    fn frame(&mut self, mut frame: ServerFrame, bytes: usize) {
        let now_us = self.setup.clock.now_us();
        match frame.kind {
            FrameType::Event => {
                if let Some((conversation, event)) = frame.take_event() {
                    self.setup.progress.event_bytes.fetch_add(bytes as u64, Relaxed);
                    let (connection, identity) = (self.number, event.identity());
                    self.resume.event(&conversation, event.seq, None);
                    let mark = Mark::Live { connection, seq: event.seq, identity, at_us: now_us };
                    self.saw(&conversation, &event, mark);
                }
            }
            FrameType::Events => {
                let (Some(conversation), Some(request)) = (frame.conversation.take(), frame.id) else {
                    return;
                };
                for event in frame.events {
                    self.resume.event(&conversation, event.seq, Some(now_us));
                    let mark = Mark::Synced { request, seq: event.seq, identity: event.identity() };
                    self.saw(&conversation, &event, mark);
                }
            }
            FrameType::Synced => self.resume.answered(frame.id.unwrap_or_default(), now_us),
            FrameType::Heads => self.heads(&frame),
            FrameType::Ack => {
                let said = self.outbox.acked(&frame, now_us);
                self.ended(said);
            }
            FrameType::Error => {
                let may_repeat = frame.retryable || !frame.definite;
                let wait_us = may_repeat.then(|| frame.retry_after_ms.unwrap_or(300) * 1000);
                self.resume.refused(frame.id.unwrap_or_default(), wait_us, now_us);
                let said = self.outbox.refused(&frame, now_us);
                self.ended(said);
            }
            FrameType::Lagging => drop(self.setup.progress.lagging.fetch_add(1, Relaxed)),
            FrameType::Welcome | FrameType::Reconnect | FrameType::TokenExpiring | FrameType::Other => {}
        }
    }

    fn heads(&mut self, frame: &ServerFrame) {
        if self.setup.from_now && self.number == 1 && frame.kind == FrameType::Welcome {
            self.skip_history(&frame.heads);
        }
        if frame.reset {
            // What was seen of the old log is no part of the final one. What it took is offered to the new
            // one.
            self.resume.reset();
            self.reader.streams.clear();
            self.reader.own.clear();
            let offered: HashSet<Uuid> = self.outbox.offer_again().into_iter().collect();
            let before = self.said.len();
            self.said.retain(|said| !offered.contains(&said.client_id));
            self.setup.progress.ended.fetch_sub((before - self.said.len()) as u64, Relaxed);
        }
        self.resume.heads(frame.cursor.clone(), &frame.heads);
        for head in frame.heads.iter().filter(|head| !head.left) {
            let mark = Mark::Announced { connection: self.number, last_seq: head.last_seq };
            self.reader.streams.entry(head.conversation.clone()).or_default().push(mark);
        }
    }

    fn skip_history(&mut self, heads: &[Head]) {
        for head in heads.iter().filter(|head| !head.left) {
            self.resume.skip(&head.conversation, head.last_seq);
            let mark = Mark::Skipped { upto: head.last_seq };
            self.reader.streams.entry(head.conversation.clone()).or_default().push(mark);
        }
    }

    fn saw(&mut self, conversation: &ConversationId, event: &Event, mark: Mark) {
        self.setup.progress.delivered.fetch_add(1, Relaxed);
        if let Some(client_id) = event.client_id.as_deref().and_then(|id| Uuid::parse_str(id).ok()) {
            self.reader.own.push(Own { client_id, conversation: conversation.clone(), seq: event.seq });
        }
        match self.reader.streams.get_mut(conversation) {
            Some(marks) => marks.push(mark),
            None => drop(self.reader.streams.insert(conversation.clone(), vec![mark])),
        }
    }

    fn ended(&mut self, said: Option<Said>) {
        if let Some(said) = said {
            self.setup.progress.ended.fetch_add(1, Relaxed);
            self.said.push(said);
        }
    }

    fn due_us(&self) -> Option<u64> {
        let goal = self.goal.borrow().as_ref().map(|goal| goal.deadline_us);
        [self.outbox.due_us(), self.resume.due_us(), goal].into_iter().flatten().min()
    }

    fn past_deadline(&self) -> bool {
        self.goal.borrow().as_ref().is_some_and(|goal| self.setup.clock.now_us() >= goal.deadline_us)
    }

    fn done(&self) -> bool {
        let Some(goal) = self.goal.borrow().clone() else { return false };
        let held = |(conversation, last_seq): (&ConversationId, &u64)| {
            self.resume.held(conversation.as_str()) >= *last_seq
        };
        self.past_deadline() || goal.last_seqs.iter().all(held)
    }

    /// Opens the new connection beside the old one, which goes on being read until the new one has its
    /// `welcome`.
    fn move_to_new(&self, frame: &ServerFrame) -> JoinHandle<Option<(Connection, ServerFrame)>> {
        let wait = Duration::from_millis(frame.after_ms.unwrap_or_default());
        let dials = self.setup.dials.clone();
        let token = self.setup.account.access_token.clone();
        let resumption =
            Resumption { cursor: self.resume.cursor().map(str::to_owned), handover: frame.handover.clone() };
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            for dial in &dials {
                if let Ok(opened) = Connection::open(dial, &token, &resumption).await {
                    return Some(opened);
                }
            }
            None
        })
    }

    async fn renew(&mut self, connection: &mut Connection) -> bool {
        self.refresh().await;
        let frame = ClientFrame::Auth { id: self.next_request, token: &self.setup.account.access_token };
        self.next_request += 1;
        connection.send(&frame).await.is_ok()
    }

    async fn refresh(&mut self) {
        match self.setup.rest.refresh(&self.setup.account.refresh_token).await {
            Ok(account) => self.setup.account = account,
            Err(error) => eprintln!("{}: no new token: {error:#}", self.setup.name),
        }
    }
}
