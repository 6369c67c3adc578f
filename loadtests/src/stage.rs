//! What every subcommand shares: the servers under test, accounts made with bounded concurrency, the final
//! read of the log, and the bars on stderr.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    client::{
        connection::Dial,
        setup::{Goal, Handle, Progress, Seen, Setup},
    },
    clock::Clock,
    ids::ConversationId,
    ledger::history::{History, LogCopy, Logged, What},
    procfs,
    rest::{Account, Rest},
    wire::{Encoding, Event},
};

/// Local ports one source address can offer, with room for others on the machine.
const PORTS_EACH: usize = 20_000;
/// Files a run needs beside its connections.
const SPARE_FILES: usize = 200;

/// The servers under test; the same for every subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Servers {
    /// The server under test
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", global = true)]
    pub target: String,
    /// Several servers of one deployment: speakers on the first, observers on the others
    #[arg(long, value_name = "URL,URL", value_delimiter = ',', global = true)]
    pub targets: Vec<String>,
    /// Subprotocol of the WebSockets
    #[arg(long, value_enum, default_value = "json", global = true)]
    pub encoding: Encoding,
    /// Accounts and joins in flight at once while setting up
    #[arg(long, value_name = "N", default_value_t = 32, global = true)]
    pub setup_concurrency: usize,
}

/// A run's surroundings.
#[derive(Debug)]
pub struct Stage {
    /// One REST client a server, the first for everything but the final read.
    pub rests: Vec<Rest>,
    /// One dial a server.
    pub dials: Vec<Dial>,
    /// The time line.
    pub clock: Clock,
    /// The counters.
    pub progress: Arc<Progress>,
    concurrency: usize,
}

impl Stage {
    /// Resolves the servers. Fails when one has no address.
    pub async fn set(servers: &Servers) -> Result<Self> {
        let bases = if servers.targets.is_empty() {
            std::slice::from_ref(&servers.target)
        } else {
            servers.targets.as_slice()
        };
        let mut rests = Vec::new();
        let mut dials = Vec::new();
        for base in bases {
            rests.push(Rest::new(base)?);
            dials.push(Dial::resolve(base, servers.encoding).await?);
        }
        Ok(Self {
            rests,
            dials,
            clock: Clock::start(),
            progress: Arc::default(),
            concurrency: servers.setup_concurrency.max(1),
        })
    }

    /// The REST client for set-up.
    pub fn rest(&self) -> Result<&Rest> {
        self.rests.first().context("no server given")
    }

    /// The dial for plain connections.
    pub fn dial(&self) -> Result<&Dial> {
        self.dials.first().context("no server given")
    }

    /// Makes one guest a name, in the order of the names.
    pub async fn guests(&self, names: Vec<String>) -> Result<Vec<Account>> {
        let rest = self.rest()?;
        self.each("guests", names, |name| async move { rest.guest(&name).await }).await
    }

    /// Makes one account with a password a name.
    pub async fn accounts(&self, names: Vec<String>) -> Result<Vec<Account>> {
        let rest = self.rest()?;
        let run = format!("{:08x}", rand::random::<u32>());
        let run = run.as_str();
        let names = names.into_iter().enumerate().collect();
        let make =
            |(n, name): (usize, String)| async move { rest.account(&format!("lt{run}{n}"), &name).await };
        self.each("accounts", names, make).await
    }

    /// Lets every account join a conversation.
    pub async fn join(&self, who: Vec<(Account, ConversationId)>) -> Result<()> {
        let rest = self.rest()?;
        self.each("joins", who, |(account, to)| async move { rest.join(&account, &to).await }).await.map(drop)
    }

    /// Does something for each item, `concurrency` at a time, with a bar; results in the order of the items.
    pub async fn each<I, T, F, W>(&self, what: &str, items: Vec<I>, work: F) -> Result<Vec<T>>
    where
        F: Fn(I) -> W,
        W: Future<Output = Result<T>>,
    {
        let bar = bar(what, items.len() as u64);
        let done = stream::iter(items)
            .map(work)
            .buffered(self.concurrency)
            .inspect_ok(|_| bar.inc(1))
            .try_collect()
            .await
            .with_context(|| format!("setting up {what}"));
        bar.finish_and_clear();
        done
    }

    /// What a session of `account` needs. `first` picks the preferred server; the others follow for when it
    /// is away.
    pub fn session(&self, name: &str, account: Account, first: usize, window: usize) -> Result<Setup> {
        let mut dials = self.dials.clone();
        let count = dials.len().max(1);
        dials.rotate_left(first % count);
        Ok(Setup {
            name: name.to_owned(),
            account,
            dials,
            rest: self.rest()?.clone(),
            window,
            clock: self.clock,
            progress: self.progress.clone(),
            seed: rand::random(),
            from_now: false,
        })
    }

    /// Waits until `count` says at least `wanted`, showing it. Returns whether it came to that within
    /// `at_most`.
    pub async fn await_count(
        &self,
        what: &str,
        wanted: u64,
        at_most: Duration,
        count: impl Fn(&Progress) -> u64,
    ) -> bool {
        let bar = bar(what, wanted);
        let deadline_us = self.clock.now_us() + at_most.as_micros() as u64;
        let reached = loop {
            let now = count(&self.progress);
            bar.set_position(now);
            bar.set_message(format!(
                "{} delivered, {} connections, {} dropped",
                self.progress.delivered.load(Relaxed),
                self.progress.connected.load(Relaxed),
                self.progress.dropped.load(Relaxed)
            ));
            if now >= wanted {
                break true;
            }
            if self.clock.now_us() >= deadline_us {
                break false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        bar.finish_and_clear();
        reached
    }

    /// Reads the final logs from every server, then gives the sessions up to `settle` to hold all of it.
    /// `due` names each session's conversations, in the sessions' order.
    pub async fn finish(
        &self,
        logs: Vec<(Account, ConversationId)>,
        planned: u64,
        sessions: Vec<Handle>,
        due: Vec<Vec<ConversationId>>,
        settle: Duration,
    ) -> Result<History> {
        // The first account of a new server owns it and hears of it, though the run has no part in it.
        let not_ours = self.rests[0].default_conversation().await?;
        let mut history = History { logs: self.read_logs(logs).await?, planned, ..History::default() };
        let mut last_seqs: HashMap<ConversationId, u64> = HashMap::new();
        for copy in &history.logs {
            let last = copy.events.last().map_or(0, |event| event.seq);
            let known = last_seqs.entry(copy.conversation.clone()).or_default();
            *known = last.max(*known);
        }
        let deadline_us = self.clock.now_us() + settle.as_micros() as u64;
        let bar = bar("catching up", sessions.len() as u64);
        let mut tasks = Vec::new();
        for (handle, due) in sessions.into_iter().zip(due) {
            let wanted: HashSet<&ConversationId> = due.iter().collect();
            let last_seqs = last_seqs.iter().filter(|(id, _)| wanted.contains(id));
            let last_seqs = last_seqs.map(|(id, last)| (id.clone(), *last)).collect();
            let goal = Goal { last_seqs, deadline_us };
            handle.finish.send_replace(Some(Arc::new(goal)));
            tasks.push((handle, due));
        }
        for (handle, due) in tasks {
            let Seen { mut reader, said } = handle.task.await.context("a session's task failed")?;
            reader.due = due;
            reader.streams.retain(|conversation, _| not_ours.as_ref() != Some(conversation));
            history.readers.push(reader);
            history.said.extend(said);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(history)
    }

    async fn read_logs(&self, logs: Vec<(Account, ConversationId)>) -> Result<Vec<LogCopy>> {
        let asked: Vec<_> = self
            .rests
            .iter()
            .flat_map(|rest| logs.iter().map(move |(reader, conversation)| (rest, reader, conversation)))
            .collect();
        self.each("logs", asked, |(rest, reader, conversation)| async move {
            let events = rest.log(reader, conversation).await?;
            let events = events.iter().map(logged).collect();
            Ok(LogCopy { server: rest.base().to_owned(), conversation: conversation.clone(), events })
        })
        .await
    }
}

fn logged(event: &Event) -> Logged {
    let what = match (event.kind.as_str(), event.body_hash(), event.member()) {
        (_, Some(hash), _) => What::Message(hash),
        ("member_joined", _, Some(user)) => What::Joined(user),
        ("member_left", _, Some(user)) => What::Left(user),
        _ => What::Other,
    };
    Logged { seq: event.seq, sender: event.sender.clone(), identity: event.identity(), what }
}

/// The local address for connection number `n`: one loopback address has too few ports for very many.
pub fn source(dial: &Dial, n: usize, total: usize) -> Option<IpAddr> {
    let spread = dial.address.ip().is_loopback() && dial.address.is_ipv4() && total > PORTS_EACH;
    spread.then(|| IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + (n / (total / 8 + 1)) as u8)))
}

/// Fails when this process may not hold so many connections at once.
pub fn check_files(connections: usize) -> Result<()> {
    let limit = procfs::file_limit()?;
    if (connections + SPARE_FILES) as u64 > limit {
        bail!(
            "{connections} connections need {} open files, the limit is {limit}",
            connections + SPARE_FILES
        );
    }
    Ok(())
}

/// A bar on stderr; nothing when stderr is no terminal.
pub fn bar(what: &str, len: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:>14} {bar:30} {human_pos}/{human_len} {elapsed} {msg}")
    {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

/// Waits until nothing is delivered any more and the servers are all but idle for half a second. Returns
/// whether it came to that within half a minute.
pub async fn quiet(stage: &Stage, pids: &[u32]) -> Result<bool> {
    const LOOK: Duration = Duration::from_millis(500);
    /// Five per cent of one core.
    const IDLE_US: u64 = 25_000;
    let bar = bar("quiet", 1);
    for _ in 0..60 {
        let before = (procfs::cpu_us(pids)?, stage.progress.delivered.load(Relaxed));
        tokio::time::sleep(LOOK).await;
        let after = (procfs::cpu_us(pids)?, stage.progress.delivered.load(Relaxed));
        if after.0 - before.0 <= IDLE_US && after.1 == before.1 {
            bar.finish_and_clear();
            return Ok(true);
        }
    }
    bar.finish_and_clear();
    Ok(false)
}
