//! How an attacker's bytes reach the server: over one connection or many, read or not, at once or drop by
//! drop.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{catalogue::Attacker, gang::Member, meter::Brake};

/// How the bytes of an action reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over one HTTP connection; answers are read.
    Kept,
    /// Over a new connection each; it is closed after a moment, and what came is dropped.
    Fresh,
    /// Over a new connection each; nothing is read, and the last ones stay open.
    Unread,
    /// Over WebSockets that are signed in, in turn; answers are read.
    Socket,
    /// The same with MessagePack.
    Packed,
    /// Over WebSockets that are signed in, in turn; nothing is read.
    UnreadSocket,
    /// A byte an action, over several connections in turn.
    Drip,
    /// The same behind a head that was written at once.
    DripBody,
    /// The same over WebSockets that are signed in.
    DripSocket,
    /// Asked for at once over several connections; a byte of an answer is read an action.
    DripRead,
}

/// What the attackers of one row did.
#[derive(Debug, Default)]
pub struct Deeds {
    /// Actions.
    pub actions: AtomicU64,
    /// Actions that the server did not take: it had closed the connection, or took nothing for a while.
    pub refused: AtomicU64,
}

/// As small as the system allows, so that what nobody reads waits in the server.
const SMALL_BUFFER: u32 = 4_096;
/// An attacker waits no longer for anything.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// A fresh connection stays open for so long.
const MOMENT: Duration = Duration::from_millis(20);

/// Attacks until `until`.
pub async fn attack(
    attacker: Attacker,
    member: Arc<Member>,
    until: Instant,
    brake: Arc<Brake>,
    deeds: Arc<Deeds>,
) {
    let mut open: VecDeque<Open> = VecDeque::new();
    let every = Duration::from_secs_f64(1.0 / attacker.per_second);
    let mut next = until.checked_sub(Duration::from_secs(3_600)).unwrap_or(until);
    let mut number = 0;
    loop {
        brake.wait().await;
        // A late attacker does not catch up: its rate is the most it does.
        next = (next + every).max(brake.now());
        if next >= until {
            return;
        }
        sleep_until(next).await;
        let acted = timeout(PATIENCE * 2, act(&attacker, &member, &mut open, number)).await;
        number += 1;
        deeds.actions.fetch_add(1, Relaxed);
        if !matches!(acted, Ok(Ok(()))) {
            deeds.refused.fetch_add(1, Relaxed);
        }
    }
}

async fn act(attacker: &Attacker, member: &Member, open: &mut VecDeque<Open>, number: u64) -> Result<()> {
    let bytes = || (attacker.bytes)(member, number);
    match attacker.way {
        Way::Fresh => {
            let mut stream = connect(member).await?;
            stream.write_all(&bytes()).await?;
            let _ = timeout(MOMENT, stream.read(&mut [0; 4_096])).await;
            Ok(())
        }
        Way::Unread => {
            if open.len() >= attacker.held {
                open.pop_front();
            }
            let mut one = Open::new(connect(member).await?, false);
            let written = one.write(&bytes()).await;
            open.push_back(one);
            written
        }
        Way::Kept | Way::Socket | Way::Packed | Way::UnreadSocket => {
            let mut one = match open.pop_front() {
                Some(one) if open.len() + 1 >= attacker.held && one.is_open() => one,
                Some(one) => {
                    if one.is_open() {
                        open.push_back(one);
                    }
                    prepare(attacker.way, member).await?
                }
                None => prepare(attacker.way, member).await?,
            };
            // One that takes nothing is not kept.
            one.write(&bytes()).await?;
            open.push_back(one);
            Ok(())
        }
        Way::Drip | Way::DripBody | Way::DripSocket => {
            let mut one = match open.pop_front() {
                Some(one) if open.len() + 1 >= attacker.held => one,
                waiting => {
                    open.extend(waiting);
                    let mut one = prepare(attacker.way, member).await?;
                    one.left = bytes();
                    if attacker.way == Way::DripBody {
                        let head = one.left.windows(4).position(|end| end == b"\r\n\r\n");
                        let body = one.left.split_off(head.map_or(0, |at| at + 4));
                        let head = std::mem::replace(&mut one.left, body);
                        one.write(&head).await?;
                    }
                    one
                }
            };
            if one.left.is_empty() {
                one.left = bytes();
            }
            let byte = one.left.remove(0);
            one.write(&[byte]).await?;
            open.push_back(one);
            Ok(())
        }
        Way::DripRead => {
            let one = match open.pop_front() {
                Some(one) if open.len() + 1 >= attacker.held => one,
                waiting => {
                    open.extend(waiting);
                    let mut one = Open::new(connect(member).await?, false);
                    one.write(&bytes()).await?;
                    one
                }
            };
            let mut byte = [0];
            if one
                .stream
                .as_ref()
                .context("not read by anybody else")?
                .try_read(&mut byte)
                .is_ok_and(|n| n == 0)
            {
                return Ok(());
            }
            open.push_back(one);
            Ok(())
        }
    }
}

async fn prepare(way: Way, member: &Member) -> Result<Open> {
    let stream = connect(member).await?;
    match way {
        Way::Kept => Ok(Open::new(stream, true)),
        Way::Socket => socket(member, stream, "tidings.v1.json", true).await,
        Way::Packed => socket(member, stream, "tidings.v1.msgpack", true).await,
        Way::UnreadSocket | Way::DripSocket => socket(member, stream, "tidings.v1.json", false).await,
        _ => Ok(Open::new(stream, false)),
    }
}

/// Signed in; the welcome is read.
async fn socket(member: &Member, mut stream: TcpStream, subprotocol: &str, read: bool) -> Result<Open> {
    stream.write_all(&member.upgrade(subprotocol, true)).await?;
    let mut came = vec![0; 4_096];
    timeout(PATIENCE, stream.read(&mut came)).await??;
    Ok(Open::new(stream, read))
}

async fn connect(member: &Member) -> Result<TcpStream> {
    let socket = if member.server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_recv_buffer_size(SMALL_BUFFER)?;
    if let Some(source) = member.source {
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(timeout(PATIENCE, socket.connect(member.server)).await??)
}

/// An open connection.
struct Open {
    /// Both halves, when nothing is read.
    stream: Option<TcpStream>,
    writer: Option<tokio::net::tcp::OwnedWriteHalf>,
    reader: Option<JoinHandle<()>>,
    /// What is not written yet, where it drips.
    left: Vec<u8>,
}

impl Open {
    fn new(stream: TcpStream, read: bool) -> Self {
        if !read {
            return Self { stream: Some(stream), writer: None, reader: None, left: Vec::new() };
        }
        let (mut reader, writer) = stream.into_split();
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                // What is read costs the attackers too, and there is no hurry.
                sleep(Duration::from_millis(1)).await;
            }
        });
        Self { stream: None, writer: Some(writer), reader: Some(reader), left: Vec::new() }
    }

    fn is_open(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| !reader.is_finished())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match (&mut self.stream, &mut self.writer) {
            (Some(stream), _) => timeout(PATIENCE, stream.write_all(bytes)).await??,
            (None, Some(writer)) => timeout(PATIENCE, writer.write_all(bytes)).await??,
            (None, None) => {}
        }
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}
