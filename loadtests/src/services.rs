//! The CPU time of every service of a cluster that `scripts/cluster` started, to show what a message costs in
//! each.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::procfs;
use crate::report::Report;

/// The services of a cluster's directory, each with its processes; `gateway-1` and `gateway-2` are one
/// service.
#[derive(Clone, Debug, Default)]
pub struct Services {
    roots: BTreeMap<String, Vec<u32>>,
}

/// CPU time used so far by each service, in microseconds.
#[derive(Clone, Debug)]
pub struct Used(BTreeMap<String, u64>);

impl Services {
    /// Those of the cluster in `dir`; none without one.
    pub fn of(dir: Option<&Path>) -> Result<Self> {
        let mut services = Self::default();
        let Some(dir) = dir else { return Ok(services) };
        for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".pid")) else {
                continue;
            };
            let service = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '-');
            let pid =
                std::fs::read_to_string(&path)?.trim().parse().with_context(|| path.display().to_string())?;
            services.roots.entry(service.to_owned()).or_default().push(pid);
        }
        if services.roots.is_empty() {
            bail!("{} holds no NAME.pid: give the directory that scripts/cluster printed", dir.display());
        }
        Ok(services)
    }

    /// What each has used until now, its child processes included.
    pub fn used(&self) -> Result<Used> {
        let parents = procfs::parents()?;
        let used = self.roots.iter().map(|(service, roots)| {
            let family: Vec<u32> =
                parents.keys().copied().filter(|pid| descends(*pid, roots, &parents)).collect();
            Ok((service.clone(), procfs::cpu_us(&family)?))
        });
        Ok(Used(used.collect::<Result<_>>()?))
    }

    /// Adds a row for each service: microseconds per `unit` since `before`.
    pub fn rows(&self, before: &Used, after: &Used, count: u64, unit: &str, report: &mut Report) {
        for (service, after_us) in &after.0 {
            let used_us = after_us.saturating_sub(before.0.get(service).copied().unwrap_or(0));
            report.row(&format!("{service} CPU us/{unit}"), used_us as f64 / count.max(1) as f64);
        }
    }
}

fn descends(pid: u32, roots: &[u32], parents: &HashMap<u32, u32>) -> bool {
    let mut next = Some(pid);
    while let Some(pid) = next {
        if roots.contains(&pid) {
            return true;
        }
        next = parents.get(&pid).copied().filter(|parent| *parent > 1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_processes_are_one_service_and_children_count() {
        let dir = std::env::temp_dir().join(format!("tidings-services-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for name in ["gateway-1", "gateway-2", "redis"] {
            std::fs::write(dir.join(format!("{name}.pid")), format!("{}\n", std::process::id())).unwrap();
        }
        let services = Services::of(Some(&dir)).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(services.roots.keys().collect::<Vec<_>>(), ["gateway", "redis"]);
        assert_eq!(services.roots["gateway"].len(), 2);
        assert!(services.used().is_ok());
        let parents = HashMap::from([(5, 4), (4, 3), (9, 1)]);
        assert!(descends(5, &[3], &parents) && !descends(9, &[3], &parents));
    }
}
