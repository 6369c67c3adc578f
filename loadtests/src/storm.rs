//! `storm`: all clients reconnect at once.

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::{
    crowd::{self, Crowd},
    latency::Latency,
    procfs,
    report::Report,
    stage::{self, Servers, Stage},
};

/// Drops all connections at once and lets everybody reconnect at once; time until all have their welcome
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,
    /// How often everybody comes back
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// One account a connection; otherwise fifty connections share one
    #[arg(long)]
    per_account: bool,
    /// Server processes whose CPU time per reconnect to report
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    server_pid: Vec<u32>,
}

/// Runs it. Fails when the first connections cannot be opened.
pub async fn run(args: &Args, servers: &Servers) -> Result<Report> {
    // Sockets that were dropped linger for a moment while their successors are dialled.
    stage::check_files(args.connections)?;
    let stage = Stage::set(servers).await?;
    let mut seats = crowd::seats(&stage, args.connections, args.per_account).await?;
    let mut crowd = crowd::gather(&mut seats).await?;
    let mut welcomes = Latency::new("reconnect to welcome")?;
    let (mut failures, mut slowest_us) = (0, 0);
    let mut cpu_us = 0;
    for round in 0..args.rounds.max(1) {
        stage::quiet(&stage, &args.server_pid).await?;
        let cpu_before_us = procfs::cpu_us(&args.server_pid)?;
        crowd.vanish().await;
        crowd = Crowd::default();
        let bar = stage::bar(&format!("storm {}", round + 1), seats.len() as u64);
        let begun_us = stage.clock.now_us();
        let mut returning = JoinSet::new();
        for seat in &seats {
            let (seat, clock) = (seat.clone(), stage.clock);
            returning.spawn(async move {
                let (connection, failures) = crowd::insist(&seat).await;
                (connection, failures, clock.now_us())
            });
        }
        while let Some(back) = returning.join_next().await {
            let (connection, failed, at_us) = back.context("a connection's task failed")?;
            failures += failed;
            welcomes.record(at_us - begun_us);
            slowest_us = slowest_us.max(at_us - begun_us);
            crowd.keep(connection);
            bar.inc(1);
        }
        bar.finish_and_clear();
        cpu_us += procfs::cpu_us(&args.server_pid)? - cpu_before_us;
    }
    let mut report = Report::new("storm");
    report.row("connections", args.connections);
    report.row("all welcome after s", slowest_us as f64 / 1e6);
    report.row("failed attempts", failures);
    if !args.server_pid.is_empty() {
        let reconnects = (args.connections * args.rounds.max(1)) as f64;
        report.row("server CPU us/reconnect", cpu_us as f64 / reconnects);
    }
    report.latency(welcomes);
    crowd.vanish().await;
    Ok(report)
}
