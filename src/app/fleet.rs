//! What a process does beside serving: it finishes jobs; where others write to the same log, it follows and
//! relays it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::AppError;
use crate::actors::Node;
use crate::actors::follower::{self, Follower, NOTICES};
use crate::actors::router::published::PublishedSet;
use crate::bus::health::BusHealth;
use crate::config::{Role, Settings, StoreBackend};
use crate::consumers::jobs::JobRunner;
use crate::consumers::relay::Relay;
use crate::telemetry::inspect::observed;

/// For how long a stop waits until consumers have released their leases.
const HAND_OVER: Duration = Duration::from_secs(2);

/// The work beside serving; ended by [`Fleet::stop`].
pub struct Fleet {
    stop: watch::Sender<bool>,
    ended: Vec<tokio::sync::oneshot::Receiver<()>>,
}

impl Fleet {
    /// Begins on the calling thread the work of the roles. `name`: the name of the process for operators.
    /// `bus`: the state of the bus, if there is one.
    ///
    /// # Errors
    /// The log's end could not be read: nothing can be followed from nowhere.
    pub async fn start(
        settings: &Settings,
        name: String,
        node: &Node,
        bus: Option<watch::Receiver<BusHealth>>,
    ) -> Result<Self, AppError> {
        let (stop, stopping) = watch::channel(false);
        let mut fleet = Self { stop, ended: Vec::new() };
        let (store, router) = (Arc::clone(node.store()), Arc::clone(node.router()));
        let (environment, meters) = (Arc::clone(node.environment()), Arc::clone(node.meters()));
        let alone = settings.store.backend == StoreBackend::Sqlite;
        if alone || settings.server.has_role(Role::Relay) {
            let jobs = JobRunner {
                process: name.clone(),
                store: Arc::clone(&store),
                router: Arc::clone(&router),
                environment: Arc::clone(&environment),
                meters: Arc::clone(&meters),
                backlogs: Arc::clone(node.backlogs()),
                guests_after: settings.auth.guests_after(),
            };
            let (observer, questions) = observed();
            node.inspection().add("jobs", observer);
            fleet.begin(jobs.run(stopping.clone(), questions));
        }
        if alone {
            return Ok(fleet);
        }
        if settings.server.has_role(Role::Relay) {
            let announced = Arc::new(PublishedSet::default());
            router.announce_to(Arc::clone(&announced));
            let (observer, questions) = observed();
            node.inspection().add("relay", observer);
            let relay = Relay {
                process: name,
                questions,
                store: Arc::clone(&store),
                router: Arc::clone(&router),
                announced,
                environment: Arc::clone(&environment),
                meters: Arc::clone(&meters),
            };
            fleet.begin(relay.run(stopping));
        }
        if settings.server.has_role(Role::Gateway) {
            let covered = store.end().await.map_err(|error| AppError::LogEnd(error.to_string()))?;
            let (notify, notices) = mpsc::channel(NOTICES);
            router.follow(notify, covered);
            let (observer, questions) = observed();
            node.inspection().add("follower", observer);
            let follower = Follower { router, log: store as _, environment, meters, notices, questions, bus };
            actix_rt::spawn(follower.run(covered));
        } else {
            let end = store.end().await.map_err(|error| AppError::LogEnd(error.to_string()))?;
            router.writes_to(end.epoch);
            actix_rt::spawn(follower::watch_epoch(router, store as _));
        }
        Ok(fleet)
    }

    fn begin(&mut self, work: impl Future<Output = ()> + 'static) {
        let (done, ended) = tokio::sync::oneshot::channel();
        self.ended.push(ended);
        actix_rt::spawn(async move {
            work.await;
            // Nobody waits when the stop was too slow.
            let _ = done.send(());
        });
    }

    /// Ends the work, giving leases back.
    pub async fn stop(self) {
        if self.stop.send(true).is_err() {
            return;
        }
        let all = async {
            for ended in self.ended {
                let _ = ended.await;
            }
        };
        // A lease that could not be given back ends by itself.
        let _ = tokio::time::timeout(HAND_OVER, all).await;
    }
}
