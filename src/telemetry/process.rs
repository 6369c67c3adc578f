//! The resources that the process uses, read from `/proc` when the metrics are rendered.

use std::fs;

use metrics::Gauge;

use super::{build, metrics as catalogue};

/// Clock ticks per second in `/proc/PID/stat`; Linux fixes it at 100 towards programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory, file descriptors and CPU time of this process.
#[derive(Debug, Clone)]
pub struct ProcessMeters {
    memory: Gauge,
    fds: Gauge,
    max_fds: Gauge,
    cpu: Gauge,
    uptime: Gauge,
}

impl ProcessMeters {
    /// Registers the handles with the installed recorder.
    pub fn new() -> Self {
        let labels = [("version", build::VERSION), ("commit", build::COMMIT)];
        catalogue::BUILD_INFO.handle(&labels).set(1.0);
        Self {
            memory: catalogue::PROCESS_MEMORY.handle(),
            fds: catalogue::PROCESS_FDS.handle(),
            max_fds: catalogue::PROCESS_MAX_FDS.handle(),
            cpu: catalogue::PROCESS_CPU.handle(),
            uptime: catalogue::PROCESS_UPTIME.handle(),
        }
    }

    /// Measures. Blocks for some file reads: call it before rendering, not on a worker thread. A value that
    /// this system does not report stays unchanged.
    pub fn sample(&self, uptime_ms: u64) {
        self.uptime.set(uptime_ms as f64 / 1e3);
        let set = |gauge: &Gauge, value: Option<f64>| {
            if let Some(value) = value {
                gauge.set(value);
            }
        };
        set(&self.memory, resident_bytes());
        set(&self.fds, open_fds());
        set(&self.max_fds, max_fds());
        set(&self.cpu, cpu_seconds());
    }
}

impl Default for ProcessMeters {
    fn default() -> Self {
        Self::new()
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 = field(&status, "VmRSS:", 0)?.parse().ok()?;
    Some(kib * 1024.0)
}

/// Linux 6.2 and later report the number as the directory's size. Listing 100,000 entries would take tens of
/// milliseconds.
fn open_fds() -> Option<f64> {
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    if told > 0 { Some(told as f64) } else { Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64) }
}

/// The limit in force on open file descriptors; `None` where the system does not report it.
fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    field(&limits, "Max open files", 0)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th words after it.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = words.next()?.parse().ok()?;
    let system: f64 = words.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn field<'a>(text: &'a str, label: &str, index: usize) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(label))?;
    line[label.len()..].split_whitespace().nth(index)
}
