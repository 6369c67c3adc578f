//! CPU and memory of other processes, read from `/proc`.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow};

/// Linux reports process times in hundredths of a second on every architecture (`USER_HZ`).
const US_PER_TICK: u64 = 10_000;

/// User and system CPU time of all `pids` together, in microseconds; resolution 10 ms each.
pub fn cpu_us(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| Ok(ticks(&read(*pid, "stat")?)? * US_PER_TICK)).sum()
}

/// Resident memory of all `pids` together, in bytes.
pub fn rss_bytes(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| Ok(resident_kib(&read(*pid, "status")?)? * 1024)).sum()
}

/// Every process with its parent.
pub fn parents() -> Result<HashMap<u32, u32>> {
    let mut parents = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ended meanwhile has no parent to tell of.
        let Ok(stat) = read(pid, "stat") else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    Ok(parents)
}

/// How many files this process may have open.
pub fn file_limit() -> Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("/proc/self/limits")?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| anyhow!("/proc/self/limits names no file limit"))
}

fn read(pid: u32, file: &str) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("process {pid}"))
}

fn ticks(stat: &str) -> Result<u64> {
    // The command's name may hold spaces and parentheses; the fields are counted from the last closing one.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    match (fields.get(11).map(|field| field.parse::<u64>()), fields.get(12).map(|field| field.parse::<u64>()))
    {
        (Some(Ok(user)), Some(Ok(system))) => Ok(user + system),
        _ => Err(anyhow!("not a stat line: {stat}")),
    }
}

fn resident_kib(status: &str) -> Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| anyhow!("no VmRSS: the process has ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_an_awkward_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 31 11 0 0 20 0 3 0 100 1 2";
        assert_eq!(ticks(stat).unwrap(), 42);
        assert!(ticks("42 (x) S 1").is_err());
    }

    #[test]
    fn reads_its_own_memory_and_limit() {
        assert!(rss_bytes(&[std::process::id()]).unwrap() > 100_000);
        assert!(cpu_us(&[std::process::id()]).is_ok());
        assert!(file_limit().unwrap() > 0);
    }
}
