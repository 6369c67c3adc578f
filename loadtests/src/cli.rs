//! The command line.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    direct, fanout, floor, hostile, idle, replay,
    report::{Exit, Output, Report},
    stage::Servers,
    storm,
};

/// Black-box load, replay and fault tests for a Tidings server, over its published protocol alone.
///
/// Progress goes to stderr, the result as a table to stdout. Exit codes: 0 clean, 1 a threshold was broken, 2
/// wrong usage, 3 the set-up failed, 4 the ledger is not clean (a promise was broken, or nothing was proven),
/// 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "loadtests", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Args),
    Direct(direct::Args),
    Fanout(fanout::Args),
    Floor(floor::Args),
    Hostile(hostile::Args),
    Idle(idle::Args),
    Storm(storm::Args),
    #[command(hide = true)]
    FloorServe(floor::ServeArgs),
}

/// Parses the command line, runs the command, and returns the exit code.
pub async fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return code(if error.use_stderr() { Exit::Usage } else { Exit::Clean });
        }
    };
    let ended = tokio::select! {
        // First, so that the signal has its handler before anything is touched.
        biased;
        _ = tokio::signal::ctrl_c() => {
            eprintln!("interrupted");
            return code(Exit::Interrupted);
        }
        ended = dispatch(&cli) => ended,
    };
    code(ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Exit::Setup
    }))
}

async fn dispatch(cli: &Cli) -> Result<Exit> {
    let report: Report = match &cli.command {
        Command::Replay(args) => replay::run(args, &cli.servers).await?,
        Command::Direct(args) => direct::run(args, &cli.servers).await?,
        Command::Fanout(args) => fanout::run(args, &cli.servers).await?,
        Command::Floor(args) => floor::run(args).await?,
        Command::Hostile(args) => hostile::run(args, &cli.servers).await?,
        Command::Idle(args) => idle::run(args, &cli.servers).await?,
        Command::Storm(args) => storm::run(args, &cli.servers).await?,
        Command::FloorServe(args) => return floor::serve(args).await.map(|()| Exit::Clean),
    };
    report.publish(&cli.output)
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
