//! `check`: what every test run does.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use simulation::batch::{Runner, Subject, Totals, run_apart, run_seeds};

use crate::CheckOptions;

/// Seeds of the fixed range whose failure is not understood yet, each with what it shows. They count neither
/// as passed nor as failed; one that is clean again fails until it is taken off.
const OPEN: &[(u64, &str)] =
    &[(62, "P11: the wait of a rate limit, for a new group, is not enough when it is over")];

/// Runs the kept cases, some seeds twice, and a range of seeds. Ends with one line: how many passed and
/// failed.
#[expect(clippy::disallowed_methods, reason = "the time limit is outside of the runs")]
pub fn check(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let (began, at_most) = (Instant::now(), Duration::from_secs(options.at_most_s));
    let (mut passed, mut failed) = (0_u64, 0_u64);
    let mut count = |name: &str, wrong: Option<String>| match wrong {
        None => passed += 1,
        Some(wrong) => {
            failed += 1;
            println!("FAILED {name}: {wrong}");
        }
    };
    let mut cases: Vec<_> = std::fs::read_dir(&options.cases)?.collect::<Result<Vec<_>, _>>()?;
    cases.sort_by_key(std::fs::DirEntry::file_name);
    for case in cases
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
    {
        let outcome = run_apart(&Subject::Plan(case.clone()), true);
        let wrong = match outcome {
            Ok(outcome) if outcome.violations.is_empty() => None,
            Ok(outcome) => Some(outcome.story.unwrap_or_default()),
            Err(error) => Some(error),
        };
        count(&format!("case {}", case.display()), wrong);
    }
    // Once in a new process and once as a copy of one that other seeds have run in before.
    let mut runner = Runner::default();
    for seed in 1..=options.twice {
        let (first, second) = (run_apart(&Subject::Seed(seed), false), runner.run(seed));
        let same = matches!((&first, &second), (Ok(first), Ok(second)) if first.hash == second.hash);
        count(&format!("seed {seed} twice"), (!same).then(|| "the two runs differ".to_owned()));
    }
    let (mut totals, stop) = (Totals::default(), AtomicBool::new(false));
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    run_seeds(1, options.seeds, jobs, &stop, |seed, outcome| {
        totals.add(seed, outcome);
        let wrong = totals.failed.get(&seed).cloned();
        let open = OPEN.iter().find(|(open, _)| *open == seed);
        match (open, wrong) {
            (Some((_, what)), Some(wrong)) => {
                println!("open: seed {seed}: {what} ({wrong})");
            }
            (Some(_), None) => {
                count(&format!("seed {seed}"), Some("it is clean: take it off OPEN".to_owned()));
            }
            (None, wrong) => count(&format!("seed {seed}"), wrong),
        }
        if began.elapsed() > at_most {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let per_second = totals.seeds() as f64 / began.elapsed().as_secs_f64();
    println!(
        "{} seeds ({per_second:.1}/s), {:?}, {} rare paths, {} faults",
        totals.seeds(),
        totals.verdicts,
        totals.rare.len(),
        totals.faults.values().sum::<u64>()
    );
    println!("simulation: {passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
