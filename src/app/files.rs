//! Open files: every connection is one, so a process takes as many connections as the system allows files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no connections: the database, the log, threads' own.
const OTHER_FILES: u64 = 256;

/// How many files this process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// `None`: as many as there are.
    pub allowed: Option<u64>,
    /// The limit that was in force before, when it was raised.
    pub raised_from: Option<u64>,
}

impl Files {
    /// Raises the limit in force to the highest that this process may set without rights of its own. Shells
    /// set it low for programs of another time.
    pub fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let highest = Rlimit { current: before.maximum, maximum: before.maximum };
        if before.current == before.maximum || setrlimit(Resource::Nofile, highest).is_err() {
            return Self { allowed: before.current, raised_from: None };
        }
        Self { allowed: before.maximum, raised_from: before.current }
    }

    /// Returns the answer of [`Files::raise`] and changes nothing.
    pub fn after_raising() -> Self {
        let now = getrlimit(Resource::Nofile);
        let raised_from = now.current.filter(|_| now.current != now.maximum);
        Self { allowed: now.maximum, raised_from }
    }

    /// How many of the `wanted` connections fit.
    pub fn connections(&self, wanted: usize) -> usize {
        let Some(allowed) = self.allowed else { return wanted };
        let left = allowed.saturating_sub(OTHER_FILES).max(allowed / 2).max(1);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }

    /// The warning when fewer than `wanted` connections fit.
    pub fn shortage(&self, wanted: usize) -> Option<String> {
        let (most, allowed) = (self.connections(wanted), self.allowed?);
        (most < wanted).then(|| {
            format!(
                "{allowed} open files allow {most} connections, not {wanted}: raise the hard limit (ulimit -Hn, LimitNOFILE) or \
                 lower server.max_connections"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_connections_are_taken_as_files_allow() {
        let files = |allowed| Files { allowed, raised_from: None };
        assert_eq!(files(None).connections(100_000), 100_000);
        assert_eq!(files(Some(20_000)).connections(100_000), 19_744);
        assert_eq!(files(Some(20_000)).connections(100), 100);
        assert_eq!(files(Some(64)).connections(100), 32, "few files are still shared fairly");
        assert!(files(Some(20_000)).shortage(19_744).is_none());
        let said = files(Some(20_000)).shortage(100_000).expect("too few");
        assert!(said.contains("20000 open files allow 19744 connections, not 100000"), "{said}");
    }
}
