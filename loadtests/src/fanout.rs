//! `fanout`: one channel, many members online, one speaker.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Result, bail};

use crate::{
    client::{
        outbox::{Line, To},
        session,
        setup::{Command, Handle, Progress},
    },
    clock::new_client_id,
    direct::body,
    floor, latency,
    ledger::Ledger,
    pace::Pace,
    procfs,
    report::Report,
    services::Services,
    stage::{self, Servers, Stage},
};

/// One channel with many members online: deliveries a second, latency, and the server's CPU per delivery
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Members online, each a guest with one WebSocket
    #[arg(long, value_name = "N", default_value_t = 1000)]
    members: usize,
    /// Messages said in the channel
    #[arg(long, value_name = "M", default_value_t = 100)]
    messages: u64,
    /// Messages a second, or max
    #[arg(long, value_name = "R|max", default_value = "10")]
    rate: Pace,
    /// Length of each message
    #[arg(long, value_name = "N", default_value_t = 100)]
    body_bytes: usize,
    /// Server processes whose CPU time (user and system) per delivery to report
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// Measure the bare floor of this machine in the same run and print the ratio; needs --server-pid
    #[arg(long, requires = "server_pid")]
    with_floor: bool,
    /// Directory of a cluster that `scripts/cluster` runs: report the CPU time of each of its services
    #[arg(long, value_name = "DIR")]
    cluster: Option<std::path::PathBuf>,
    /// How long the last deliveries may take
    #[arg(long, value_name = "SECS", default_value_t = 30.0)]
    settle_s: f64,
}

/// Runs it. Fails when the set-up fails.
pub async fn run(args: &Args, servers: &Servers) -> Result<Report> {
    stage::check_files(args.members + 1)?;
    let stage = Stage::set(servers).await?;
    let owner = stage.rest()?.guest("speaker").await?;
    let channel = stage.rest()?.channel(&owner, "fanout").await?;
    let members = stage.guests((0..args.members).map(|n| format!("member {n}")).collect()).await?;
    stage.join(members.iter().map(|member| (member.clone(), channel.clone())).collect()).await?;

    let speaker = session::spawn(stage.session("speaker", owner.clone(), 0, 64)?);
    let mut sessions: Vec<Handle> = vec![speaker];
    for (n, member) in members.into_iter().enumerate() {
        let mut setup = stage.session(&format!("member {n}"), member, n, 1)?;
        setup.from_now = true;
        for dial in &mut setup.dials {
            *dial = dial.from_source(stage::source(dial, n, args.members));
        }
        sessions.push(session::spawn(setup));
        if n % 64 == 63 {
            // Everybody at once is another test; here the members come in as fast as they are welcomed.
            let wanted = (n as u64).saturating_sub(192);
            stage.await_count("connecting", wanted, Duration::from_secs(30), connected).await;
        }
    }
    let everybody = sessions.len() as u64;
    if !stage.await_count("connected", everybody, Duration::from_secs(120), connected).await {
        bail!("only {} of {everybody} clients could connect", connected(&stage.progress));
    }
    let caught_up = stage::quiet(&stage, &args.server_pid).await?;

    let services = Services::of(args.cluster.as_deref())?;
    let (cpu_before_us, used_before) = (procfs::cpu_us(&args.server_pid)?, services.used()?);
    let before = stage.progress.delivered.load(Relaxed);
    let bytes_before = stage.progress.event_bytes.load(Relaxed);
    let begun_us = stage.clock.now_us();
    if let Some(speaker) = sessions.first() {
        let (commands, clock, args, channel) =
            (speaker.commands.clone(), stage.clock, args.clone(), channel.clone());
        tokio::spawn(async move {
            for n in 0..args.messages {
                let intended_us = args.rate.due_us(n).map(|due_us| begun_us + due_us);
                if let Some(at_us) = intended_us {
                    tokio::time::sleep_until(clock.instant(at_us)).await;
                }
                let to = To::Conversation(channel.clone());
                let body = body(n, args.body_bytes);
                let line = Line { to, client_id: new_client_id(), body, intended_us };
                if commands.send(Command::Say(line)).await.is_err() {
                    return;
                }
            }
        });
    }
    let settle = Duration::from_secs_f64(args.settle_s);
    // Every member, and the speaker's own copy.
    let wanted = args.messages * everybody;
    let sending = args.rate.due_us(args.messages).unwrap_or(args.messages * 50_000);
    let patience = Duration::from_micros(sending) + settle;
    let delivered = |progress: &Progress| progress.delivered.load(Relaxed) - before;
    stage.await_count("deliveries", wanted, patience, delivered).await;
    let took_us = stage.clock.now_us() - begun_us;
    let (cpu_us, used) = (procfs::cpu_us(&args.server_pid)? - cpu_before_us, services.used()?);
    let deliveries = delivered(&stage.progress).max(1);
    let frame_bytes = (stage.progress.event_bytes.load(Relaxed) - bytes_before) / deliveries;

    let due = sessions.iter().map(|_| vec![channel.clone()]).collect();
    let history = stage.finish(vec![(owner, channel)], args.messages, sessions, due, settle).await?;
    let ledger = Ledger::judge(&history);
    let mut report = Report::new("fanout");
    report.row("members", args.members);
    report.row("messages", args.messages);
    report.row("quiet before", caught_up);
    report.row("seconds", took_us as f64 / 1e6);
    report.row("deliveries/s", deliveries as f64 * 1e6 / took_us as f64);
    report.row("frame bytes", frame_bytes);
    report.row("lagging", stage.progress.lagging.load(Relaxed));
    services.rows(&used_before, &used, deliveries, "delivery", &mut report);
    for latency in latency::of_run(&history)? {
        report.latency(latency);
    }
    report.ledger(ledger);
    if !args.server_pid.is_empty() {
        let server_us = cpu_us as f64 / deliveries as f64;
        report.row("server CPU us/delivery", server_us);
        if args.with_floor {
            let shape = floor::Shape {
                connections: args.members,
                messages: args.messages,
                frame_bytes: frame_bytes as usize,
                rate: args.rate,
            };
            for kind in floor::Kind::ALL {
                let floor_us = floor::measure(kind, shape).await?.cpu_us_per_delivery;
                report.row(&format!("floor ({kind}) CPU us/delivery"), floor_us);
                report.row(&format!("server / floor ({kind})"), server_us / floor_us);
            }
        }
    }
    Ok(report)
}

fn connected(progress: &Progress) -> u64 {
    progress.connected.load(Relaxed)
}
