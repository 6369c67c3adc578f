//! `run`: many seeds with progress.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use simulation::batch::{Totals, run_seeds};
use simulation::generate;
use simulation::rare::RarePath;

use crate::RunOptions;
use crate::commands::smaller;

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Runs the seeds and says what was found.
#[expect(
    clippy::disallowed_methods,
    reason = "progress and the choice of a new seed are outside of the runs"
)]
pub fn run(options: &RunOptions) -> anyhow::Result<ExitCode> {
    let kept = options.state.as_deref().map(Totals::read).transpose()?.flatten();
    let first = match (&kept, options.from) {
        (Some(kept), _) => kept.next_seed,
        (None, Some(first)) => first,
        (None, None) => {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
            u64::try_from(since.as_millis())? * 1_000
        }
    };
    let mut totals = kept.unwrap_or_else(|| Totals { next_seed: first, ..Totals::default() });
    let last = first + options.seeds.saturating_sub(1);
    let jobs = match options.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    println!("seeds {first} to {last}, {jobs} at a time");
    let (began, stop) = (Instant::now(), AtomicBool::new(false));
    let (mut ran, mut said) = (0_u64, began);
    run_seeds(first, last, jobs, &stop, |seed, outcome| {
        totals.add(seed, outcome);
        totals.next_seed = totals.next_seed.max(seed + 1);
        ran += 1;
        if let Some(wrong) = totals.failed.get(&seed) {
            println!("seed {seed}: {wrong}");
            stop.store(options.stop_at_first, Ordering::Relaxed);
        }
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            progress(&totals, ran, began.elapsed());
            if let Some(file) = &options.state {
                // The next line of progress tries again.
                let _ = totals.write(file);
            }
        }
    });
    progress(&totals, ran, began.elapsed());
    if let Some(file) = &options.state {
        totals.write(file)?;
    }
    finish(options, &totals, began.elapsed())
}

fn progress(totals: &Totals, ran: u64, elapsed: Duration) {
    let per_second = ran as f64 / elapsed.as_secs_f64().max(0.001);
    let faults: u64 = totals.faults.values().sum();
    println!(
        "{ran} seeds, {per_second:.1}/s, {} rare paths, {faults} faults, {} failed",
        totals.rare.values().filter(|count| **count > 0).count(),
        totals.failed.len(),
    );
}

fn finish(options: &RunOptions, totals: &Totals, elapsed: Duration) -> anyhow::Result<ExitCode> {
    for (title, counts) in [
        ("runs", &totals.verdicts),
        ("faults", &totals.faults),
        ("traffic", &totals.traffic),
        ("rare paths", &totals.rare),
    ] {
        println!("\n| {title} | |\n|---|---|");
        for (name, count) in counts {
            println!("| {name} | {count} |");
        }
    }
    let missed: Vec<&str> = RarePath::ALL
        .iter()
        .map(|path| path.name())
        .filter(|name| !totals.rare.contains_key(*name))
        .collect();
    if !missed.is_empty() {
        println!("\nnever taken: {}", missed.join(", "));
    }
    if let Some(report) = &options.report {
        let first = totals.failed.keys().next();
        let small = first.map(|seed| smaller(&generate::plan(*seed))).transpose()?.flatten();
        let violation = small.map(|small| {
            serde_json::json!({
                "seed": first, "promise": small.promise, "steps": small.steps, "story": small.story,
            })
        });
        let report_text = serde_json::json!({
            "violation": violation, "failed": totals.failed, "seeds_run": totals.seeds(), "seconds": elapsed.as_secs_f64(),
        });
        std::fs::write(report, serde_json::to_vec_pretty(&report_text)?)?;
    }
    let good = totals.failed.is_empty() && (missed.is_empty() || !options.every_rare_path);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
