//! Many connections that only stay connected: the common part of `idle` and `storm`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use crate::{
    client::connection::{Connection, Dial, Resumption},
    rest::Account,
    stage::{self, Stage},
};

/// Connections being opened at once, while a crowd gathers.
const GATHERING: usize = 128;
const CONNECTIONS_PER_ACCOUNT: usize = 50;

/// One who stays: where it connects from and as whom.
#[derive(Clone, Debug)]
pub struct Seat {
    /// How it connects.
    pub dial: Dial,
    /// As whom.
    pub account: Account,
    /// The cursor of its last `welcome`.
    pub cursor: Option<String>,
}

/// Open connections, each read by a task of its own so that pings are answered.
#[derive(Debug, Default)]
pub struct Crowd {
    readers: JoinSet<()>,
    lost: Arc<AtomicU64>,
}

impl Crowd {
    /// Keeps a connection open and read.
    pub fn keep(&mut self, mut connection: Connection) {
        let lost = self.lost.clone();
        self.readers.spawn(async move {
            while connection.next().await.is_ok() {}
            lost.fetch_add(1, Relaxed);
        });
    }

    /// Connections that the server or the network ended.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Drops every connection at once, without goodbye.
    pub async fn vanish(mut self) {
        self.readers.shutdown().await;
    }
}

/// Seats for `connections`, on as few accounts as will do unless `per_account`.
pub async fn seats(stage: &Stage, connections: usize, per_account: bool) -> Result<Vec<Seat>> {
    let each = if per_account { 1 } else { CONNECTIONS_PER_ACCOUNT };
    let names = (0..connections.div_ceil(each)).map(|n| format!("seat {n}")).collect();
    let accounts = stage.guests(names).await?;
    (0..connections)
        .map(|n| {
            let dial = stage.dials.get(n % stage.dials.len()).context("no server given")?;
            let dial = dial.from_source(stage::source(dial, n, connections));
            Ok(Seat { dial, account: accounts[n / each].clone(), cursor: None })
        })
        .collect()
}

/// Opens every seat's connection, some at a time, and remembers its cursor. Fails when one cannot be opened.
pub async fn gather(seats: &mut [Seat]) -> Result<Crowd> {
    let bar = stage::bar("connecting", seats.len() as u64);
    let mut crowd = Crowd::default();
    let mut opening = stream::iter(seats)
        .map(|seat| async move {
            let opened =
                Connection::open(&seat.dial, &seat.account.access_token, &Resumption::default()).await;
            opened.map(|(connection, welcome)| {
                seat.cursor = welcome.cursor;
                connection
            })
        })
        .buffer_unordered(GATHERING);
    while let Some(connection) = opening.try_next().await.context("a connection could not be opened")? {
        crowd.keep(connection);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(crowd)
}

/// Opens one seat's connection however often it takes; returns it and the failures before.
pub async fn insist(seat: &Seat) -> (Connection, u64) {
    let resumption = Resumption { cursor: seat.cursor.clone(), handover: None };
    let mut failures = 0;
    loop {
        match Connection::open(&seat.dial, &seat.account.access_token, &resumption).await {
            Ok((connection, _)) => return (connection, failures),
            Err(_) => failures += 1,
        }
        let most_ms = (100_u64 << failures.min(5)).min(3_000);
        tokio::time::sleep(Duration::from_millis(rand::random_range(most_ms / 2..=most_ms))).await;
    }
}
