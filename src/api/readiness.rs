//! Whether this process should be sent requests: what another replica would not share.
//!
//! Not ready while it starts or drains, while it has no room for further connections, and when one of its
//! threads is stuck. What all replicas share (the database, the bus) is reported on the internal address
//! and changes nothing of the status: a balancer that took every gateway out because the database is away
//! would end connections that still receive and read.
//!
//! Why: ADR 0022. The public port answers with the bare status. A report never waits for a dependency longer
//! than [`WAIT`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::thread_heartbeat::ThreadHeartbeat;
use crate::actors::Node;
use crate::actors::connections::Connections;
use crate::domain::Timestamp;
use crate::environment::SharedEnvironment;
use crate::store::JobKind;

/// How long an answer of a dependency is kept: however often probes come, it is asked once a second.
const KEPT_MS: u64 = 1_000;
/// A dependency that has not answered for so long does not work.
const PATIENCE: Duration = Duration::from_millis(500);
/// A write that was not committed for so long does not work; less than [`PATIENCE`], so that this is what is
/// reported.
const WRITE_PATIENCE: Duration = Duration::from_millis(400);
/// How long a report waits for answers: balancers give up on a check after half a second, and would take the
/// process out.
const WAIT: Duration = Duration::from_millis(100);

/// How a dependency does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyState {
    /// It does what it is asked.
    Works,
    /// It answers what is read; what is written fails.
    ReadsOnly,
    /// It does not answer.
    Away,
}

type Asked = Pin<Box<dyn Future<Output = DependencyState> + Send>>;
/// Asks a dependency, within a timeout of its own, how it does.
pub type Probe = Box<dyn Fn() -> Asked + Send + Sync>;
/// A number that is shown beside the dependencies; `None` where it is not known.
pub type Detail = Box<dyn Fn() -> Option<u64> + Send + Sync>;

struct Dependency {
    name: String,
    probe: Probe,
    known: watch::Sender<Known>,
}

#[derive(Clone, Copy)]
struct Known {
    state: DependencyState,
    since: Timestamp,
    /// When the last question that was answered was asked.
    asked_ms: Option<u64>,
    /// When the question was asked that is not answered yet.
    asking_ms: Option<u64>,
}

/// How one dependency is.
#[derive(Debug, Clone, Serialize)]
pub struct DependencyView {
    /// The name of the dependency.
    name: String,
    /// How it does.
    state: DependencyState,
    /// Since when it has been so.
    since: Timestamp,
}

/// The answer of `/readyz` on the internal address.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyView {
    /// Send requests here.
    pub ready: bool,
    /// The process waits for what it needs to begin.
    pub starting: bool,
    /// The process is about to stop.
    pub draining: bool,
    /// The process has as many connections as it may have, or nearly.
    pub full: bool,
    /// Threads of the process without a heartbeat for a while.
    pub stuck: Vec<String>,
    /// What all processes share: without effect on `ready`.
    pub dependencies: Vec<DependencyView>,
    /// Numbers for people.
    pub details: BTreeMap<&'static str, u64>,
}

impl ReadyView {
    /// Of a process that starts, and waits for this dependency since then.
    pub fn starting(waits: Option<(&'static str, Timestamp)>) -> Self {
        let away = |(name, since): (&str, _)| DependencyView {
            name: name.to_owned(),
            state: DependencyState::Away,
            since,
        };
        Self {
            ready: false,
            starting: true,
            draining: false,
            full: false,
            stuck: Vec::new(),
            dependencies: waits.map(away).into_iter().collect(),
            details: BTreeMap::new(),
        }
    }
}

/// The state of readiness.
pub struct Readiness {
    environment: SharedEnvironment,
    draining: AtomicBool,
    dependencies: Vec<Arc<Dependency>>,
    details: Vec<(&'static str, Detail)>,
    connections: Option<Arc<Connections>>,
    heartbeats: Vec<Arc<ThreadHeartbeat>>,
}

impl Readiness {
    /// With the store as the one dependency.
    pub fn new(node: &Node) -> Self {
        let environment = node.environment().clone();
        let (node, backlog) = (node.clone(), node.clone());
        let store: Probe = Box::new(move || {
            let node = node.clone();
            Box::pin(async move { store_state(&node).await })
        });
        let (jobs, oldest, purges) = (backlog.clone(), backlog.clone(), backlog);
        Self::empty(environment)
            .with("store", store)
            .with_detail(
                "jobs",
                Box::new(move || {
                    jobs.backlogs().pending().iter().map(|one| one.jobs).reduce(u64::wrapping_add)
                }),
            )
            .with_detail(
                "purges",
                Box::new(move || {
                    let pending = purges.backlogs().pending();
                    pending.iter().find(|one| one.kind == JobKind::Purge).map(|one| one.jobs)
                }),
            )
            .with_detail(
                "oldest_job_ms",
                Box::new(move || oldest.backlogs().pending().iter().map(|one| one.oldest_ms).max()),
            )
    }

    fn empty(environment: SharedEnvironment) -> Self {
        Self {
            environment,
            draining: AtomicBool::new(false),
            dependencies: Vec::new(),
            details: Vec::new(),
            connections: None,
            heartbeats: Vec::new(),
        }
    }

    /// Adds a dependency to the report.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, probe: Probe) -> Self {
        let known = Known {
            state: DependencyState::Away,
            since: self.environment.now(),
            asked_ms: None,
            asking_ms: None,
        };
        self.dependencies.push(Arc::new(Dependency {
            name: name.into(),
            probe,
            known: watch::Sender::new(known),
        }));
        self
    }

    /// Adds a number to the report, named with its unit.
    #[must_use]
    pub fn with_detail(mut self, name: &'static str, detail: Detail) -> Self {
        self.details.push((name, detail));
        self
    }

    /// The process is not ready when these are nearly used up, so that a balancer turns away before newcomers
    /// must wait.
    #[must_use]
    pub fn with_connections(mut self, connections: Arc<Connections>) -> Self {
        let shown = Arc::clone(&connections);
        self.connections = Some(connections);
        self.with_detail("connections", Box::new(move || Some(shown.open() as u64)))
    }

    /// The process is not ready when one of these stops.
    #[must_use]
    pub fn with_heartbeats(mut self, heartbeats: impl IntoIterator<Item = Arc<ThreadHeartbeat>>) -> Self {
        self.heartbeats.extend(heartbeats);
        self
    }

    /// From now on this process is not ready: it is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether [`Readiness::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether requests should be sent here; asks nobody.
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && !self.is_full() && self.stuck().is_empty()
    }

    /// Asks every dependency whose last answer is older than a second, and waits a moment for the answers.
    pub async fn report(&self) -> ReadyView {
        let mut dependencies = Vec::with_capacity(self.dependencies.len());
        let asked: Vec<_> = self.dependencies.iter().map(|dependency| self.ask(dependency)).collect();
        let answered = async {
            for known in asked {
                let mut known = known;
                // The sender lives as long as this.
                let _ = known.wait_for(|known| known.asking_ms.is_none()).await;
            }
        };
        // Who does not answer in time is reported so below.
        let _ = tokio::time::timeout(WAIT, answered).await;
        for dependency in &self.dependencies {
            dependencies.push(self.shown(dependency));
        }
        let (draining, stuck) = (self.is_draining(), self.stuck());
        let full = self.is_full();
        let details = self.details.iter().filter_map(|(name, detail)| Some((*name, detail()?))).collect();
        ReadyView {
            ready: !draining && !full && stuck.is_empty(),
            starting: false,
            draining,
            full,
            stuck,
            dependencies,
            details,
        }
    }

    fn is_full(&self) -> bool {
        self.connections.as_ref().is_some_and(|connections| connections.is_nearly_full())
    }

    fn stuck(&self) -> Vec<String> {
        let now_ms = self.environment.monotonic_ms();
        let stuck = self.heartbeats.iter().filter(|thread| thread.is_stuck(now_ms));
        stuck.map(|thread| thread.name.clone()).collect()
    }

    /// Asks in a task of its own, unless that was done a moment ago. A call that comes meanwhile waits for
    /// the same answer.
    fn ask(&self, dependency: &Arc<Dependency>) -> watch::Receiver<Known> {
        let now_ms = self.environment.monotonic_ms();
        let due = dependency.known.send_if_modified(|known| {
            let fresh = known.asked_ms.is_some_and(|asked| now_ms.saturating_sub(asked) < KEPT_MS);
            let due = known.asking_ms.is_none() && !fresh;
            if due {
                known.asking_ms = Some(now_ms);
            }
            due
        });
        if due {
            let (dependency, environment) = (Arc::clone(dependency), Arc::clone(&self.environment));
            tokio::spawn(async move {
                let state = (dependency.probe)().await;
                dependency.known.send_modify(|known| {
                    if known.asked_ms.is_none() || known.state != state {
                        known.since = environment.now();
                    }
                    *known = Known { state, since: known.since, asked_ms: Some(now_ms), asking_ms: None };
                });
            });
        }
        dependency.known.subscribe()
    }

    fn shown(&self, dependency: &Dependency) -> DependencyView {
        let known = *dependency.known.borrow();
        let now_ms = self.environment.monotonic_ms();
        let silent_ms = known.asking_ms.map_or(0, |asking| now_ms.saturating_sub(asking));
        let silent = u128::from(silent_ms) >= PATIENCE.as_millis() && known.state != DependencyState::Away;
        let (state, since) = if silent {
            let asked = i64::try_from(silent_ms).unwrap_or(0);
            (DependencyState::Away, self.environment.now().plus_ms(-asked))
        } else {
            (known.state, known.since)
        };
        DependencyView { name: dependency.name.clone(), state, since }
    }
}

/// What the last sends met counts as well: a small write may pass where larger ones fail, as on a disk that
/// is nearly full. A write that takes too long counts as failed: a commit that waits for a standby may take
/// without end while reads are served.
async fn store_state(node: &Node) -> DependencyState {
    let written = tokio::time::timeout(WRITE_PATIENCE, node.read(node.store().ping()));
    let (written, read) = tokio::join!(written, node.read(node.store().end()));
    if matches!(written, Ok(Ok(()))) && !node.writer().is_refusing() {
        DependencyState::Works
    } else if read.is_ok() {
        DependencyState::ReadsOnly
    } else {
        DependencyState::Away
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::api::thread_heartbeat::STUCK_AFTER_MS;
    use crate::domain::ClientAddress;
    use crate::environment::{Environment, ManualEnvironment};

    #[tokio::test]
    async fn a_dependency_is_asked_once_a_second_and_changes_only_what_is_shown() {
        let environment = Arc::new(ManualEnvironment::new(1_000, 1));
        let (asked, now) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(DependencyState::Works)));
        let (count, state) = (asked.clone(), now.clone());
        let probe: Probe = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let state = *state.lock().unwrap();
            Box::pin(async move { state })
        });
        let readiness = Readiness::empty(environment.clone()).with("store", probe);
        assert_eq!(readiness.report().await.dependencies[0].state, DependencyState::Works);
        *now.lock().unwrap() = DependencyState::ReadsOnly;
        assert_eq!(
            readiness.report().await.dependencies[0].state,
            DependencyState::Works,
            "asked a moment ago"
        );
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        environment.advance_ms(1_000);
        let report = readiness.report().await;
        assert!(report.ready && report.dependencies[0].since == environment.now());
        assert_eq!(report.dependencies[0].state, DependencyState::ReadsOnly);
        environment.advance_ms(1_000);
        assert_ne!(readiness.report().await.dependencies[0].since, environment.now(), "since it broke");
        readiness.drain();
        assert!(!readiness.report().await.ready);
    }

    #[tokio::test]
    async fn a_dependency_that_says_nothing_does_not_hold_the_report() {
        let environment = Arc::new(ManualEnvironment::new(1_000, 1));
        let silent: Probe = Box::new(|| Box::pin(std::future::pending()));
        let readiness = Readiness::empty(environment.clone()).with("store", silent);
        let report = readiness.report().await;
        assert!(report.ready);
        assert_eq!(report.dependencies[0].state, DependencyState::Away);
    }

    #[tokio::test]
    async fn its_own_limits_and_threads_make_a_process_unready() {
        let environment = Arc::new(ManualEnvironment::new(1_000, 1));
        let (connections, heartbeat) =
            (Arc::new(Connections::default()), ThreadHeartbeat::new("worker 0".to_owned()));
        connections.allow(3, 0);
        let readiness = Readiness::empty(environment.clone())
            .with_connections(connections.clone())
            .with_heartbeats([heartbeat.clone()]);
        let one = connections.count(ClientAddress::HERE);
        assert!(readiness.report().await.ready);
        let two = connections.count(ClientAddress::HERE);
        let report = readiness.report().await;
        assert!(!report.ready && report.full && report.details["connections"] == 2);
        drop((one, two));
        environment.advance_ms(60_000);
        assert!(readiness.report().await.ready, "a thread counts from its first heartbeat on");
        heartbeat.beat_ms.store(environment.monotonic_ms(), Ordering::Relaxed);
        environment.advance_ms(STUCK_AFTER_MS + 1);
        let report = readiness.report().await;
        assert!(!report.ready && report.stuck == ["worker 0"]);
    }
}
