//! `direct`: pairs of users who write to each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;

use crate::{
    client::{
        outbox::{Line, To},
        session,
        setup::{Command, Handle, Progress},
    },
    clock::{Clock, new_client_id},
    ids::UserId,
    latency,
    ledger::Ledger,
    pace::Pace,
    procfs,
    report::Report,
    services::Services,
    stage::{self, Servers, Stage},
};

/// Pairs of users send direct messages; every ack and delivery is proven
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Users, in pairs; each with one WebSocket
    #[arg(long, value_name = "N", default_value_t = 100)]
    users: usize,
    /// Messages a second over all users, on a schedule, or max
    #[arg(long, value_name = "R|max", default_value = "max")]
    rate: Pace,
    /// Unanswered sends of one user before it waits
    #[arg(long, value_name = "K", default_value_t = 4)]
    in_flight: usize,
    /// How long to send
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    secs: f64,
    /// Length of each message
    #[arg(long, value_name = "N", default_value_t = 100)]
    body_bytes: usize,
    /// Server processes whose CPU time per message to report
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// Directory of a cluster that `scripts/cluster` runs: report the CPU time of each of its services
    #[arg(long, value_name = "DIR")]
    cluster: Option<std::path::PathBuf>,
    /// How long the last sends and deliveries may take
    #[arg(long, value_name = "SECS", default_value_t = 15.0)]
    settle_s: f64,
}

/// Runs it. Fails when the set-up fails.
pub async fn run(args: &Args, servers: &Servers) -> Result<Report> {
    let users = args.users.next_multiple_of(2).max(2);
    stage::check_files(users)?;
    let stage = Stage::set(servers).await?;
    let accounts = stage.guests((0..users).map(|n| format!("user {n}")).collect()).await?;
    let rest = stage.rest()?;
    let pairs: Vec<_> =
        accounts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].user.clone())).collect();
    let readers: Vec<_> = pairs.iter().map(|(account, _)| account.clone()).collect();
    let conversations = stage
        .each("pairs", pairs, |(account, peer)| async move { rest.direct(&account, &peer).await })
        .await?;

    let sessions: Vec<Handle> = accounts
        .iter()
        .enumerate()
        .map(|(n, account)| {
            let name = format!("user {n}");
            Ok(session::spawn(stage.session(&name, account.clone(), n, args.in_flight)?))
        })
        .collect::<Result<_>>()?;
    let connected = |progress: &Progress| progress.connected.load(Relaxed);
    if !stage.await_count("connected", users as u64, Duration::from_secs(60), connected).await {
        bail!("only {} of {users} users could connect", connected(&stage.progress));
    }

    let services = Services::of(args.cluster.as_deref())?;
    let (cpu_before_us, used_before) = (procfs::cpu_us(&args.server_pid)?, services.used()?);
    let begun_us = stage.clock.now_us();
    let said = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = sessions
        .iter()
        .enumerate()
        .map(|(n, handle)| {
            let sender = Sender {
                number: n as u64,
                of: users as u64,
                to: accounts[n ^ 1].user.clone(),
                commands: handle.commands.clone(),
                pace: args.rate,
                clock: stage.clock,
                begun_us,
                until_us: begun_us + (args.secs * 1e6) as u64,
                body_bytes: args.body_bytes,
                said: said.clone(),
            };
            tokio::spawn(sender.run())
        })
        .collect();
    let sending = Duration::from_secs_f64(args.secs);
    // The count is not known in advance: this shows the pace until the time is up.
    stage.await_count("messages", u64::MAX, sending, |progress| progress.ended.load(Relaxed)).await;
    let took_us = stage.clock.now_us() - begun_us;
    let ended_in_time = stage.progress.ended.load(Relaxed);
    let (cpu_us, used) = (procfs::cpu_us(&args.server_pid)? - cpu_before_us, services.used()?);
    for sender in senders {
        sender.await.context("a sender's task failed")?;
    }
    let settle = Duration::from_secs_f64(args.settle_s);
    let planned = said.load(Relaxed);
    stage.await_count("last answers", planned, settle, |progress| progress.ended.load(Relaxed)).await;

    let due = conversations.iter().flat_map(|id| [vec![id.clone()], vec![id.clone()]]).collect();
    let to_read = readers.into_iter().zip(conversations).collect();
    let history = stage.finish(to_read, planned, sessions, due, settle).await?;
    let ledger = Ledger::judge(&history);
    let mut report = Report::new("direct");
    report.row("users", users);
    report.row("seconds", took_us as f64 / 1e6);
    report.row("acked sends/s", ended_in_time as f64 * 1e6 / took_us as f64);
    report.row("asked to slow down", stage.progress.pushed_back.load(Relaxed));
    report.row("connections lost", stage.progress.dropped.load(Relaxed));
    if !args.server_pid.is_empty() {
        report.row("server CPU us/message", cpu_us as f64 / ended_in_time.max(1) as f64);
    }
    services.rows(&used_before, &used, ended_in_time, "message", &mut report);
    for latency in latency::of_run(&history)? {
        report.latency(latency);
    }
    report.ledger(ledger);
    Ok(report)
}

struct Sender {
    number: u64,
    of: u64,
    to: UserId,
    commands: mpsc::Sender<Command>,
    pace: Pace,
    clock: Clock,
    begun_us: u64,
    until_us: u64,
    body_bytes: usize,
    said: Arc<AtomicU64>,
}

impl Sender {
    async fn run(self) {
        for n in 0.. {
            let intended_us =
                self.pace.due_us(n * self.of + self.number).map(|due_us| self.begun_us + due_us);
            if intended_us.unwrap_or_else(|| self.clock.now_us()) >= self.until_us {
                return;
            }
            if let Some(at_us) = intended_us {
                tokio::time::sleep_until(self.clock.instant(at_us)).await;
            }
            let body = body(n, self.body_bytes);
            let to = To::User(self.to.clone());
            let line = Line { to, client_id: new_client_id(), body, intended_us };
            if self.commands.send(Command::Say(line)).await.is_err() {
                return;
            }
            self.said.fetch_add(1, Relaxed);
        }
    }
}

/// A text of about `bytes` that is unlike the sender's others.
pub fn body(n: u64, bytes: usize) -> String {
    format!("{n:<bytes$}.")
}
