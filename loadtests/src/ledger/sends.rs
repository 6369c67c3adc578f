//! Compares sent lines with the final log: P1, P3 and the order of one sender's lines.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    Anomaly, Ledger,
    history::{Ack, History, Outcome, Said, What},
    log::Logs,
};
use crate::ids::{ConversationId, UserId};

pub(super) fn check(history: &History, logs: &Logs<'_>, ledger: &mut Ledger) {
    acks(history, logs, ledger);
    keys(history, ledger);
    texts(history, logs, ledger);
    order(history, ledger);
}

/// P1: what was acked is in the log, at the place the ack named.
fn acks(history: &History, logs: &Logs<'_>, ledger: &mut Ledger) {
    let mut taken: HashMap<(&ConversationId, u64), Uuid> = HashMap::new();
    for said in &history.said {
        let Outcome::Acked(ack) = &said.outcome else { continue };
        let name = format!("{} of {}", said.client_id, said.sender);
        if let Some(other) = taken.insert((&ack.conversation, ack.seq), said.client_id) {
            let text = format!("{name} and {other} were both acked at {}/{}", ack.conversation, ack.seq);
            ledger.add("P1", Anomaly::Lost, text);
            continue;
        }
        match logs.of(&ack.conversation).and_then(|log| log.at(ack.seq)) {
            None => {
                let text = format!("{name}, acked at {}/{}, is not in the log", ack.conversation, ack.seq);
                ledger.add("P1", Anomaly::Lost, text);
            }
            Some(event) => {
                let same = event.what == What::Message(said.body_hash)
                    && event.sender.as_ref() == Some(&said.sender);
                if !same {
                    let text =
                        format!("{name}, acked at {}/{}: another event is there", ack.conversation, ack.seq);
                    ledger.add("P1", Anomaly::Divergent, text);
                }
            }
        }
    }
}

/// P3 and P1 by key: a sender sees each of its keys at one place, the acked one, and never a refused one.
fn keys(history: &History, ledger: &mut Ledger) {
    let ended: HashMap<(&UserId, Uuid), &Outcome> =
        history.said.iter().map(|said| ((&said.sender, said.client_id), &said.outcome)).collect();
    for reader in &history.readers {
        let mut places: HashMap<Uuid, (&ConversationId, u64)> = HashMap::new();
        for own in &reader.own {
            let here = (&own.conversation, own.seq);
            let first = *places.entry(own.client_id).or_insert(here);
            let at = format!("{} of {} at {}/{}", own.client_id, reader.user, own.conversation, own.seq);
            if first != here {
                ledger.add("P3", Anomaly::Doubled, format!("{at} and also at {}/{}", first.0, first.1));
            }
            match ended.get(&(&reader.user, own.client_id)) {
                Some(Outcome::Acked(ack)) if (&ack.conversation, ack.seq) != here => {
                    let text = format!("{at} was acked at {}/{}", ack.conversation, ack.seq);
                    ledger.add("P1", Anomaly::Divergent, text);
                }
                Some(Outcome::Refused(code)) => {
                    ledger.add("P3", Anomaly::Phantom, format!("{at} was refused with {code}"));
                }
                None => ledger.add("P3", Anomaly::Phantom, format!("{at} was never said")),
                Some(Outcome::Acked(_) | Outcome::Unanswered) => {}
            }
        }
    }
}

/// P3 by text: the log holds no text of a sender more often than it may have been stored.
fn texts(history: &History, logs: &Logs<'_>, ledger: &mut Ledger) {
    let mut allowed: HashMap<(&UserId, u64), i64> = HashMap::new();
    for said in &history.said {
        let stored = i64::from(!matches!(said.outcome, Outcome::Refused(_)));
        *allowed.entry((&said.sender, said.body_hash)).or_default() += stored;
    }
    for (conversation, event) in logs.all() {
        let (Some(sender), What::Message(text)) = (&event.sender, &event.what) else { continue };
        let at = format!("the message of {sender} at {conversation}/{}", event.seq);
        match allowed.get_mut(&(sender, *text)) {
            None => ledger.add("P3", Anomaly::Phantom, format!("{at} was never said")),
            Some(left) if *left <= 0 => {
                ledger.add("P3", Anomaly::Doubled, format!("{at} is in the log more often than it was said"));
            }
            Some(left) => *left -= 1,
        }
    }
}

/// P2: lines written one after the other on one connection, each once, stand in that order.
fn order(history: &History, ledger: &mut Ledger) {
    let mut lines: Vec<(&Said, &Ack)> = history
        .said
        .iter()
        .filter_map(|said| match &said.outcome {
            Outcome::Acked(ack) if said.attempts == 1 => Some((said, ack)),
            _ => None,
        })
        .collect();
    lines.sort_by(|(a, in_a), (b, in_b)| {
        (&a.sender, &in_a.conversation, a.order).cmp(&(&b.sender, &in_b.conversation, b.order))
    });
    let mut told: HashSet<Uuid> = HashSet::new();
    for pair in lines.windows(2) {
        let [(a, before), (b, after)] = pair else { continue };
        let comparable =
            a.sender == b.sender && before.conversation == after.conversation && a.connection == b.connection;
        if comparable && before.seq > after.seq && told.insert(b.client_id) {
            let text = format!(
                "{} said {} before {}, yet they stand at {} and {} in {}",
                a.sender, a.client_id, b.client_id, before.seq, after.seq, after.conversation
            );
            ledger.add("P2", Anomaly::Reordered, text);
        }
    }
}
