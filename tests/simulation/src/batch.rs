//! Many seeds, each in a process of its own, a few at a time.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, add};
#[cfg(target_os = "linux")]
use crate::worker::Worker;

/// The subject of a run.
#[derive(Debug, Clone)]
pub enum Subject {
    /// The plan of a seed.
    Seed(u64),
    /// A plan that was kept.
    Plan(PathBuf),
}

/// A run takes less than a second. One that takes so long repeats something without end, and virtual time
/// stands.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// Ends this process when its run takes too long, unless the returned value is dropped before.
pub fn end_in_time() -> Sender<()> {
    let (ends, ended) = channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(LONGEST_RUN) == Err(RecvTimeoutError::Timeout) {
            eprintln!("simulation: the run did not end within {} s", LONGEST_RUN.as_secs());
            std::process::exit(3);
        }
    });
    ends
}

/// Runs one subject in a process of its own. `story`: whether to print the story of a violation.
///
/// # Errors
/// The process could not be started, or it ended without an outcome; the text has its output.
pub fn run_apart(subject: &Subject, story: bool) -> Result<Outcome, String> {
    let failed = |error: io::Error| error.to_string();
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("one");
    match subject {
        Subject::Seed(seed) => command.args(["--seed", &seed.to_string()]),
        Subject::Plan(plan) => command.arg("--plan").arg(plan),
    };
    if story {
        command.arg("--story");
    }
    let output = command.stdin(Stdio::null()).output().map_err(failed)?;
    let last = output.stdout.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty());
    if let Some(outcome) = last.and_then(|line| serde_json::from_slice(line).ok()) {
        return Ok(outcome);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = said.lines().rev().take(12).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(format!("the run ended with {}: {}", output.status, tail.join("\n")))
}

/// The sums of many runs. Written to a file, it lets a long run go on later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The first seed that was not run.
    pub next_seed: u64,
    /// Runs by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Rare paths by name.
    pub rare: BTreeMap<String, u64>,
    /// The traffic: numbers of operations and answers, by kind.
    pub traffic: BTreeMap<String, u64>,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Seeds with a violation or without an outcome, each with the first line of what was wrong.
    pub failed: BTreeMap<u64, String>,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, seed: u64, outcome: &Result<Outcome, String>) {
        match outcome {
            Ok(outcome) => {
                *self.verdicts.entry(outcome.verdict().to_owned()).or_default() += 1;
                add(&mut self.faults, &outcome.faults);
                add(&mut self.rare, &outcome.rare);
                add(&mut self.traffic, &outcome.traffic);
                self.virtual_ms += outcome.virtual_ms;
                if let Some(first) = outcome.violations.first() {
                    self.failed.insert(seed, format!("{}: {}", first.promise, first.text));
                }
            }
            Err(error) => {
                *self.verdicts.entry("no outcome".to_owned()).or_default() += 1;
                self.failed.insert(seed, error.clone());
            }
        }
    }

    /// How many seeds were run.
    pub fn seeds(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// Reads the sums of an earlier run; none when the file is not there.
    ///
    /// # Errors
    /// The file is not one.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the sums, the whole file or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let next = path.with_extension("next");
        std::fs::write(&next, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&next, path)
    }
}

/// Runs seeds one after the other, on Linux in copies of one process.
#[derive(Default)]
pub struct Runner {
    #[cfg(target_os = "linux")]
    worker: Option<Worker>,
}

impl Runner {
    /// Runs a seed in a process of its own.
    ///
    /// # Errors
    /// As [`run_apart`].
    pub fn run(&mut self, seed: u64) -> Result<Outcome, String> {
        #[cfg(target_os = "linux")]
        {
            if self.worker.is_none() {
                self.worker = Worker::start().ok();
            }
            if let Some(outcome) = self.worker.as_mut().and_then(|worker| worker.run(seed).ok()) {
                return Ok(outcome);
            }
        }
        // The same seed fails again, and this says why.
        run_apart(&Subject::Seed(seed), false)
    }
}

/// Runs the seeds from `first` on, `jobs` at a time, until `last` was run or `stop` says so. `on_run` is
/// called after each run, one call at a time.
pub fn run_seeds(
    first: u64,
    last: u64,
    jobs: usize,
    stop: &AtomicBool,
    on_run: impl FnMut(u64, &Result<Outcome, String>) + Send,
) {
    let next = AtomicU64::new(first);
    let on_run = Mutex::new(on_run);
    std::thread::scope(|threads| {
        for _ in 0..jobs.max(1) {
            threads.spawn(|| {
                let mut runner = Runner::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last {
                        return;
                    }
                    let outcome = runner.run(seed);
                    let mut on_run = on_run.lock().unwrap_or_else(PoisonError::into_inner);
                    (*on_run)(seed, &outcome);
                }
            });
        }
    });
}
