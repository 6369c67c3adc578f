//! The commands.

mod check;
mod run;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use simulation::batch::{Subject, end_in_time, run_apart};
use simulation::plan::Plan;
use simulation::{generate, shrink, world};

use crate::{OneOptions, StoryOptions};

pub use self::check::check;
pub use self::run::run;

/// The plan that was asked for.
fn chosen(seed: Option<u64>, plan: Option<&PathBuf>) -> anyhow::Result<Plan> {
    match (seed, plan) {
        (_, Some(file)) => {
            let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("{} is no plan", file.display()))
        }
        (Some(seed), None) => Ok(generate::plan(seed)),
        (None, None) => Err(anyhow!("name a seed or a plan")),
    }
}

/// Runs one plan in this process.
pub fn one(options: &OneOptions) -> anyhow::Result<ExitCode> {
    let plan = chosen(options.seed, options.plan.as_ref())?;
    let _ends = end_in_time();
    let ran = world::run(&plan);
    if options.history {
        for entry in &ran.entries {
            println!("{:>7} {:?} {:?}", entry.at_ms, entry.who, entry.what);
        }
    }
    let outcome = ran.outcome(&plan, options.story);
    if let Some(story) = outcome.story.as_ref().filter(|_| options.story && options.history) {
        println!("{story}");
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the seeds that it reads.
#[cfg(target_os = "linux")]
pub fn serve() -> anyhow::Result<ExitCode> {
    simulation::worker::serve()?;
    Ok(ExitCode::SUCCESS)
}

/// Only Linux copies processes.
#[cfg(not(target_os = "linux"))]
pub fn serve() -> anyhow::Result<ExitCode> {
    Err(anyhow!("only Linux has this command"))
}

/// Prints the plan of a seed.
pub fn plan(seed: u64) -> anyhow::Result<ExitCode> {
    println!("{}", serde_json::to_string_pretty(&generate::plan(seed))?);
    Ok(ExitCode::SUCCESS)
}

/// Makes a failing plan small and prints its story.
pub fn story(options: &StoryOptions) -> anyhow::Result<ExitCode> {
    let plan = chosen(options.seed, options.plan.as_ref())?;
    let Some(small) = smaller(&plan)? else {
        println!("nothing is wrong with this run");
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(file) = &options.keep {
        std::fs::write(file, serde_json::to_string_pretty(&small.plan)?)?;
        println!("kept in {}", file.display());
    }
    println!("{}", small.story);
    Ok(ExitCode::FAILURE)
}

/// A failing plan, made small, with its story.
pub struct Small {
    /// The plan.
    pub plan: Plan,
    /// What happens in it.
    pub story: String,
    /// The promise that is broken.
    pub promise: String,
    /// The steps that are left.
    pub steps: usize,
}

/// Makes a failing plan small; `None`: it does not fail.
pub fn smaller(plan: &Plan) -> anyhow::Result<Option<Small>> {
    let folder = std::env::temp_dir().join(format!("simulation-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("plan.json");
    let run = |plan: &Plan, story: bool| {
        std::fs::write(&file, serde_json::to_vec(plan).unwrap_or_default()).ok()?;
        run_apart(&Subject::Plan(file.clone()), story).ok()
    };
    let found = run(plan, false).and_then(|outcome| outcome.violations.into_iter().next());
    let Some(found) = found else { return Ok(None) };
    let fails = |plan: &Plan| {
        run(plan, false)
            .is_some_and(|outcome| outcome.violations.iter().any(|one| one.promise == found.promise))
    };
    let small = shrink::shrink(plan, &fails);
    let story = run(&small, true).and_then(|outcome| outcome.story).unwrap_or_default();
    let steps = small.steps.len();
    // The folder has only this file.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(Some(Small { plan: small, story, promise: found.promise, steps }))
}
