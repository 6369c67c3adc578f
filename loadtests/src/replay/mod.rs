//! `replay`: real conversations, sent again by clients for all their participants, while observers connect,
//! disconnect, stall and resume.

mod groups;
mod observer;
mod plan;

use std::{path::PathBuf, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Context, Result, bail};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use crate::{
    client::{
        outbox::{Line, To},
        session,
        setup::{Command, Handle, Progress},
    },
    clock::{Clock, new_client_id},
    ids::ConversationId,
    irc, latency,
    ledger::Ledger,
    report::Report,
    rest::Account,
    stage::{self, Servers, Stage},
    wire::Limits,
};
use plan::{Part, Planned, Speed};

/// Lead between the plan being made and its first line, so that nobody starts late.
const LEAD_US: u64 = 200_000;

/// Replay chat logs and prove the promises over what every client saw
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Chat logs with lines like `[HH:MM] <nick> text`; each becomes an open channel with its whole history
    /// readable, and each nickname an account with one WebSocket that is a member from the beginning
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// How much faster than the log: a factor like 200x, or max (as fast as answers come)
    #[arg(long, default_value = "200x")]
    speed: Speed,
    /// Clients that only read: they drop, stall, leave, come back and resume at random
    #[arg(long, value_name = "N", default_value_t = 5)]
    observers: usize,
    /// Clients that only read, and are put into groups and out of them while they are connected
    #[arg(long, value_name = "N", default_value_t = 4)]
    guests: usize,
    /// Seeds what observers do and when
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Make accounts with passwords, not guests: truer, and 50-100 ms of the server's CPU each
    #[arg(long)]
    accounts: bool,
    /// Unanswered sends of one speaker before it waits
    #[arg(long, value_name = "K", default_value_t = 4)]
    in_flight: usize,
    /// Use at most so many lines of each log
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    lines: usize,
    /// How long the last sends may stay unanswered, and then how long readers may take to catch up
    #[arg(long, value_name = "SECS", default_value_t = 30.0)]
    settle_s: f64,
}

/// Runs it. Fails when the set-up fails; what happens later is the ledger's to judge.
pub async fn run(args: &Args, servers: &Servers) -> Result<Report> {
    let logs: Vec<_> = args
        .files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            Ok(irc::parse(&String::from_utf8_lossy(&bytes)))
        })
        .collect::<Result<_>>()?;
    let stage = Stage::set(servers).await?;
    let owner = stage.rest()?.guest("owner").await?;
    let limits = probe(&stage, &owner).await?;
    let parts = plan::parts(&logs, args.speed, limits.body_bytes, args.lines);
    let total: u64 = parts.iter().map(|part| part.lines.len() as u64).sum();
    if total == 0 {
        bail!("no line like `[HH:MM] <nick> text` in the files given");
    }
    stage::check_files(parts.len() + args.observers + args.guests)?;
    let channels = channels(&stage, &owner, args).await?;
    let settle = Duration::from_secs_f64(args.settle_s);

    let names = parts.iter().map(|part| part.nick.clone()).collect();
    let speakers = if args.accounts { stage.accounts(names).await? } else { stage.guests(names).await? };
    let observers = stage.guests((0..args.observers).map(|n| format!("observer {n}")).collect()).await?;
    let guests = stage.guests((0..args.guests).map(|n| format!("guest {n}")).collect()).await?;
    let speaks_in: Vec<Vec<ConversationId>> = parts.iter().map(|part| spoken(part, &channels)).collect();
    let mut joins: Vec<(Account, ConversationId)> = Vec::new();
    for (speaker, channels) in speakers.iter().zip(&speaks_in) {
        joins.extend(channels.iter().map(|channel| (speaker.clone(), channel.clone())));
    }
    for observer in &observers {
        joins.extend(channels.iter().map(|channel| (observer.clone(), channel.clone())));
    }
    stage.join(joins).await?;

    let speaking: Vec<Handle> = parts
        .iter()
        .zip(speakers)
        .map(|(part, account)| Ok(session::spawn(stage.session(&part.nick, account, 0, args.in_flight)?)))
        .collect::<Result<_>>()?;
    let watching: Vec<Handle> = observers
        .into_iter()
        .enumerate()
        .map(|(n, account)| {
            // The first server is the speakers'; observers take turns on the others.
            let server = 1 + n % stage.dials.len().saturating_sub(1).max(1);
            Ok(session::spawn(stage.session(&format!("observer {n}"), account, server, 1)?))
        })
        .collect::<Result<_>>()?;
    let invited: Vec<Handle> = guests
        .iter()
        .enumerate()
        .map(|(n, account)| {
            Ok(session::spawn(stage.session(&format!("guest {n}"), account.clone(), n, 1)?))
        })
        .collect::<Result<_>>()?;
    let everybody = (speaking.len() + watching.len() + invited.len()) as u64;
    let connected = |progress: &Progress| progress.connected.load(Relaxed);
    if !stage.await_count("connected", everybody, Duration::from_secs(60), connected).await {
        bail!("only {} of {everybody} clients could connect", connected(&stage.progress));
    }

    let (calm, calmed) = watch::channel(false);
    let mut antics = Vec::new();
    for (n, handle) in watching.iter().enumerate() {
        let random = StdRng::seed_from_u64(args.seed.wrapping_add(n as u64));
        let rest = stage.rest()?.clone();
        let (account, commands) = (handle.account.clone(), handle.commands.clone());
        let life = observer::live(rest, account, channels.clone(), commands, random, calmed.clone());
        antics.push(tokio::spawn(life));
    }
    let people = guests.iter().map(|account| account.user.clone()).collect::<Vec<_>>();
    let changing = (people.len() >= 2).then(|| {
        let random = StdRng::seed_from_u64(args.seed.wrapping_add(1_000));
        tokio::spawn(groups::live(stage.rests.clone(), owner.clone(), people, random, calmed.clone()))
    });
    eprintln!("replaying {total} lines of {} speakers", speaking.len());
    let begun_us = stage.clock.now_us() + LEAD_US;
    let last_us = parts.iter().flat_map(|part| &part.lines).map(|line| line.at_us).max().unwrap_or_default();
    let scheduled = args.speed != Speed::Max;
    for (part, handle) in parts.into_iter().zip(&speaking) {
        let commands = handle.commands.clone();
        tokio::spawn(speak(part.lines, channels.clone(), commands, stage.clock, begun_us, scheduled));
    }
    let ended = |progress: &Progress| progress.ended.load(Relaxed);
    let patience = Duration::from_micros(last_us + LEAD_US) + settle + max_speed_allowance(args.speed, total);
    stage.await_count("lines", total, patience, ended).await;
    let took_us = stage.clock.now_us() - begun_us;

    calm.send_replace(true);
    let (mut drops, mut stalls, mut absences, mut failures) = (0, 0, 0, 0);
    for life in antics {
        let antics = life.await.context("an observer's task failed")?;
        drops += antics.drops;
        stalls += antics.stalls;
        absences += antics.absences;
        failures += antics.failures;
    }
    let changes = match changing {
        Some(changing) => changing.await.context("the groups' task failed")?,
        None => groups::Changes::default(),
    };
    let mut due = speaks_in;
    due.extend(watching.iter().map(|_| channels.clone()));
    let owner = stage.rest()?.refresh(&owner.refresh_token).await.unwrap_or(owner);
    for guest in &guests {
        let account = stage.rest()?.refresh(&guest.refresh_token).await.unwrap_or_else(|_| guest.clone());
        due.push(stage.rest()?.groups(&account).await?);
    }
    let groups = if guests.is_empty() { Vec::new() } else { stage.rest()?.groups(&owner).await? };
    let to_read =
        channels.iter().chain(&groups).map(|conversation| (owner.clone(), conversation.clone())).collect();
    let sessions: Vec<Handle> = speaking.into_iter().chain(watching).chain(invited).collect();
    let clients = sessions.len();
    let mut history = stage.finish(to_read, total, sessions, due, settle).await?;
    history.made_live.extend(groups);

    let ledger = Ledger::judge(&history);
    let mut report = Report::new("replay");
    report.row("channels", channels.len());
    report.row("clients", clients);
    report.row("seconds", took_us as f64 / 1e6);
    report.row("lines/s", ledger.acked as f64 * 1e6 / took_us as f64);
    report.row("observer drops", drops);
    report.row("observer stalls", stalls);
    report.row("observer absences", absences);
    report.row("observer failures", failures);
    report.row("groups made", changes.made);
    report.row("added to groups", changes.added);
    report.row("removed from groups", changes.removed);
    report.row("group failures", changes.failures);
    report.row("connections lost or dropped", stage.progress.dropped.load(Relaxed));
    report.row("handovers", stage.progress.handovers.load(Relaxed));
    report.row("lagging", stage.progress.lagging.load(Relaxed));
    report.row("asked to slow down", stage.progress.pushed_back.load(Relaxed));
    for latency in latency::of_run(&history)? {
        report.latency(latency);
    }
    report.ledger(ledger);
    Ok(report)
}

/// A short visit to learn what the server takes.
async fn probe(stage: &Stage, owner: &Account) -> Result<Limits> {
    let opened =
        crate::client::connection::Connection::open(stage.dial()?, &owner.access_token, &Default::default())
            .await;
    opened.map(|(_, welcome)| welcome.limits).context("no welcome from the server")
}

async fn channels(stage: &Stage, owner: &Account, args: &Args) -> Result<Vec<ConversationId>> {
    let mut channels = Vec::new();
    for file in &args.files {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        channels.push(stage.rest()?.channel(owner, &name).await?);
    }
    Ok(channels)
}

fn spoken(part: &Part, channels: &[ConversationId]) -> Vec<ConversationId> {
    let mut indices: Vec<usize> = part.lines.iter().map(|line| line.channel).collect();
    indices.sort_unstable();
    indices.dedup();
    indices.into_iter().filter_map(|index| channels.get(index).cloned()).collect()
}

/// At full speed nothing is scheduled, and the sends themselves take the time: one user may send 20 a second.
fn max_speed_allowance(speed: Speed, total: u64) -> Duration {
    if speed == Speed::Max { Duration::from_millis(total * 50) } else { Duration::ZERO }
}

async fn speak(
    lines: Vec<Planned>,
    channels: Vec<ConversationId>,
    commands: tokio::sync::mpsc::Sender<Command>,
    clock: Clock,
    begun_us: u64,
    scheduled: bool,
) {
    for line in lines {
        let planned_us = begun_us + line.at_us;
        tokio::time::sleep_until(clock.instant(planned_us)).await;
        let Some(channel) = channels.get(line.channel) else { continue };
        let to = To::Conversation(channel.clone());
        let intended_us = scheduled.then_some(planned_us);
        let line = Line { to, client_id: new_client_id(), body: line.text, intended_us };
        if commands.send(Command::Say(line)).await.is_err() {
            return;
        }
    }
}
