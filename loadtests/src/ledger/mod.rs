//! The ledger: compares what clients sent and received with the final log, and says which promises were kept.
//! Pure.
//!
//! | promise | broken by |
//! |---|---|
//! | P1 durable ack | `lost`: acked and not in the log. `divergent`: in it at another place |
//! | P2 one order | `gaps` in the final log, `divergent` readers or servers, `reordered` lines of one sender |
//! | P3 idempotent send | `doubled` in the log, two acks that differ, `phantom`: in the log though never said or refused |
//! | P4 in order, once | `gaps`, `reordered`, `doubled` in a live stream |
//! | P4 told | `unannounced`: added to a conversation while connected, and not told live |
//! | P5 resume | `missed`: a reader that caught up for as long as it liked lacks an event |
//! | P7 private | `leaked`: pushed to someone who was not a member at that point of the order |
//! | liveness | `refused`, `unanswered` sends; `vacuous`: nothing acked or nothing delivered, so nothing was proven |

pub mod history;
mod log;
mod sends;
mod streams;
#[cfg(test)]
mod tests;

use serde::Serialize;

use history::{History, Mark, Outcome};
use log::Logs;

/// How many findings are spelled out; the counts are complete.
const SPELLED_OUT: usize = 50;

/// The kinds of broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// Acked, yet not in the log.
    Lost,
    /// In the log, yet a reader that should hold it does not.
    Missed,
    /// One line twice in the log, or one event twice in a reader's stream.
    Doubled,
    /// Out of order.
    Reordered,
    /// A hole in the log, or an unannounced one in a live stream.
    Gap,
    /// Two views disagree about a seq.
    Divergent,
    /// In the log or a stream though nobody said it.
    Phantom,
    /// Added to a conversation while connected, and not told live.
    Unannounced,
    /// Pushed to someone who was not a member.
    Leaked,
    /// A send that was refused for good.
    Refused,
    /// A send that never got an answer.
    Unanswered,
    /// Nothing was acked or nothing was delivered.
    Vacuous,
}

/// One broken promise, in words.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which promise: `P1` … `P7`, or `liveness`.
    pub promise: &'static str,
    /// What kind of break.
    pub anomaly: Anomaly,
    /// Who, where and what.
    pub text: String,
}

/// The verdict over one run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ledger {
    /// Lines said.
    pub sent: u64,
    /// Lines acknowledged.
    pub acked: u64,
    /// Attempts beyond the first, after a lost connection or a push-back.
    pub repeated: u64,
    /// Events that reached a reader, live and by `sync`.
    pub delivered: u64,
    /// Of these, by `sync`.
    pub synced: u64,
    /// See [`Anomaly::Lost`].
    pub lost: u64,
    /// See [`Anomaly::Missed`].
    pub missed: u64,
    /// See [`Anomaly::Doubled`].
    pub doubled: u64,
    /// See [`Anomaly::Reordered`].
    pub reordered: u64,
    /// See [`Anomaly::Gap`].
    pub gaps: u64,
    /// See [`Anomaly::Divergent`].
    pub divergent: u64,
    /// See [`Anomaly::Phantom`].
    pub phantom: u64,
    /// See [`Anomaly::Unannounced`].
    pub unannounced: u64,
    /// See [`Anomaly::Leaked`].
    pub leaked: u64,
    /// See [`Anomaly::Refused`].
    pub refused: u64,
    /// See [`Anomaly::Unanswered`].
    pub unanswered: u64,
    /// See [`Anomaly::Vacuous`].
    pub vacuous: bool,
    /// The first findings, spelled out.
    pub findings: Vec<Finding>,
}

impl Ledger {
    /// Judges a run.
    pub fn judge(history: &History) -> Self {
        let mut ledger = Self::default();
        ledger.count(history);
        let logs = Logs::index(history, &mut ledger);
        sends::check(history, &logs, &mut ledger);
        for reader in &history.readers {
            streams::check(reader, &history.made_live, &logs, &mut ledger);
            streams::told(reader, &history.made_live, &logs, &mut ledger);
        }
        if ledger.acked == 0 || ledger.delivered == 0 {
            ledger.vacuous = true;
            let text = format!("{} acks and {} deliveries prove nothing", ledger.acked, ledger.delivered);
            ledger.add("liveness", Anomaly::Vacuous, text);
        }
        ledger
    }

    /// Every promise held, and there was something to hold it to.
    pub fn clean(&self) -> bool {
        !self.vacuous && self.anomalies().iter().all(|(_, count)| *count == 0)
    }

    /// Every kind of anomaly and how often it was found.
    pub fn anomalies(&self) -> [(&'static str, u64); 11] {
        [
            ("lost", self.lost),
            ("missed", self.missed),
            ("doubled", self.doubled),
            ("reordered", self.reordered),
            ("gaps", self.gaps),
            ("divergent", self.divergent),
            ("phantom", self.phantom),
            ("unannounced", self.unannounced),
            ("leaked", self.leaked),
            ("refused", self.refused),
            ("unanswered", self.unanswered),
        ]
    }

    fn count(&mut self, history: &History) {
        for said in &history.said {
            self.sent += 1;
            self.repeated += u64::from(said.attempts.saturating_sub(1));
            match &said.outcome {
                Outcome::Acked(_) => self.acked += 1,
                Outcome::Refused(code) => {
                    let text = format!("{} of {} was refused: {code}", said.client_id, said.sender);
                    self.add("liveness", Anomaly::Refused, text);
                }
                Outcome::Unanswered => {
                    let text = format!(
                        "{} of {} has no answer after {} attempts",
                        said.client_id, said.sender, said.attempts
                    );
                    self.add("liveness", Anomaly::Unanswered, text);
                }
            }
        }
        for _ in self.sent..history.planned {
            let text = "a line of the plan was never written".to_owned();
            self.add("liveness", Anomaly::Unanswered, text);
        }
        for mark in history.readers.iter().flat_map(|reader| reader.streams.values()).flatten() {
            self.delivered += u64::from(matches!(mark, Mark::Live { .. } | Mark::Synced { .. }));
            self.synced += u64::from(matches!(mark, Mark::Synced { .. }));
        }
    }

    fn add(&mut self, promise: &'static str, anomaly: Anomaly, text: String) {
        match anomaly {
            Anomaly::Lost => self.lost += 1,
            Anomaly::Missed => self.missed += 1,
            Anomaly::Doubled => self.doubled += 1,
            Anomaly::Reordered => self.reordered += 1,
            Anomaly::Gap => self.gaps += 1,
            Anomaly::Divergent => self.divergent += 1,
            Anomaly::Phantom => self.phantom += 1,
            Anomaly::Unannounced => self.unannounced += 1,
            Anomaly::Leaked => self.leaked += 1,
            Anomaly::Refused => self.refused += 1,
            Anomaly::Unanswered => self.unanswered += 1,
            Anomaly::Vacuous => {}
        }
        if self.findings.len() < SPELLED_OUT {
            self.findings.push(Finding { promise, anomaly, text });
        }
    }
}
