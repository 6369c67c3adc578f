//! The real binary as a child process, on a data directory and a port of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::DEADLINE;

/// Settings of every server here: the log says all it can, so that a secret in it is seen; stopping takes no
/// longer than a test waits, since clients here do not reconnect when asked to; nobody is in a conversation
/// that the test did not make; all clients come from one address; and nobody is a stranger to anybody.
const SETTINGS: [(&str, &str); 7] = [
    ("TIDINGS__TELEMETRY__LOG_FILTER", "debug"),
    ("TIDINGS__SERVER__SHUTDOWN_MS", "3500"),
    ("TIDINGS__CONVERSATIONS__DEFAULT", ""),
    ("TIDINGS__SERVER__LOOPBACK_EXEMPT", "true"),
    ("TIDINGS__PRIVACY__GROUPS", "everyone"),
    ("TIDINGS__SERVER__DIRECTORY", "open"),
    ("TIDINGS__PRIVACY__STRANGER_MESSAGES", "1000000"),
];

/// The folder in which [`Server::panic_at`] asks for a panic.
const POINTS: &str = "panic-points";

/// While this lives, threads of the server are stuck; see [`Server::stop_at`].
pub struct Stopped {
    /// Held open: who reads it waits for its end.
    _pipe: File,
    path: PathBuf,
}

impl Stopped {
    /// Threads that come by from now on are not stopped any more.
    pub fn let_others_pass(&self) {
        fs::remove_file(&self.path).unwrap();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// A running server. Dropping it kills the process and removes its data.
pub struct Server {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
    data: PathBuf,
    env: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl Server {
    /// Starts a server on a free port of loopback with an empty data directory. `env` are settings, such as
    /// `("TIDINGS__GATEWAY__HELLO_TIMEOUT_MS", "300")`. Panics with the server's log when it does not come
    /// up.
    pub async fn start(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env: Vec<_> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let data = dir.path().join("data");
        let (child, addr) = spawn_on(dir.path(), &data, "127.0.0.1:0", &env, &[]).await;
        Self { child, addr, dir, data, env, wrapper: Vec::new() }
    }

    /// Starts a server whose data lie on a disk of `mib` mebibytes of its own, which goes with the process.
    /// See [`Server::disk`].
    pub async fn start_on_small_disk(mib: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let data = disk.join("data");
        let script = format!("mount -t tmpfs -o size={mib}m tmpfs \"$0\" && exec \"$@\"");
        // Who is not root becomes so in a namespace of its own.
        let wrapper =
            ["unshare", "--mount", "--map-root-user", "sh", "-c", &script, &disk.display().to_string()]
                .map(str::to_owned)
                .to_vec();
        let (child, addr) = spawn_on(dir.path(), &data, "127.0.0.1:0", &[], &wrapper).await;
        Self { child, addr, dir, data, env: Vec::new(), wrapper }
    }

    /// Starts a server by way of `wrapper`, a program that ends by becoming it.
    pub async fn start_by(wrapper: &[String], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env: Vec<_> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let data = dir.path().join("data");
        let (child, addr) = spawn_on(dir.path(), &data, "127.0.0.1:0", &env, wrapper).await;
        Self { child, addr, dir, data, env, wrapper: Vec::new() }
    }

    /// The small disk, as the server sees it.
    pub fn disk(&self) -> PathBuf {
        let inside = self.data.parent().unwrap().strip_prefix("/").unwrap();
        Path::new(&format!("/proc/{}/root", self.pid())).join(inside)
    }

    /// Where it answers operators.
    pub fn internal_socket(&self) -> PathBuf {
        let folder = if self.wrapper.is_empty() { self.data.clone() } else { self.disk().join("data") };
        folder.join("tidings.sock")
    }

    /// Starts a server on a data folder that is there.
    pub async fn start_in(data: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (child, addr) = spawn_on(dir.path(), data, "127.0.0.1:0", &[], &[]).await;
        Self { child, addr, dir, data: data.to_owned(), env: Vec::new(), wrapper: Vec::new() }
    }

    /// Where its files are.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `path` (with its leading slash) as a URL of this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Everything it has written so far, on stdout and stderr, over all its starts.
    pub fn log(&self) -> String {
        log_of(self.dir.path())
    }

    /// Its resident memory (Linux only: read from `/proc`).
    pub fn rss_bytes(&self) -> u64 {
        let pid = self.pid();
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).expect("these tests need Linux's /proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Keeps what the server has measured, where `scripts/moved` looks whether every series moved in some
    /// test.
    fn keep_series(&self) {
        let Some(directory) = std::env::var_os("TIDINGS_SERIES_DIR") else { return };
        let patience = Duration::from_secs(2);
        let scrape = || -> std::io::Result<Vec<u8>> {
            let mut stream = UnixStream::connect(self.internal_socket())?;
            stream.set_read_timeout(Some(patience))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n")?;
            let mut page = Vec::new();
            stream.read_to_end(&mut page)?;
            Ok(page)
        };
        // One that has ended or does not answer is not asked; others move the same series.
        if let Ok(page) = scrape() {
            let file = Path::new(&directory).join(format!("{}-{}", self.addr.port(), super::uuid()));
            fs::write(file, page).unwrap();
        }
    }

    /// `kill -9`: the process is gone when this returns.
    pub async fn kill(&mut self) {
        self.keep_series();
        self.child.kill().await.unwrap();
    }

    /// Makes the process panic, once, the next time it comes by this point of `src/panics.rs`.
    pub fn panic_at(&self, point: &str) {
        File::create(self.dir.path().join(POINTS).join(point)).unwrap();
    }

    /// Makes each thread that comes by this point of `src/panics.rs` stuck, until the answer is dropped.
    pub fn stop_at(&self, point: &str) -> Stopped {
        let pipe = self.dir.path().join(POINTS).join(point);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Opened for both, it does not wait for a reader.
        let open = File::options().read(true).write(true).open(&pipe).unwrap();
        Stopped { _pipe: open, path: pipe }
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(DEADLINE, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the server did not end within {DEADLINE:?}; its log:\n{}", self.log()),
        }
    }

    /// SIGTERM; does not wait.
    pub async fn ask_to_stop(&self) {
        self.signal("TERM").await;
    }

    /// Sends any signal; does not wait.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success(), "kill -s {name} {pid} failed");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server is running")
    }

    /// Runs another command of the binary on the same data folder: its status, and what it wrote.
    pub async fn command(&self, arguments: &[&str]) -> (ExitStatus, String) {
        run_on(&self.data, arguments).await
    }

    /// SIGTERM, then waits until it has ended by itself.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.keep_series();
        self.ask_to_stop().await;
        self.ended().await
    }

    /// Starts it again after [`Server::kill`] or [`Server::terminate`]: the same data, the same port.
    pub async fn restart(&mut self) {
        let (child, addr) =
            spawn_on(self.dir.path(), &self.data, &self.addr.to_string(), &self.env, &self.wrapper).await;
        self.child = child;
        self.addr = addr;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.keep_series();
        }
    }
}

/// Runs a command of the binary on a data folder: its status, and what it wrote.
pub async fn run_on(data: &Path, arguments: &[&str]) -> (ExitStatus, String) {
    let mut command = clean_command(&[]);
    command.args(arguments).arg("--data-dir").arg(data).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends in time").unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}

/// The binary, started by `wrapper` when that is given, without the settings of the machine this runs on.
pub fn clean_command(wrapper: &[String]) -> Command {
    let binary = env!("CARGO_BIN_EXE_tidings");
    let mut command = match wrapper {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("TIDINGS") {
            command.env_remove(key);
        }
    }
    command
}

fn stdout_file(dir: &Path) -> PathBuf {
    dir.join("stdout.log")
}

fn stderr_file(dir: &Path) -> PathBuf {
    dir.join("stderr.log")
}

fn log_of(dir: &Path) -> String {
    let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    read(stdout_file(dir)) + &read(stderr_file(dir))
}

fn appending(path: PathBuf) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

async fn spawn_on(
    dir: &Path,
    data: &Path,
    listen: &str,
    env: &[(String, String)],
    wrapper: &[String],
) -> (Child, SocketAddr) {
    fs::create_dir_all(dir.join(POINTS)).unwrap();
    let mut command = clean_command(wrapper);
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(data)
        .args(["--listen", listen])
        .envs(SETTINGS)
        .env("TIDINGS_PANIC_POINTS", dir.join(POINTS))
        .envs(env.iter().map(|(key, value)| (key, value)))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(appending(stderr_file(dir)))
        .kill_on_drop(true);
    let mut child = command.spawn().expect("the tidings binary starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut copy = appending(stdout_file(dir));
    let found = timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            write_line(&mut copy, &line);
            if let Some(addr) = listen_address(&line) {
                return Some(addr);
            }
        }
        None
    });
    let Ok(Some(addr)) = found.await else {
        panic!(
            "`tidings serve` printed no http://127.0.0.1:PORT within {DEADLINE:?}; its log:\n{}",
            log_of(dir)
        );
    };
    // The pipe is read to its end, or a server that logs to stdout would block on it.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            write_line(&mut copy, &line);
        }
    });
    (child, addr)
}

fn write_line(file: &mut File, line: &str) {
    // The directory may be gone already when the last lines of a killed server arrive.
    let _ = writeln!(file, "{line}");
}

fn listen_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    rest[..end].parse().ok().filter(|addr: &SocketAddr| addr.port() != 0)
}
