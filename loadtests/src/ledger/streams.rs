//! Compares one reader's streams with the final log: P2, P4, P5, P7.

use std::collections::HashSet;

use super::{
    Anomaly, Ledger,
    history::{Mark, Reader},
    log::{Log, Logs},
};
use crate::ids::ConversationId;

pub(super) fn check(
    reader: &Reader,
    made_live: &HashSet<ConversationId>,
    logs: &Logs<'_>,
    ledger: &mut Ledger,
) {
    for (conversation, marks) in &reader.streams {
        let mut walk = Walk::new(reader, conversation, logs.of(conversation));
        for mark in marks {
            walk.step(*mark, ledger);
        }
    }
    for conversation in &reader.due {
        // Who is put into a conversation while connected reads what was said before only when they open it.
        let joins = logs.of(conversation).filter(|_| made_live.contains(conversation));
        let from = joins.and_then(|log| log.joins(&reader.user).into_iter().max()).unwrap_or(1);
        missed(reader, conversation, from, logs, ledger);
    }
}

/// P4: who was added to one of these conversations while connected was pushed that.
pub(super) fn told(
    reader: &Reader,
    made_live: &HashSet<ConversationId>,
    logs: &Logs<'_>,
    ledger: &mut Ledger,
) {
    // Who is no member in the end may have stopped listening before they were added.
    let due = reader.due.iter().filter(|conversation| reader.steady && made_live.contains(*conversation));
    for conversation in due {
        let marks = reader.streams.get(conversation).map(Vec::as_slice).unwrap_or_default();
        let live =
            |wanted: u64| marks.iter().any(|mark| matches!(mark, Mark::Live { seq, .. } if *seq == wanted));
        let joins = logs.of(conversation).map(|log| log.joins(&reader.user)).unwrap_or_default();
        for seq in joins.into_iter().filter(|seq| !live(*seq)) {
            let text = format!("{} was not told live of {conversation}/{seq}, which added them", reader.name);
            ledger.add("P4", Anomaly::Unannounced, text);
        }
    }
}

/// P5: everything the log holds from `from` on, the reader holds.
fn missed(reader: &Reader, conversation: &ConversationId, from: u64, logs: &Logs<'_>, ledger: &mut Ledger) {
    let marks = reader.streams.get(conversation).map(Vec::as_slice).unwrap_or_default();
    let held: HashSet<u64> = marks
        .iter()
        .filter_map(|mark| match mark {
            Mark::Live { seq, .. } | Mark::Synced { seq, .. } => Some(*seq),
            Mark::Announced { .. } | Mark::Skipped { .. } => None,
        })
        .collect();
    let last_seq = logs.of(conversation).map_or(0, |log| log.last_seq);
    let skipped = marks.iter().filter_map(|mark| match mark {
        Mark::Skipped { upto } => Some(*upto),
        _ => None,
    });
    let first_seq = from.max(skipped.max().unwrap_or(0) + 1);
    for seq in (first_seq..=last_seq).filter(|seq| !held.contains(seq)) {
        ledger.add("P5", Anomaly::Missed, format!("{} never got {conversation}/{seq}", reader.name));
    }
}

struct Walk<'a> {
    reader: &'a Reader,
    conversation: &'a ConversationId,
    log: Option<&'a Log<'a>>,
    seen: HashSet<u64>,
    highest: u64,
    connection: Option<u32>,
    last_live: u64,
    announced: u64,
    last_synced: (u64, u64),
}

impl<'a> Walk<'a> {
    fn new(reader: &'a Reader, conversation: &'a ConversationId, log: Option<&'a Log<'a>>) -> Self {
        Self {
            reader,
            conversation,
            log,
            seen: HashSet::new(),
            highest: 0,
            connection: None,
            last_live: 0,
            announced: 0,
            last_synced: (0, 0),
        }
    }

    fn step(&mut self, mark: Mark, ledger: &mut Ledger) {
        match mark {
            Mark::Skipped { upto } => self.highest = self.highest.max(upto),
            Mark::Announced { connection, last_seq } => {
                self.on(connection);
                self.announced = self.announced.max(last_seq);
            }
            Mark::Live { connection, seq, identity, .. } => {
                self.on(connection);
                self.live(seq, ledger);
                self.saw(seq, identity, ledger);
                self.last_live = self.last_live.max(seq);
            }
            Mark::Synced { request, seq, identity } => {
                self.synced(request, seq, ledger);
                self.saw(seq, identity, ledger);
            }
        }
    }

    fn on(&mut self, connection: u32) {
        if self.connection != Some(connection) {
            self.connection = Some(connection);
            (self.last_live, self.announced) = (0, 0);
        }
    }

    fn live(&mut self, seq: u64, ledger: &mut Ledger) {
        if self.seen.contains(&seq) {
            self.tell("P4", Anomaly::Doubled, seq, "came live though it was there already", ledger);
        } else if seq < self.last_live {
            self.tell("P4", Anomaly::Reordered, seq, &format!("came live after {}", self.last_live), ledger);
        }
        let before = self.highest.max(self.announced);
        let user = &self.reader.user;
        let begins = self.log.is_some_and(|log| log.begins(user, seq));
        let unexplained =
            !begins && (before + 1..seq).any(|lacked| !self.log.is_some_and(|log| log.excused(user, lacked)));
        if unexplained {
            self.tell("P4", Anomaly::Gap, seq, &format!("came live after {before}"), ledger);
        }
        if self.log.is_some_and(|log| log.absent(user, seq)) {
            self.tell("P7", Anomaly::Leaked, seq, "was pushed to one who was no member then", ledger);
        }
    }

    fn synced(&mut self, request: u64, seq: u64, ledger: &mut Ledger) {
        if self.seen.contains(&seq) {
            self.tell("P4", Anomaly::Doubled, seq, "was synced though it was there already", ledger);
        } else if self.last_synced.0 == request && seq < self.last_synced.1 {
            self.tell(
                "P4",
                Anomaly::Reordered,
                seq,
                &format!("was synced after {}", self.last_synced.1),
                ledger,
            );
        }
        self.last_synced = (request, seq);
    }

    fn saw(&mut self, seq: u64, identity: u64, ledger: &mut Ledger) {
        self.seen.insert(seq);
        self.highest = self.highest.max(seq);
        match self.log.and_then(|log| log.at(seq)) {
            None => self.tell("P2", Anomaly::Phantom, seq, "is not in the final log", ledger),
            Some(event) if event.identity != identity => {
                self.tell("P2", Anomaly::Divergent, seq, "differs from the final log", ledger);
            }
            Some(_) => {}
        }
    }

    fn tell(&self, promise: &'static str, anomaly: Anomaly, seq: u64, what: &str, ledger: &mut Ledger) {
        ledger.add(promise, anomaly, format!("{}: {}/{seq} {what}", self.reader.name, self.conversation));
    }
}
