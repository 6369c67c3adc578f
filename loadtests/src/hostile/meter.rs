//! What the attack costs: the server's memory, and the attackers' own share of the machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{clock::Clock, procfs};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// The part of a core that all attackers together may take.
pub const SHARE: f64 = 0.5;
/// They may be ahead of it by this much.
const AHEAD_US: u64 = 20_000;

/// Stops the attackers while they have taken more than their share.
#[derive(Debug)]
pub struct Brake {
    clock: Clock,
    pressed: AtomicBool,
}

/// Watches while it lives.
#[derive(Debug)]
pub struct Meter {
    pids: Vec<u32>,
    idle_bytes: u64,
    most_bytes: Arc<AtomicU64>,
    own_before_us: u64,
    began_us: u64,
    clock: Clock,
    watch: JoinHandle<()>,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The most resident memory above the idle server, in bytes.
    pub above_idle_bytes: u64,
    /// This process's share of one core, attackers and honest pair together.
    pub own_share: f64,
}

impl Brake {
    /// Waits until the attackers may go on.
    pub async fn wait(&self) {
        while self.pressed.load(Relaxed) {
            sleep(EVERY).await;
        }
    }

    /// This moment.
    pub fn now(&self) -> Instant {
        self.clock.instant(self.clock.now_us())
    }
}

impl Meter {
    /// Begins. The server, if its processes are given, is idle.
    pub fn start(pids: &[u32], clock: Clock) -> Result<(Self, Arc<Brake>)> {
        let brake = Arc::new(Brake { clock, pressed: AtomicBool::new(false) });
        let (own, pids) = (std::process::id(), pids.to_vec());
        let idle_bytes = procfs::rss_bytes(&pids)?;
        let (own_before_us, began_us) = (procfs::cpu_us(&[own])?, clock.now_us());
        let most_bytes = Arc::new(AtomicU64::new(idle_bytes));
        let (most, pressed, watched) = (Arc::clone(&most_bytes), Arc::clone(&brake), pids.clone());
        let watch = tokio::spawn(async move {
            loop {
                if let Ok(bytes) = procfs::rss_bytes(&watched) {
                    most.fetch_max(bytes, Relaxed);
                }
                let taken_us = procfs::cpu_us(&[own]).unwrap_or_default().saturating_sub(own_before_us);
                let allowed_us = (clock.now_us() - began_us) as f64 * SHARE;
                pressed.pressed.store(taken_us > allowed_us as u64 + AHEAD_US, Relaxed);
                sleep(EVERY).await;
            }
        });
        Ok((Self { pids, idle_bytes, most_bytes, own_before_us, began_us, clock, watch }, brake))
    }

    /// Ends.
    pub fn stop(self) -> Result<Measured> {
        self.watch.abort();
        let now = procfs::rss_bytes(&self.pids)?;
        let most = self.most_bytes.load(Relaxed).max(now);
        let took_us = (self.clock.now_us() - self.began_us).max(1);
        let own_us = procfs::cpu_us(&[std::process::id()])? - self.own_before_us;
        let above_idle_bytes = most.saturating_sub(self.idle_bytes);
        Ok(Measured { above_idle_bytes, own_share: own_us as f64 / took_us as f64 })
    }
}
