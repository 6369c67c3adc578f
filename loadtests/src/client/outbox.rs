//! Lines that were sent and not yet answered. Pure: frames to write come out, answers go in. A line keeps its
//! `client_id` in every attempt, so an attempt whose answer was lost may be repeated safely.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::{
    ids::{ConversationId, UserId},
    ledger::history::{Ack, Outcome, Said},
    wire::{ServerFrame, body_hash},
};

/// An unanswered send is taken for lost with its connection after this long, in microseconds.
pub const ANSWER_US: u64 = 10_000_000;

/// Acked lines that are kept, newest last, to be offered again should the log turn out to be another one.
const KEPT_LINES: usize = 500;

/// Where a line goes.
#[derive(Clone, Debug)]
pub enum To {
    /// A conversation one is a member of.
    Conversation(ConversationId),
    /// A user: the direct conversation with them.
    User(UserId),
}

/// A line to say.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it goes.
    pub to: To,
    /// Idempotency key.
    pub client_id: Uuid,
    /// The text.
    pub body: String,
    /// When it was meant to be said, in microseconds on the run's clock: latency counts from here, so that a
    /// stalled sender cannot hide a stalled server. Without a schedule: when it is first written.
    pub intended_us: Option<u64>,
}

/// A line on its way: write it as a `send` with this id.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Request id.
    pub id: u64,
    /// The line.
    pub line: &'a Line,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    attempts: u32,
    in_flight: Option<InFlight>,
    first_connection: u32,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: u64,
    at_us: u64,
}

/// Lines in the order they were given; at most `window` of them await an answer at any time.
#[derive(Debug)]
pub struct Outbox {
    sender: UserId,
    window: usize,
    next_order: u64,
    entries: HashMap<u64, Entry>,
    by_request: HashMap<u64, u64>,
    waiting: VecDeque<u64>,
    /// See [`KEPT_LINES`].
    acked: VecDeque<(u64, Entry)>,
    not_before_us: u64,
    /// How often the server asked to slow down.
    pub pushed_back: u64,
}

impl Outbox {
    /// An empty outbox of `sender` with at most `window` unanswered attempts.
    pub fn new(sender: UserId, window: usize) -> Self {
        Self {
            sender,
            window,
            next_order: 0,
            entries: HashMap::new(),
            by_request: HashMap::new(),
            waiting: VecDeque::new(),
            acked: VecDeque::new(),
            not_before_us: 0,
            pushed_back: 0,
        }
    }

    /// Lines not yet answered for good.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Everything was answered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Room for another line before the caller should wait: twice the window keeps the pipe full.
    pub fn has_room(&self) -> bool {
        self.entries.len() < self.window * 2
    }

    /// Takes a line.
    pub fn push(&mut self, line: Line) {
        let order = self.next_order;
        self.next_order += 1;
        self.entries.insert(order, Entry { line, attempts: 0, in_flight: None, first_connection: 0 });
        self.waiting.push_back(order);
    }

    /// The next line to write under request `id` on connection number `connection`, if one may be written
    /// now.
    pub fn attempt(&mut self, id: u64, connection: u32, now_us: u64) -> Option<Attempt<'_>> {
        if now_us < self.not_before_us || self.by_request.len() >= self.window {
            return None;
        }
        let order = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&order)?;
        if entry.attempts == 0 {
            entry.first_connection = connection;
            entry.line.intended_us.get_or_insert(now_us);
        }
        entry.attempts += 1;
        entry.in_flight = Some(InFlight { id, at_us: now_us });
        self.by_request.insert(id, order);
        Some(Attempt { id, line: &entry.line })
    }

    /// An `ack` for one of our sends; the line is done. `None` when the id is not ours.
    pub fn acked(&mut self, frame: &ServerFrame, now_us: u64) -> Option<Said> {
        let order = self.by_request.remove(&frame.id?)?;
        let entry = self.entries.remove(&order)?;
        let ack = frame.conversation.clone().map(|conversation| Ack {
            conversation,
            seq: frame.seq,
            duplicate: frame.duplicate,
            at_us: now_us,
        });
        let said = self.said(order, &entry, ack.map_or(Outcome::Unanswered, Outcome::Acked));
        if self.acked.len() == KEPT_LINES {
            self.acked.pop_front();
        }
        self.acked.push_back((order, entry));
        Some(said)
    }

    /// The log is another one, and may lack the last lines it took: they go out again under their keys,
    /// before all others. Answers the keys; the acks they had count no more.
    pub fn offer_again(&mut self) -> Vec<Uuid> {
        let acked = std::mem::take(&mut self.acked);
        let keys = acked.iter().map(|(_, entry)| entry.line.client_id).collect();
        for (order, mut entry) in acked {
            entry.in_flight = None;
            self.entries.insert(order, entry);
            self.requeue(order);
        }
        keys
    }

    /// An `error` for one of our sends: a retryable or indefinite one is repeated after the wait the server
    /// named, any other ends the line. `None` when the id is not ours or the line lives on.
    pub fn refused(&mut self, frame: &ServerFrame, now_us: u64) -> Option<Said> {
        let order = self.by_request.remove(&frame.id?)?;
        if frame.retryable || !frame.definite {
            self.pushed_back += 1;
            let wait_us = frame.retry_after_ms.unwrap_or(100) * 1000;
            self.not_before_us = self.not_before_us.max(now_us + wait_us);
            self.requeue(order);
            return None;
        }
        let entry = self.entries.remove(&order)?;
        let code = frame.code.clone().unwrap_or_default();
        Some(self.said(order, &entry, Outcome::Refused(code)))
    }

    /// The connection is gone: every attempt on it is of unknown outcome and goes back, in the order of
    /// saying.
    pub fn disconnected(&mut self) {
        let orders: Vec<u64> = self.by_request.drain().map(|(_, order)| order).collect();
        for order in orders {
            self.requeue(order);
        }
        self.not_before_us = 0;
    }

    /// When to look again: the end of a push-back, or when the oldest attempt is to be taken for lost.
    pub fn due_us(&self) -> Option<u64> {
        let lost = self.oldest_us().map(|at_us| at_us + ANSWER_US);
        let push_back = (!self.waiting.is_empty() && self.not_before_us > 0).then_some(self.not_before_us);
        [lost, push_back].into_iter().flatten().min()
    }

    /// The server has left an attempt unanswered for too long: reconnect.
    pub fn stalled(&self, now_us: u64) -> bool {
        self.oldest_us().is_some_and(|at_us| now_us >= at_us + ANSWER_US)
    }

    /// Ends the run: whatever has no answer now stays of unknown outcome.
    pub fn give_up(mut self) -> Vec<Said> {
        let mut orders: Vec<u64> = self.entries.keys().copied().collect();
        orders.sort_unstable();
        orders
            .into_iter()
            .filter_map(|order| {
                let entry = self.entries.remove(&order)?;
                Some(self.said(order, &entry, Outcome::Unanswered))
            })
            .collect()
    }

    fn oldest_us(&self) -> Option<u64> {
        self.by_request.values().filter_map(|order| Some(self.entries.get(order)?.in_flight?.at_us)).min()
    }

    fn requeue(&mut self, order: u64) {
        if let Some(entry) = self.entries.get_mut(&order) {
            if let Some(in_flight) = entry.in_flight.take() {
                self.by_request.remove(&in_flight.id);
            }
            let at = self.waiting.partition_point(|waiting| *waiting < order);
            self.waiting.insert(at, order);
        }
    }

    fn said(&self, order: u64, entry: &Entry, outcome: Outcome) -> Said {
        Said {
            sender: self.sender.clone(),
            client_id: entry.line.client_id,
            body_hash: body_hash(&entry.line.body),
            intended_us: entry.line.intended_us.unwrap_or_default(),
            order,
            connection: entry.first_connection,
            attempts: entry.attempts,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(lines: u8, window: usize) -> Outbox {
        let mut outbox = Outbox::new("ann".into(), window);
        for n in 0..lines {
            let to = To::Conversation("c".into());
            let client_id = Uuid::from_bytes([n; 16]);
            outbox.push(Line { to, client_id, body: format!("line {n}"), intended_us: Some(u64::from(n)) });
        }
        outbox
    }

    fn write(outbox: &mut Outbox, first_id: u64, connection: u32, now_us: u64) -> Vec<String> {
        let mut written = Vec::new();
        while let Some(attempt) = outbox.attempt(first_id + written.len() as u64, connection, now_us) {
            written.push(attempt.line.body.clone());
        }
        written
    }

    fn frame(json: &str) -> ServerFrame {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn keeps_its_window_and_its_order() {
        let mut outbox = outbox(3, 2);
        assert_eq!(write(&mut outbox, 1, 1, 0), ["line 0", "line 1"]);
        let ack = frame(r#"{"type":"ack","id":1,"conversation":"c","seq":7,"duplicate":false}"#);
        let said = outbox.acked(&ack, 50).unwrap();
        assert!(matches!(said.outcome, Outcome::Acked(Ack { seq: 7, at_us: 50, .. })));
        assert!(outbox.acked(&ack, 51).is_none(), "an ack answers once");
        assert_eq!(write(&mut outbox, 3, 1, 60), ["line 2"]);
    }

    #[test]
    fn a_lost_connection_repeats_in_order_with_the_same_key() {
        let mut outbox = outbox(3, 3);
        write(&mut outbox, 1, 1, 0);
        outbox.disconnected();
        assert_eq!(write(&mut outbox, 10, 2, 5), ["line 0", "line 1", "line 2"]);
        let said = outbox.give_up();
        assert_eq!((said.len(), said[0].attempts, said[0].connection), (3, 2, 1));
        assert!(said.iter().all(|said| said.outcome == Outcome::Unanswered));
    }

    #[test]
    fn another_log_is_offered_the_last_lines_again_in_order_with_the_same_keys() {
        let mut outbox = outbox(3, 2);
        write(&mut outbox, 1, 1, 0);
        for id in [2, 1] {
            let ack = format!(r#"{{"type":"ack","id":{id},"conversation":"c","seq":7,"duplicate":false}}"#);
            assert!(outbox.acked(&frame(&ack), 50).is_some());
        }
        outbox.disconnected();
        let mut keys = outbox.offer_again();
        keys.sort();
        assert_eq!(keys, [0, 1].map(|n| Uuid::from_bytes([n; 16])));
        assert!(outbox.offer_again().is_empty(), "once");
        assert_eq!(
            write(&mut outbox, 3, 2, 60),
            ["line 0", "line 1"],
            "before the line that was not said yet"
        );
        let ack = frame(r#"{"type":"ack","id":3,"conversation":"c","seq":5,"duplicate":true}"#);
        let said = outbox.acked(&ack, 70).unwrap();
        assert_eq!((said.attempts, said.client_id), (2, Uuid::from_bytes([0; 16])));
        assert!(matches!(said.outcome, Outcome::Acked(Ack { seq: 5, .. })));
    }

    #[test]
    fn a_push_back_waits_as_told_and_a_definite_failure_ends_the_line() {
        let mut outbox = outbox(2, 1);
        write(&mut outbox, 1, 1, 0);
        let busy = r#"{"type":"error","id":1,"code":"rate_limited","retryable":true,"definite":true,"retry_after_ms":5}"#;
        assert!(outbox.refused(&frame(busy), 100).is_none());
        assert!(write(&mut outbox, 2, 1, 200).is_empty());
        assert_eq!(outbox.due_us(), Some(5_100));
        assert_eq!(write(&mut outbox, 3, 1, 5_100), ["line 0"]);
        let never = r#"{"type":"error","id":3,"code":"forbidden","retryable":false,"definite":true}"#;
        let said = outbox.refused(&frame(never), 5_200).unwrap();
        assert_eq!((said.outcome, said.attempts), (Outcome::Refused("forbidden".into()), 2));
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn silence_is_noticed() {
        let mut outbox = outbox(1, 1);
        write(&mut outbox, 1, 1, 100);
        assert!(!outbox.stalled(ANSWER_US));
        assert!(outbox.stalled(100 + ANSWER_US));
        assert_eq!(outbox.due_us(), Some(100 + ANSWER_US));
    }
}
