//! Whether this process should be sent requests: not while draining, and not while something it needs is away.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::actors::Node;
use crate::domain::Timestamp;
use crate::environment::SharedEnvironment;

/// How long an answer of a dependency is kept: however often probes come, it is asked once a second.
const KEPT_MS: u64 = 1_000;

type Asked = Pin<Box<dyn Future<Output = bool> + Send>>;
/// Asks a dependency, within a timeout of its own, whether it works.
pub type Probe = Box<dyn Fn() -> Asked + Send + Sync>;

struct Dependency {
    name: &'static str,
    required: bool,
    probe: Probe,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    works: bool,
    since: Timestamp,
    asked_at_ms: u64,
}

/// How one dependency is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DependencyView {
    /// Which.
    #[schema(value_type = String)]
    name: &'static str,
    /// It answers.
    works: bool,
    /// Without it this process is not ready.
    required: bool,
    /// Since when it has been so.
    since: Timestamp,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Ready)]
pub struct ReadyView {
    /// Send requests here.
    pub ready: bool,
    /// The process is about to stop.
    pub draining: bool,
    /// Each dependency.
    pub dependencies: Vec<DependencyView>,
}

/// The state of readiness.
pub struct Readiness {
    environment: SharedEnvironment,
    draining: AtomicBool,
    dependencies: Vec<Dependency>,
}

impl Readiness {
    /// With the store as the one dependency.
    pub fn new(node: &Node) -> Self {
        let environment = node.environment().clone();
        let node = node.clone();
        let store: Probe = Box::new(move || {
            let node = node.clone();
            Box::pin(async move { node.read(node.store().ping()).await.is_ok() })
        });
        Self { environment, draining: AtomicBool::new(false), dependencies: Vec::new() }
            .with("store", true, store)
    }

    /// Adds a dependency; one that is not `required` is only shown.
    #[must_use]
    pub fn with(mut self, name: &'static str, required: bool, probe: Probe) -> Self {
        self.dependencies.push(Dependency { name, required, probe, known: Mutex::new(None) });
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

    /// Asks every dependency whose last answer is older than a second.
    pub async fn report(&self) -> ReadyView {
        let draining = self.is_draining();
        let mut dependencies = Vec::with_capacity(self.dependencies.len());
        for dependency in &self.dependencies {
            dependencies.push(self.ask(dependency).await);
        }
        let works = dependencies.iter().all(|dependency| dependency.works || !dependency.required);
        ReadyView { ready: works && !draining, draining, dependencies }
    }

    async fn ask(&self, dependency: &Dependency) -> DependencyView {
        // Held while asking: whoever comes meanwhile waits for the same answer.
        let mut known = dependency.known.lock().await;
        let now_ms = self.environment.monotonic_ms();
        let current = match *known {
            Some(known) if now_ms.saturating_sub(known.asked_at_ms) < KEPT_MS => known,
            before => {
                let works = (dependency.probe)().await;
                let unchanged = before.filter(|before| before.works == works);
                let since = unchanged.map_or_else(|| self.environment.now(), |before| before.since);
                *known.insert(Known { works, since, asked_at_ms: now_ms })
            }
        };
        let Dependency { name, required, .. } = *dependency;
        DependencyView { name, works: current.works, required, since: current.since }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::environment::{Environment, ManualEnvironment};

    #[tokio::test]
    async fn a_dependency_is_asked_once_a_second_and_remembers_since_when() {
        let environment = Arc::new(ManualEnvironment::new(1_000, 1));
        let (asked, works) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
        let (count, state) = (asked.clone(), works.clone());
        let probe: Probe = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let works = state.load(Ordering::SeqCst);
            Box::pin(async move { works })
        });
        let none = Readiness {
            environment: environment.clone(),
            draining: AtomicBool::new(false),
            dependencies: vec![],
        };
        let readiness =
            none.with("store", true, probe).with("bus", false, Box::new(|| Box::pin(async { false })));
        assert!(readiness.report().await.ready, "the bus is not required");
        works.store(false, Ordering::SeqCst);
        assert!(readiness.report().await.ready, "asked a moment ago");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        environment.advance_ms(1_000);
        let report = readiness.report().await;
        assert!(!report.ready && report.dependencies[0].since == environment.now());
        environment.advance_ms(1_000);
        assert_ne!(readiness.report().await.dependencies[0].since, environment.now(), "since it broke");
        works.store(true, Ordering::SeqCst);
        environment.advance_ms(1_000);
        assert!(readiness.report().await.ready);
        readiness.drain();
        assert!(!readiness.report().await.ready);
    }
}
