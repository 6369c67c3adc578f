//! The command of the simulation: `cargo run --release -p simulation -- --help`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

mod commands;

// Half of the work of a run is memory, as in the server, which has the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs whole fleets of Tidings under virtual time, each from one seed.
#[derive(Debug, Parser)]
#[command(name = "simulation")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs many seeds, shows progress, and names what it found.
    Run(RunOptions),
    /// Runs one seed or one kept plan in this process, and prints its outcome as JSON.
    One(OneOptions),
    /// Tells the story of a seed or a kept plan, as small as it can be made.
    Story(StoryOptions),
    /// Prints the plan of a seed as JSON.
    Plan {
        /// The seed.
        #[arg(long)]
        seed: u64,
    },
    /// Runs the seeds that it reads, a line each, in copies of itself; `run` and `check` start it.
    #[command(hide = true)]
    Serve,
    /// Run what every test run runs: kept cases, a fixed range of seeds, and some seeds twice.
    Check(CheckOptions),
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// The first seed. Without it the run begins at a new one, and says which.
    #[arg(long)]
    from: Option<u64>,
    /// The number of seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The number of runs at a time; 0: one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Ends at the first violation.
    #[arg(long)]
    stop_at_first: bool,
    /// Writes what was found as JSON to this file, with the first violation made as small as possible.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Keeps the sums in this file. When it is there, the run goes on where it ended.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Fails when a rare path was never taken.
    #[arg(long)]
    every_rare_path: bool,
}

/// Options of `one`.
#[derive(Debug, Clone, Args)]
pub struct OneOptions {
    /// The seed.
    #[arg(long, required_unless_present = "plan")]
    seed: Option<u64>,
    /// A kept plan.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Tell the story of the first violation.
    #[arg(long)]
    story: bool,
    /// Print everything that happened.
    #[arg(long)]
    history: bool,
}

/// Options of `story`.
#[derive(Debug, Clone, Args)]
pub struct StoryOptions {
    /// The seed.
    #[arg(long, required_unless_present = "plan")]
    seed: Option<u64>,
    /// A kept plan.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Writes the small plan to this file, to keep it as a case.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// The folder of the kept cases.
    #[arg(long, default_value = "tests/simulation/cases")]
    cases: PathBuf,
    /// The number of seeds, from 1 on.
    #[arg(long, default_value_t = 600)]
    seeds: u64,
    /// The number of seeds that are run twice.
    #[arg(long, default_value_t = 12)]
    twice: u64,
    /// Begins no further seed after so many seconds.
    #[arg(long, default_value_t = 170)]
    at_most_s: u64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(options) => commands::run(&options),
        Command::One(options) => commands::one(&options),
        Command::Story(options) => commands::story(&options),
        Command::Plan { seed } => commands::plan(seed),
        Command::Serve => commands::serve(),
        Command::Check(options) => commands::check(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("simulation: {error:#}");
        ExitCode::FAILURE
    })
}
