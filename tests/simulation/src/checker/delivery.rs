//! P4, P6 and P8: a device that is connected and reads is sent every event of its conversations soon after it
//! is known to be committed, and long before the server compares the log with what the connection was sent.
//!
//! An event is sent when it is pushed or heads count it. How soon depends on the faults: see
//! [`super::troubles`]. This is not expected of connections that are lagging, that end before the deadline,
//! or whose user leaves before it. That the user left is also said by heads that name every conversation and
//! not this one: those of a `hello` without a cursor ("all of them without a cursor"), and those with `reset`
//! ("drop … the conversations that were not named", docs/PROTOCOL.md, 1.4).

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use super::facts::Stay;
use super::transcript::Socket;

/// The seqs that a connection was sent of one conversation, in order, each with its time.
type Told<'r> = BTreeMap<&'r str, Vec<(usize, u64)>>;

/// A connection as far as this check needs it.
pub(super) struct Line<'r> {
    device: usize,
    process: usize,
    pub user: &'r str,
    /// The entry with which live events began.
    pub live: usize,
    /// When it was over, in milliseconds.
    pub over_ms: u64,
    pub told: Told<'r>,
    /// The conversations that heads said were left, and the entries.
    gone: Vec<(&'r str, usize)>,
    /// The conversations that heads named which name all, and the entry of the last of these heads.
    named: Vec<(BTreeSet<&'r str>, usize)>,
    /// From `lagging` to the last of the heads that follow.
    pub lags: Vec<(u64, u64)>,
}

pub(super) fn check(run: &mut Run<'_>) {
    let mut wrong = Vec::new();
    let lines: Vec<Line<'_>> = run
        .transcript
        .sockets
        .values()
        .filter(|socket| !run.is_hostile(socket.device))
        .filter_map(|socket| line(run, socket))
        .collect();
    for (conversation, events) in &run.log.events {
        if run.log.deleted.contains(conversation) {
            continue;
        }
        for seq in events.keys() {
            let Some(known) = run.facts.known(conversation, *seq) else { continue };
            for line in &lines {
                if line.live >= known.entry || run.log.erased.contains(line.user) {
                    continue;
                }
                let stays = run.facts.stays(conversation, line.user);
                let Some(stay) = stays.iter().find(|stay| stay.joined <= *seq && *seq <= stay.left) else {
                    continue;
                };
                // An earlier connection was told that the user had left.
                let gone = lines.iter().any(|other| {
                    other.user == line.user
                        && other.gone.iter().any(|(id, at)| id == conversation && *at < line.live)
                });
                let due_ms = run.troubles.delivered_by(known.at_ms, line.process, line.device);
                if stay.left == *seq && (gone || line.leaves_out(run, conversation, stay.joined, due_ms)) {
                    continue;
                }
                let lagged = line.lags.iter().any(|(from, to)| *from <= due_ms && known.at_ms <= *to);
                if due_ms >= line.over_ms || lagged || leaves(run, conversation, *stay, *seq, due_ms) {
                    continue;
                }
                let told = line.told.get(conversation.as_str()).into_iter().flatten();
                let first = told.into_iter().find(|(_, upto)| upto >= seq).map(|(entry, _)| *entry);
                let first_ms = first.map(|entry| run.transcript.at_ms(entry));
                if first_ms.is_some_and(|at_ms| at_ms <= due_ms) {
                    continue;
                }
                let when =
                    first_ms.map_or("never".to_owned(), |at_ms| format!("{} ms later", at_ms - known.at_ms));
                let promise = if run.troubles.bus_is_bad(known.at_ms, due_ms) { "P8" } else { "P6" };
                let text = format!(
                    "device {} is connected and reads, and was told of event {seq} of {conversation} {when}, where {} ms are enough",
                    line.device,
                    due_ms - known.at_ms
                );
                let entries = [Some(line.live), Some(known.entry), first].into_iter().flatten().collect();
                wrong.push((promise, text, entries, conversation.clone()));
            }
        }
    }
    for (promise, text, entries, conversation) in wrong {
        run.broken(promise, text, entries, Some(&conversation));
    }
}

impl Line<'_> {
    /// Whether heads said by a moment, by leaving it out, that the user is no longer in a conversation.
    fn leaves_out(&self, run: &Run<'_>, conversation: &str, joined: u64, due_ms: u64) -> bool {
        let joined = run.facts.known(conversation, joined);
        self.named.iter().any(|(names, at)| {
            run.transcript.at_ms(*at) <= due_ms
                && joined.is_none_or(|joined| joined.entry < *at)
                && !names.contains(conversation)
        })
    }
}

/// Whether the user may have left by then.
fn leaves(run: &Run<'_>, conversation: &str, stay: Stay, seq: u64, due_ms: u64) -> bool {
    stay.left != u64::MAX
        && seq != stay.left
        && run.facts.known(conversation, stay.left).is_none_or(|left| left.at_ms <= due_ms)
}

/// A connection; `None` if it was not welcomed.
pub(super) fn line<'r>(run: &'r Run<'_>, socket: &'r Socket) -> Option<Line<'r>> {
    let transcript = &run.transcript;
    let mut line = Line {
        device: socket.device,
        process: socket.process,
        user: socket.user.as_deref()?,
        live: usize::MAX,
        over_ms: run.over_ms(socket),
        told: BTreeMap::new(),
        gone: Vec::new(),
        named: Vec::new(),
        lags: Vec::new(),
    };
    let hello = socket.frames.first().and_then(|(entry, _)| transcript.frame(*entry));
    let mut all: Option<BTreeSet<&str>> =
        hello.is_some_and(|hello| hello["cursor"].is_null()).then(BTreeSet::new);
    for (entry, was_sent) in &socket.frames {
        let Some(frame) = transcript.frame(*entry).filter(|_| !was_sent) else { continue };
        match frame["type"].as_str().unwrap_or_default() {
            "welcome" | "heads" => {
                if frame["reset"] == true {
                    all = Some(BTreeSet::new());
                }
                for head in frame["heads"].as_array().into_iter().flatten() {
                    let Some(conversation) = head["conversation"].as_str() else { continue };
                    if let Some(all) = &mut all {
                        all.insert(conversation);
                    }
                    if head["left"] == true {
                        line.gone.push((conversation, *entry));
                    }
                    let upto = head["last_seq"].as_u64().unwrap_or(u64::MAX);
                    line.told.entry(conversation).or_default().push((*entry, upto));
                }
                if frame["cursor"].is_string() {
                    line.named.extend(all.take().map(|all| (all, *entry)));
                    line.live = line.live.min(*entry);
                    if let Some(lag) = line.lags.last_mut().filter(|(_, to)| *to == u64::MAX) {
                        lag.1 = transcript.at_ms(*entry);
                    }
                }
            }
            "lagging" => line.lags.push((transcript.at_ms(*entry), u64::MAX)),
            "event" => {
                if let (Some(conversation), Some(seq)) =
                    (frame["conversation"].as_str(), frame["seq"].as_u64())
                {
                    line.told.entry(conversation).or_default().push((*entry, seq));
                }
            }
            _ => {}
        }
    }
    (line.live != usize::MAX).then_some(line)
}
