//! A real cluster, started by `scripts/cluster` as an operator would, with access to every process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// For the cluster to come up, on a machine at work on other things.
const UP: Duration = Duration::from_secs(120);

/// One cluster at a time, also where tests share a process.
static TURN: Mutex<()> = Mutex::new(());

/// A running cluster; dropping it ends every process of it.
pub struct Cluster {
    _turn: MutexGuard<'static, ()>,
    supervisor: Child,
    parent: TempDir,
    addresses: HashMap<String, String>,
}

impl Cluster {
    /// Starts it; `settings` are for every Tidings process, as `("gateway.heartbeat_ms", "1000")`. Panics
    /// with the logs when it does not come up.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let parent =
            tempfile::Builder::new().prefix("tidings-chaos-").tempdir().expect("a temporary directory");
        make_enterable(parent.path());
        let mut command = Command::new(script());
        command.arg("up").arg("--fast").arg("--dir").arg(parent.path().join("cluster"));
        for (key, value) in settings.iter().chain(LIFTED) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let log = std::fs::File::create(parent.path().join("up.log")).expect("the log can be written");
        let supervisor = command
            .env("TIDINGS_BIN", env!("CARGO_BIN_EXE_tidings"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log can be shared"))
            .stderr(log)
            .spawn()
            .expect("scripts/cluster runs");
        let mut cluster = Self { _turn: turn, supervisor, parent, addresses: HashMap::new() };
        cluster.await_ready().await;
        let text = std::fs::read_to_string(cluster.dir().join("addresses")).expect("the addresses are there");
        for line in text.lines() {
            if let Some((name, value)) = line.split_once('=') {
                cluster.addresses.insert(name.to_owned(), value.trim_matches('"').to_owned());
            }
        }
        cluster
    }

    /// An address by its name in `DIR/addresses`.
    pub fn address(&self, name: &str) -> &str {
        &self.addresses[name]
    }

    /// Sends a signal (`KILL`, `STOP`, `CONT`, `TERM`) to a process by its name. Killed, it is gone when this
    /// returns. Freezing and thawing is for all its child processes too: Postgres has one per connection.
    pub async fn signal(&self, name: &str, signal: &str) {
        let pid = self.pid(name);
        let mut pids = vec![pid.clone()];
        if matches!(signal, "STOP" | "CONT") {
            pids.extend(children(&pid));
        }
        let status = Command::new("kill").arg(format!("-{signal}")).args(&pids).status().expect("kill runs");
        assert!(status.success(), "kill -{signal} {name} (processes {pids:?}) failed");
        if signal == "KILL" {
            let gone = async {
                while is_running(&pid) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), gone).await.expect("a killed process ends");
        }
    }

    /// Starts a process again that has ended.
    pub fn restart(&self, name: &str) {
        let output = self.script(&["start", name]);
        assert!(output.status.success(), "{name} could not be started: {output:?}");
    }

    /// Runs `scripts/cluster` with these words on this cluster.
    pub fn script(&self, words: &[&str]) -> Output {
        let mut command = Command::new(script());
        command.args(words).arg("--dir").arg(self.dir()).stdin(Stdio::null());
        command.output().expect("scripts/cluster runs")
    }

    /// What the script that started the cluster has printed so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.parent.path().join("up.log")).expect("the log is there")
    }

    /// Whether the script that started the cluster has ended.
    pub fn has_ended(&mut self) -> bool {
        self.supervisor.try_wait().expect("it can be asked").is_some()
    }

    /// Adds a line to how a process is started, before it is: an environment variable of its own.
    pub fn export(&self, name: &str, variable: &str, value: &str) {
        let file = self.dir().join(format!("{name}.sh"));
        let before = std::fs::read_to_string(&file).expect("the process is known");
        std::fs::write(&file, format!("export {variable}={value}\n{before}")).expect("it can be written");
    }

    /// Takes [`Cluster::export`] back.
    pub fn unexport(&self, name: &str, variable: &str) {
        let file = self.dir().join(format!("{name}.sh"));
        let before = std::fs::read_to_string(&file).expect("the process is known");
        let kept: Vec<&str> =
            before.lines().filter(|line| !line.starts_with(&format!("export {variable}="))).collect();
        std::fs::write(&file, kept.join("\n") + "\n").expect("it can be written");
    }

    /// Whether a process runs.
    pub fn runs(&self, name: &str) -> bool {
        is_running(&self.pid(name))
    }

    /// Runs one command on Redis, such as `["FLUSHALL"]`.
    pub fn redis(&self, words: &[&str]) {
        let port = self.address("REDIS_URL").rsplit(':').next().expect("the URL has a port");
        let output =
            Command::new("redis-cli").args(["-p", port]).args(words).output().expect("redis-cli runs");
        assert!(output.status.success(), "redis-cli {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs one statement on the primary and answers its output, unaligned.
    pub fn sql(&self, statement: &str) -> String {
        let output = Command::new("psql")
            .args(["-X", "-A", "-t", "-c", statement, self.address("POSTGRES_URL")])
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The sum of a metric over the processes at these internal addresses (`GATEWAY_METRICS_URLS` or another
    /// list).
    pub async fn metric(&self, addresses: &str, name: &str) -> f64 {
        let (mut sum, http) = (0.0, reqwest::Client::new());
        for address in self.address(addresses).split(' ') {
            let asked = http.get(format!("{address}/metrics")).bearer_auth(self.address("INTERNAL_TOKEN"));
            let Ok(response) = asked.send().await else { continue };
            let text = response.text().await.unwrap_or_default();
            let lines = text
                .lines()
                .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
            sum += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        sum
    }

    /// Waits until at least `count` of the processes at these internal addresses show `actor` as wanted.
    pub async fn until_shown(
        &self,
        addresses: &str,
        actor: &str,
        count: usize,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) {
        let http = reqwest::Client::new();
        let reached = async {
            loop {
                let mut reached = 0;
                for address in self.address(addresses).split(' ') {
                    let asked =
                        http.get(format!("{address}/inspect")).bearer_auth(self.address("INTERNAL_TOKEN"));
                    let Ok(response) = asked.send().await else { continue };
                    let Ok(parts) = response.json::<Vec<Value>>().await else { continue };
                    reached += usize::from(
                        parts.iter().any(|part| part["actor"] == actor && wanted(&part["state"])),
                    );
                }
                if reached >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
        assert!(reached.is_ok(), "{what}: not within 10 s\n{}", self.logs());
    }

    /// The last lines of every log, for a failure's message.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.dir())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        files.sort();
        for file in files {
            let content = std::fs::read(&file).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<&str> = content.lines().collect();
            let last = &lines[lines.len().saturating_sub(15)..];
            text += &format!("--- {}\n{}\n", file.display(), last.join("\n"));
        }
        text
    }

    fn dir(&self) -> PathBuf {
        self.parent.path().join("cluster")
    }

    fn pid(&self, name: &str) -> String {
        let text =
            std::fs::read_to_string(self.dir().join(format!("{name}.pid"))).expect("the process is known");
        text.trim().to_owned()
    }

    async fn await_ready(&mut self) {
        let ready = async {
            while !self.dir().join("ready").exists()
                && self.supervisor.try_wait().is_ok_and(|end| end.is_none())
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(UP, ready).await.is_ok();
        if !in_time || !self.dir().join("ready").exists() {
            panic!("the cluster did not come up:\n{}\n{}", self.said(), self.logs());
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGTERM: the script ends its processes in order. What hangs it ends the hard way itself.
        if self.has_ended() {
            return;
        }
        let _ = Command::new("kill").args(["-TERM", &self.supervisor.id().to_string()]).status();
        let _ = self.supervisor.wait();
    }
}

const LIFTED: &[(&str, &str)] = &[("telemetry.log_filter", "info")];

/// The script itself.
pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster")
}

/// Postgres runs as its own user when the tests run as root, and has to reach its files.
fn make_enterable(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("its mode can be set");
}

fn children(parent: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("these tests need Linux's /proc");
    let pids = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_child = |pid: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(parent)
    };
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).filter(is_child).collect()
}

/// Whether a process runs; one that ended and was not waited for yet does not.
fn is_running(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name, which may hold anything and ends with the last parenthesis.
    !matches!(stat.rsplit(") ").next().and_then(|rest| rest.chars().next()), Some('Z' | 'X') | None)
}
