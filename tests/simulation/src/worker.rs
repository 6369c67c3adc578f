//! A process that runs seed after seed, each in a copy of itself.
//!
//! What every run needs first is made once: the tables of the database, and its statements, prepared. A copy
//! by `fork` has all of it, and begins otherwise like a new process: with the same memory and the same
//! counters for every seed. The process has one thread, so the copy has everything that it had.

use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};
use tidings::store::model::warm;

use crate::batch::end_in_time;
use crate::generate;
use crate::outcome::Outcome;
use crate::world;

/// Copies of the database with prepared statements: more than the servers of most runs.
const SPARE_COPIES: usize = 6;

/// What a copy tells its parent at the end.
#[derive(Serialize, Deserialize)]
struct Told {
    outcome: Outcome,
    /// Statements that were not prepared before.
    statements: Vec<String>,
}

/// The driver's handle to such a process.
pub struct Worker {
    child: Child,
    seeds: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts the process.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a process without pipes");
        let seeds = child.stdin.take().ok_or_else(missing)?;
        let outcomes = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self { child, seeds, outcomes })
    }

    /// Runs a seed.
    ///
    /// # Errors
    /// The run ended without an outcome. [`crate::batch::run_apart`] says why.
    pub fn run(&mut self, seed: u64) -> io::Result<Outcome> {
        writeln!(self.seeds, "{seed}")?;
        let mut line = String::new();
        self.outcomes.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process: reads seeds, a line each, and answers each with a line, which is empty when the run failed.
/// `run` is the part that a copy does with a plan.
///
/// # Errors
/// The driver has gone, or no copy can be made.
pub fn serve() -> io::Result<()> {
    let mut statements: Vec<String> = Vec::new();
    for seed in io::stdin().lock().lines() {
        let seed: u64 = seed?.parse().map_err(io::Error::other)?;
        warm::prepare(SPARE_COPIES, &statements).map_err(io::Error::other)?;
        let (mut reader, writer) = io::pipe()?;
        let Some(copy) = fork()? else {
            drop(reader);
            let told = std::panic::catch_unwind(|| in_the_copy(seed, writer));
            std::process::exit(i32::from(!matches!(told, Ok(Ok(())))));
        };
        drop(writer);
        let mut told = Vec::new();
        reader.read_to_end(&mut told)?;
        wait(copy)?;
        let line = match serde_json::from_slice::<Told>(&told) {
            Ok(told) => {
                statements.extend(told.statements);
                serde_json::to_string(&told.outcome)?
            }
            Err(_) => String::new(),
        };
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(())
}

fn in_the_copy(seed: u64, mut writer: PipeWriter) -> io::Result<()> {
    let _ends = end_in_time();
    let plan = generate::plan(seed);
    let outcome = world::run(&plan).outcome(&plan, false);
    let told = Told { outcome, statements: warm::not_prepared_before() };
    writer.write_all(&serde_json::to_vec(&told)?)
}

/// Copies this process; `None` in the copy.
#[expect(unsafe_code, reason = "the C library's function; this process has one thread, so no lock is held")]
fn fork() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: no other thread of this process holds a lock that the copy would need.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        copy if copy > 0 => Ok(Some(copy)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until a copy has ended.
#[expect(unsafe_code, reason = "the C library's function")]
fn wait(copy: libc::pid_t) -> io::Result<()> {
    // SAFETY: the copy is this process's child, and nobody else waits for it; the status is not asked for.
    match unsafe { libc::waitpid(copy, std::ptr::null_mut(), 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
