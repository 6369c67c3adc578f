//! `hostile`: honest people beside attackers.
//!
//! Two people write to each other. One kind of attacker of [`catalogue`] after the other attacks the server,
//! alone and with many at once, each at its own bounded rate, and all of them together with half a core at
//! most. The pair may not notice: its messages arrive in time, nothing of it is refused, and the server needs
//! no more memory than its budget.

mod catalogue;
mod drive;
mod gang;
mod meter;
mod pair;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Result, bail};
use serde::Serialize;
use tokio::task::JoinSet;

use self::catalogue::{ATTACKERS, Attacker};
use self::drive::Deeds;
use self::gang::Member;
use self::meter::Meter;
use self::pair::{Honest, Pair};
use crate::{
    latency::Latency,
    report::Report,
    stage::{self, Servers, Stage},
};

/// Attacks a server in many ways, beside two honest people who may not notice
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long each attack takes
    #[arg(long, value_name = "SECS", default_value_t = 60.0)]
    seconds: f64,
    /// Attackers at once, in the second run of each attack; 1: only the first
    #[arg(long, value_name = "N", default_value_t = 20)]
    crowd: usize,
    /// Only these attacks; otherwise all
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Only the runs with many attackers
    #[arg(long)]
    only_crowds: bool,
    /// The server's processes, whose memory is measured
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// How far the server's memory may grow, in MiB: its server.queued_bytes, by default
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    budget_mib: u64,
    /// The longest 99th percentile of the honest pair's messages
    #[arg(long, value_name = "MS", default_value_t = 250.0)]
    pair_p99_ms: f64,
    /// The target is not on this machine, and is yours to attack
    #[arg(long)]
    attack_another_machine: bool,
    /// Print the catalogue, and attack nobody
    #[arg(long)]
    list: bool,
}

/// One attack.
#[derive(Debug, Serialize)]
struct Row {
    attack: &'static str,
    attackers: usize,
    /// Actions in all.
    actions: u64,
    /// Actions that the server did not take.
    not_taken: u64,
    p50_ms: f64,
    p99_ms: f64,
    ack_p99_ms: f64,
    calls_p99_ms: f64,
    refused: u64,
    why: Option<String>,
    rss_mib: f64,
    /// This process's share of a core.
    own_share: f64,
    held: bool,
}

const COLUMNS: &[&str] = &[
    "attack",
    "n",
    "actions",
    "not taken",
    "p50 ms",
    "p99 ms",
    "call p99",
    "refused",
    "RSS +MiB",
    "core",
    "",
];
/// Between two attacks, until what the last one left has gone.
const PAUSE: Duration = Duration::from_millis(500);
/// Tokens are renewed after so many seconds: access tokens live for 900 by default.
const TOKENS_S: u64 = 400;

/// Runs it. Fails when the target is another machine's without a word, or when the set-up fails.
pub async fn run(args: &Args, servers: &Servers) -> Result<Report> {
    let mut report = Report::new("hostile");
    if args.list {
        for attacker in ATTACKERS {
            report.row(attacker.name, format!("{}/s", attacker.per_second));
        }
        return Ok(report);
    }
    let chosen: Vec<Attacker> = ATTACKERS.iter().filter(|one| is_chosen(one, args)).copied().collect();
    if let Some(unknown) = args.only.iter().find(|name| ATTACKERS.iter().all(|one| one.name != **name)) {
        bail!("there is no attack {unknown}; --list names them");
    }
    let stage = Stage::set(servers).await?;
    let dial = stage.dial()?;
    if !dial.address.ip().is_loopback() && !args.attack_another_machine {
        bail!("{} is another machine: name it with --attack-another-machine if it is yours", dial.base);
    }
    let mut pair = Pair::meet(stage.rest()?.base(), dial, stage.clock).await?;
    let mut gang = gang::gather(stage.rest()?.base(), pair.server(), args.crowd, pair.users()).await?;
    stage::quiet(&stage, &args.server_pid).await?;
    let quiet = attack(None, &[], &pair, args, &stage).await?;
    let (mut alone, mut crowded) = (Latency::new("one attacker")?, Latency::new("many attackers")?);
    let mut rows = Vec::new();
    let bar = stage::bar("hostile", chosen.len() as u64);
    let mut tokens_us = stage.clock.now_us();
    for attacker in chosen {
        for count in [1, args.crowd] {
            if (count == 1 && args.only_crowds) || (count == args.crowd && args.crowd < 2) {
                continue;
            }
            if stage.clock.now_us() - tokens_us > TOKENS_S * 1_000_000 {
                tokens_us = stage.clock.now_us();
                pair.refresh().await?;
                for member in &mut gang {
                    member.refresh(stage.rest()?.base()).await?;
                }
            }
            let (row, honest) = attack(Some(attacker), &gang[..count], &pair, args, &stage).await?;
            let all = if count == 1 { &mut alone } else { &mut crowded };
            all.histogram.add(&honest.delivery.histogram)?;
            rows.push(row);
            tokio::time::sleep(PAUSE).await;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.row("attacks", rows.len());
    report.row("held", rows.iter().filter(|row| row.held).count());
    report.row("budget MiB", args.budget_mib);
    report.row("quiet p99 ms", quiet.0.p99_ms);
    report.table(COLUMNS, rows.iter().map(Row::cells).collect(), &rows)?;
    report.failed(rows.iter().any(|row| !row.held));
    let mut nobody = Latency::new("no attacker")?;
    nobody.histogram.add(&quiet.1.delivery.histogram)?;
    report.latency(nobody);
    report.latency(alone);
    report.latency(crowded);
    Ok(report)
}

fn is_chosen(attacker: &Attacker, args: &Args) -> bool {
    args.only.is_empty() || args.only.iter().any(|name| name == attacker.name)
}

/// One row. Without an attacker the pair is alone.
async fn attack(
    attacker: Option<Attacker>,
    gang: &[Member],
    pair: &Pair,
    args: &Args,
    stage: &Stage,
) -> Result<(Row, Honest)> {
    let (meter, brake) = Meter::start(&args.server_pid, stage.clock)?;
    let until = brake.now() + Duration::from_secs_f64(args.seconds);
    let deeds = Arc::new(Deeds::default());
    let mut attackers = JoinSet::new();
    for (attacker, member) in gang.iter().filter_map(|member| Some((attacker?, member.clone()))) {
        let (member, brake, deeds) = (Arc::new(member), Arc::clone(&brake), Arc::clone(&deeds));
        attackers.spawn(drive::attack(attacker, member, until, brake, deeds));
    }
    let honest = pair.talk(until).await?;
    attackers.join_all().await;
    let measured = meter.stop()?;
    let (delivery, rss_mib) = (honest.delivery.summary(), measured.above_idle_bytes as f64 / 1_048_576.0);
    let row = Row {
        attack: attacker.map_or("nobody", |attacker| attacker.name),
        attackers: gang.len(),
        actions: deeds.actions.load(Relaxed),
        not_taken: deeds.refused.load(Relaxed),
        p50_ms: delivery.p50_ms,
        p99_ms: delivery.p99_ms,
        ack_p99_ms: honest.ack.summary().p99_ms,
        calls_p99_ms: honest.calls.summary().p99_ms,
        refused: honest.refused,
        why: honest.why.clone(),
        rss_mib,
        own_share: measured.own_share,
        // Where nothing of the pair arrived, nothing is known.
        held: delivery.count > 0
            && delivery.p99_ms < args.pair_p99_ms
            && honest.refused == 0
            && rss_mib <= args.budget_mib as f64,
    };
    Ok((row, honest))
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let verdict = match &self.why {
            _ if self.held => "held".to_owned(),
            Some(why) => format!("NOT HELD: {why}"),
            None => "NOT HELD".to_owned(),
        };
        vec![
            self.attack.to_owned(),
            self.attackers.to_string(),
            self.actions.to_string(),
            self.not_taken.to_string(),
            format!("{:.1}", self.p50_ms),
            format!("{:.1}", self.p99_ms),
            format!("{:.1}", self.calls_p99_ms),
            self.refused.to_string(),
            format!("{:.1}", self.rss_mib),
            format!("{:.2}", self.own_share),
            verdict,
        ]
    }
}
