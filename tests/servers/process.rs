//! A server's process, which does not outlive the test.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Starts a server in a session of its own, says its pid, and waits until the test is gone (or asks for the
/// end by closing the pipe). Then lets whatever was frozen go on, and stops the server. $1: signal to stop
/// with, $2: directory to remove unless it holds a file `keep`, $3: log file, then the command.
const WATCHER: &str = r#"
signal=$1 directory=$2 log=$3
shift 3
setsid "$@" </dev/null >>"$log" 2>&1 &
server=$!
echo "$server"
cat >/dev/null
for process in $(cat "/proc/$server/task/$server/children" 2>/dev/null) "$server"; do
    kill -s CONT "$process" 2>/dev/null
done
kill -s "$signal" "$server" 2>/dev/null
wait "$server"
[ -e "$directory/keep" ] || rm -rf "$directory"
"#;

/// A running server.
pub struct Process {
    watcher: Child,
    pid: u32,
}

impl Process {
    /// Starts `command`, whose output goes to `log` in `directory`; `signal` stops it (`INT`, `TERM`), and
    /// `directory` is removed after it, unless it holds a file `keep`.
    pub fn start(command: &[String], signal: &str, directory: &Path) -> Self {
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER, "watcher", signal])
            .arg(directory)
            .arg(directory.join("log"))
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        let said = watcher.stdout.take().expect("its output is piped");
        BufReader::new(said).read_line(&mut line).expect("the watcher says the server's pid");
        let pid = line.trim().parse().expect("a pid");
        Self { watcher, pid }
    }

    /// Sends a signal to the server and to the processes it has made: `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        let children = format!("/proc/{0}/task/{0}/children", self.pid);
        let send = |pid: &str| {
            // One that ended in between is signalled in vain.
            let sent = Command::new("kill").args(["-s", signal, pid]).stderr(Stdio::null()).status();
            sent.expect("kill runs");
        };
        // The parent first: it makes no more of them, and takes no end of one for a crash.
        send(&self.pid.to_string());
        for pid in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            send(pid);
        }
    }

    /// Is it there still?
    pub fn lives(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = status.rsplit(')').next().unwrap_or_default().trim().chars().next();
        state.is_some_and(|state| state != 'Z')
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(&mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().expect("the watcher ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The program at one of these places.
///
/// # Panics
/// When it is at none: the text names the package.
pub fn program(places: &[&str], package: &str) -> PathBuf {
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{} is missing: run `apt-get install {package}`", places.join(" or ")))
}

/// The command, run as user `postgres` when the tests run as root, which these servers refuse to do.
pub fn unprivileged(program: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command: Vec<String> = Vec::new();
    if is_root() {
        let become_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
        command.extend(become_postgres.map(str::to_owned));
    }
    command.push(program.display().to_string());
    command.extend(arguments.iter().map(|&argument| argument.to_owned()));
    command
}

/// Runs a command to its end.
///
/// # Panics
/// When it fails: with what it said.
pub fn run(command: &[String]) {
    let output =
        Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).output().expect("it runs");
    assert!(
        output.status.success(),
        "{}\n{}{}",
        command.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Gives a directory to user `postgres` when the tests run as root.
///
/// # Panics
/// When that user cannot reach it.
pub fn give_away(directory: &Path) {
    if is_root() {
        for above in directory.ancestors().skip(1) {
            let mode = above.metadata().map_or(0, |above| above.mode());
            assert!(
                mode & 0o001 != 0,
                "{} is closed to user postgres: run `chmod o+x` on it, or set TMPDIR to another directory",
                above.display()
            );
        }
        run(&["chown".to_owned(), "-R".to_owned(), "postgres:".to_owned(), directory.display().to_string()]);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Waits for `condition`, looking every few milliseconds.
///
/// # Panics
/// When it does not come true within half a minute.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waited = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, waited).await.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"));
}
