//! The tasks of a connection to the model of Redis.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidings::bus::redis::{Carried, Carrier};
use tokio::io::{AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::resp::{Command, read_command};
use super::server::{Peer, Server};
use crate::edges::now;

/// The bytes of a connection's buffers, each direction.
const BUFFER_BYTES: usize = 1 << 20;
/// Commands under way on a connection.
const COMMANDS: usize = 4_096;

/// Carries the connections of a process to the model.
pub struct SimCarrier {
    pub server: Arc<Server>,
    pub peer: Peer,
}

impl Carrier for SimCarrier {
    fn open(&self) -> BoxFuture<'static, io::Result<Box<dyn Carried>>> {
        let (server, peer) = (Arc::clone(&self.server), self.peer.clone());
        Box::pin(async move {
            let arrives = server.state().arrival();
            sleep_until(arrives).await;
            let away = server.state().away;
            match away.filter(|(until, _)| *until > now()) {
                Some((_, true)) => std::future::pending().await,
                Some((_, false)) => Err(io::ErrorKind::ConnectionRefused.into()),
                None => Ok(Box::new(accept(&server, peer)) as Box<dyn Carried>),
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) -> AbortHandle {
        // They are tasks of the process, so they pause and end with it.
        tokio::task::spawn_local(task).abort_handle()
    }
}

fn accept(server: &Arc<Server>, peer: Peer) -> DuplexStream {
    let (theirs, ours) = tokio::io::duplex(BUFFER_BYTES);
    let (reading, writing) = tokio::io::split(ours);
    let (arriving, arrived) = mpsc::channel(COMMANDS);
    let mut state = server.state();
    let id = state.add(peer);
    let tasks = [
        tokio::spawn(read(Arc::clone(server), reading, arriving)).abort_handle(),
        tokio::spawn(execute(Arc::clone(server), id, arrived)).abort_handle(),
        tokio::spawn(write(Arc::clone(server), id, writing)).abort_handle(),
    ];
    if let Some(one) = state.connections.get_mut(&id) {
        one.tasks.extend(tasks);
    }
    theirs
}

async fn read(
    server: Arc<Server>,
    reading: ReadHalf<DuplexStream>,
    arriving: mpsc::Sender<(Instant, Command)>,
) {
    let mut reading = BufReader::new(reading);
    let mut not_before = now();
    while let Ok(Some(command)) = read_command(&mut reading).await {
        let mut arrives = server.state().arrival();
        if command.first().is_some_and(|verb| verb == b"SUBSCRIBE") {
            let mut state = server.state();
            let most = state.weather.subscribe_delay_ms;
            arrives += Duration::from_millis(state.dice.between(0, most));
        }
        not_before = not_before.max(arrives);
        if arriving.send((not_before, command)).await.is_err() {
            return;
        }
    }
}

async fn execute(server: Arc<Server>, id: u64, mut arrived: mpsc::Receiver<(Instant, Command)>) {
    while let Some((arrives, command)) = arrived.recv().await {
        sleep_until(arrives).await;
        server.thawed().await;
        if !server.execute(id, &command) {
            break;
        }
    }
    server.state().cut(|other, _| other == id);
}

async fn write(server: Arc<Server>, id: u64, mut writing: WriteHalf<DuplexStream>) {
    let Some(filled) = server.state().connections.get(&id).map(|one| Arc::clone(&one.filled)) else { return };
    loop {
        let next = server.state().next_outgoing(id);
        let Some((arrives, bytes)) = next else {
            filled.notified().await;
            continue;
        };
        sleep_until(arrives).await;
        server.thawed().await;
        let is_alive =
            server.state().connections.get(&id).is_some_and(|one| one.peer.alive.load(Ordering::Relaxed));
        if !is_alive || writing.write_all(&bytes).await.is_err() {
            break;
        }
    }
    server.state().cut(|other, _| other == id);
}
