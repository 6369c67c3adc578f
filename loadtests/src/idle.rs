//! `idle`: the cost of a connection while nothing happens.

use std::time::Duration;

use anyhow::Result;

use crate::{
    crowd, procfs,
    report::Report,
    stage::{self, Servers, Stage},
};

/// Opens connections, waits until all is quiet, and reports the server's memory per connection
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,
    /// The server's processes
    #[arg(long, value_name = "PID", value_delimiter = ',', required = true)]
    server_pid: Vec<u32>,
    /// One account a connection; otherwise fifty connections share one
    #[arg(long)]
    per_account: bool,
    /// How long to watch the quiet connections
    #[arg(long, value_name = "SECS", default_value_t = 5.0)]
    hold_s: f64,
}

/// Runs it. Fails when a connection cannot be opened.
pub async fn run(args: &Args, servers: &Servers) -> Result<Report> {
    stage::check_files(args.connections)?;
    let stage = Stage::set(servers).await?;
    let mut seats = crowd::seats(&stage, args.connections, args.per_account).await?;
    stage::quiet(&stage, &args.server_pid).await?;
    let rss_before = procfs::rss_bytes(&args.server_pid)?;
    let cpu_before_us = procfs::cpu_us(&args.server_pid)?;
    let begun_us = stage.clock.now_us();
    let crowd = crowd::gather(&mut seats).await?;
    let took_us = stage.clock.now_us() - begun_us;
    let opening_cpu_us = procfs::cpu_us(&args.server_pid)? - cpu_before_us;
    let quiet = stage::quiet(&stage, &args.server_pid).await?;
    let held_from_us = procfs::cpu_us(&args.server_pid)?;
    tokio::time::sleep(Duration::from_secs_f64(args.hold_s)).await;
    let held_cpu_us = procfs::cpu_us(&args.server_pid)? - held_from_us;
    let rss_after = procfs::rss_bytes(&args.server_pid)?;

    let connections = args.connections as f64;
    let mut report = Report::new("idle");
    report.row("connections", args.connections);
    report.row("connections/s", connections * 1e6 / took_us as f64);
    report.row("became quiet", quiet);
    report.row("lost while idle", crowd.lost());
    report.row("server RSS before MiB", rss_before as f64 / 1_048_576.0);
    report.row("server RSS after MiB", rss_after as f64 / 1_048_576.0);
    report.row("KiB/connection", rss_after.saturating_sub(rss_before) as f64 / 1024.0 / connections);
    report.row("CPU us/connect", opening_cpu_us as f64 / connections);
    report.row("idle CPU %", held_cpu_us as f64 / (args.hold_s.max(0.001) * 1e4));
    crowd.vanish().await;
    Ok(report)
}
