//! `floor`: the cost of a delivery on this machine when there is only the write. A child process (this binary
//! again) writes one pre-encoded WebSocket frame to every socket, one write each. Its CPU time is the lower
//! bound with which a server can be compared.

use std::{fmt, io::Write, process::Stdio, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
};

use crate::{clock::Clock, pace::Pace, procfs, report::Report, stage};

const CHILD_TIMEOUT: Duration = Duration::from_secs(60);
const READ_BUFFER_BYTES: usize = 4096;

/// The bare floor: a plain TCP server in a child process, its CPU per delivery
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Connections to write to
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,
    /// Frames written to each
    #[arg(long, value_name = "M", default_value_t = 100)]
    messages: u64,
    /// Size of the frame's payload
    #[arg(long, value_name = "N", default_value_t = 350)]
    frame_bytes: usize,
    /// Rounds a second, or max
    #[arg(long, value_name = "R|max", default_value = "10")]
    rate: Pace,
}

/// The hidden subcommand that the child runs.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    messages: u64,
    #[arg(long)]
    frame_bytes: usize,
    #[arg(long)]
    rate: Pace,
}

/// Two floors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Blocking writes from one thread: the system call and nothing else.
    Bare,
    /// Tokio's sockets from one task.
    Tokio,
}

impl Kind {
    /// Both, the lower first.
    pub const ALL: [Self; 2] = [Self::Bare, Self::Tokio];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Tokio => "tokio",
        })
    }
}

/// What is written to whom.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Sockets.
    pub connections: usize,
    /// Frames to each.
    pub messages: u64,
    /// Payload of a frame.
    pub frame_bytes: usize,
    /// Rounds a second.
    pub rate: Pace,
}

/// What a floor run gave.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The child's user and system time over its writes.
    pub cpu_us_per_delivery: f64,
    /// Frames received over all sockets.
    pub deliveries: u64,
}

/// Runs both floors.
pub async fn run(args: &Args) -> Result<Report> {
    let shape = Shape {
        connections: args.connections,
        messages: args.messages,
        frame_bytes: args.frame_bytes,
        rate: args.rate,
    };
    stage::check_files(args.connections)?;
    let mut report = Report::new("floor");
    report.row("connections", args.connections);
    report.row("messages", args.messages);
    report.row("frame bytes", args.frame_bytes);
    for kind in Kind::ALL {
        let measured = measure(kind, shape).await?;
        report.row(&format!("deliveries ({kind})"), measured.deliveries);
        report.row(&format!("CPU us/delivery ({kind})"), measured.cpu_us_per_delivery);
    }
    Ok(report)
}

/// Measures one floor in a child process, which is ended with it.
pub async fn measure(kind: Kind, shape: Shape) -> Result<Measured> {
    let mut child = spawn(kind, shape)?;
    let pid = child.id().context("the floor's process ended at once")?;
    let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
    let address: std::net::SocketAddr = expect(&mut lines, "address").await?.parse()?;
    let (total, mut received) = watch::channel(0_u64);
    for _ in 0..shape.connections {
        let stream = TcpStream::connect(address).await.context("connecting to the floor")?;
        tokio::spawn(drain(stream, total.clone()));
    }
    expect(&mut lines, "ready").await?;
    let before_us = procfs::cpu_us(&[pid])?;
    child.stdin.as_mut().context("no pipe")?.write_all(b"go\n").await?;
    let wanted = shape.connections as u64 * shape.messages * frame(shape.frame_bytes).len() as u64;
    let rounds_us = shape.rate.due_us(shape.messages).unwrap_or_default();
    let patience = CHILD_TIMEOUT + Duration::from_micros(rounds_us);
    tokio::time::timeout(patience, received.wait_for(|bytes| *bytes >= wanted))
        .await
        .context("the floor's frames did not all arrive")??;
    let cpu_us = procfs::cpu_us(&[pid])? - before_us;
    child.kill().await.context("ending the floor's process")?;
    let deliveries = shape.connections as u64 * shape.messages;
    Ok(Measured { cpu_us_per_delivery: cpu_us as f64 / deliveries.max(1) as f64, deliveries })
}

fn spawn(kind: Kind, shape: Shape) -> Result<Child> {
    let rate = match shape.rate {
        Pace::Max => "max".to_owned(),
        Pace::PerSecond(rate) => rate.to_string(),
    };
    Command::new(std::env::current_exe().context("this program's own path")?)
        .arg("floor-serve")
        .args(["--kind", &kind.to_string()])
        .args(["--connections", &shape.connections.to_string()])
        .args(["--messages", &shape.messages.to_string()])
        .args(["--frame-bytes", &shape.frame_bytes.to_string()])
        .args(["--rate", &rate])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the floor's process")
}

async fn expect(
    lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    word: &str,
) -> Result<String> {
    let line =
        tokio::time::timeout(CHILD_TIMEOUT, lines.next_line()).await.context("the floor is silent")??;
    let line = line.ok_or_else(|| anyhow!("the floor's process ended"))?;
    match line.strip_prefix(word) {
        Some(rest) => Ok(rest.trim().to_owned()),
        None => bail!("the floor said {line} where {word} was expected"),
    }
}

async fn drain(mut stream: TcpStream, total: watch::Sender<u64>) {
    let mut buffer = [0; READ_BUFFER_BYTES];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        total.send_modify(|sum| *sum += read as u64);
    }
}

/// An unmasked final text frame, as a server writes it.
fn frame(payload_bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(payload_bytes) {
        Ok(short @ 0..126) => frame.push(short as u8),
        Ok(medium) => frame.extend([&[126][..], &medium.to_be_bytes()].concat()),
        Err(_) => frame.extend([&[127][..], &(payload_bytes as u64).to_be_bytes()].concat()),
    }
    frame.resize(frame.len() + payload_bytes, b'x');
    frame
}

/// The child: accepts, says it is ready, waits for a line on stdin, writes, and waits to be ended.
pub async fn serve(args: &ServeArgs) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("address {}", listener.local_addr()?))?;
    let mut sockets = Vec::with_capacity(args.connections);
    while sockets.len() < args.connections {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    say("ready")?;
    if !word_from_parent().await? {
        return Ok(());
    }
    let frame = frame(args.frame_bytes);
    match args.kind {
        Kind::Tokio => write_tokio(sockets, &frame, args).await?,
        Kind::Bare => write_bare(sockets, &frame, args).await?,
    }
    // The parent reads the sockets to the end and then closes this pipe or ends this process.
    while word_from_parent().await? {}
    Ok(())
}

/// Waits for a line from the parent; false when it has closed the pipe.
async fn word_from_parent() -> Result<bool> {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await?;
    Ok(read? > 0)
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn write_tokio(mut sockets: Vec<TcpStream>, frame: &[u8], args: &ServeArgs) -> Result<()> {
    let clock = Clock::start();
    for round in 0..args.messages {
        wait(clock, args.rate, round).await;
        for socket in &mut sockets {
            socket.write_all(frame).await?;
        }
    }
    hold(sockets);
    Ok(())
}

async fn write_bare(sockets: Vec<TcpStream>, frame: &[u8], args: &ServeArgs) -> Result<()> {
    let mut bare = Vec::with_capacity(sockets.len());
    for socket in sockets {
        let socket = socket.into_std()?;
        socket.set_nonblocking(false)?;
        bare.push(socket);
    }
    let clock = Clock::start();
    for round in 0..args.messages {
        wait(clock, args.rate, round).await;
        for socket in &mut bare {
            socket.write_all(frame)?;
        }
    }
    hold(bare);
    Ok(())
}

/// Keeps the sockets open for as long as the process lives, so that closing them is not measured.
fn hold<T>(sockets: Vec<T>) {
    std::mem::forget(sockets);
}

async fn wait(clock: Clock, rate: Pace, round: u64) {
    if let Some(at_us) = rate.due_us(round) {
        tokio::time::sleep_until(clock.instant(at_us)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_their_length_as_the_rfc_says() {
        assert_eq!(frame(3), [0x81, 3, b'x', b'x', b'x']);
        assert_eq!(frame(300)[..4], [0x81, 126, 1, 44]);
        assert_eq!(frame(70_000)[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
