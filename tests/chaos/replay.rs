//! Users who talk in the meantime: the black-box replay of a real chat log, as a child process, and its
//! verdict.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;

/// Lines said by then: everybody is connected and talks.
const BEGUN_ACKS: f64 = 25.0;

/// A replay under way.
pub struct Replay {
    child: Child,
    log: PathBuf,
    json: PathBuf,
    directory: tempfile::TempDir,
    before: f64,
}

/// What came of it.
pub struct Verdict {
    /// The result as `--json` writes it.
    pub result: Value,
    /// What it printed.
    pub text: String,
}

impl Replay {
    /// Lets a chat log be said in about 8 s: speakers on the first gateway, observers on the others.
    pub async fn start(cluster: &Cluster) -> Self {
        Self::start_at(cluster, "1600x").await
    }

    /// The same in about 15 s, for faults that come one after another.
    pub async fn start_slowly(cluster: &Cluster) -> Self {
        Self::start_at(cluster, "800x").await
    }

    async fn start_at(cluster: &Cluster, speed: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (log, json) = (directory.path().join("replay.log"), directory.path().join("replay.json"));
        let before = cluster.metric("GATEWAY_METRICS_URLS", "tidings_acks_total").await;
        let out = std::fs::File::create(&log).expect("the log can be written");
        let targets = format!("{},{}", cluster.address("FIRST_URL"), cluster.address("OTHERS_URL"));
        let child = Command::new(loadtests())
            .arg("replay")
            .arg(chat_log(directory.path()))
            .args(["--lines", "400", "--speed", speed, "--observers", "4", "--targets", &targets, "--json"])
            .arg(&json)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the log can be shared"))
            .stderr(out)
            .spawn()
            .expect("loadtests runs");
        let mut replay = Self { child, log, json, directory, before };
        replay.await_begun(cluster).await;
        replay
    }

    /// Waits for its end; panics unless the ledger is clean.
    pub fn end(mut self, cluster: &Cluster) -> Verdict {
        let status = self.child.wait().expect("loadtests ends");
        let text = self.text();
        assert!(status.success(), "the ledger is not clean ({status}):\n{text}\n{}", cluster.logs());
        let result = std::fs::read(&self.json).expect("the result was written");
        let verdict = Verdict { result: serde_json::from_slice(&result).expect("it is JSON"), text };
        self.directory.close().expect("the directory goes");
        verdict
    }

    /// Waits until so many more lines were said. Panics when the replay has ended before.
    pub async fn until_said(&mut self, cluster: &Cluster, more: u32) {
        let acks = async || cluster.metric("GATEWAY_METRICS_URLS", "tidings_acks_total").await;
        let wanted = acks().await + f64::from(more);
        let said = async {
            // A gateway that was killed counts from 0 again, so this may take more than was asked for.
            while acks().await < wanted {
                let end = self.child.try_wait().expect("it can be asked");
                assert!(end.is_none(), "the replay has ended before the last fault:\n{}", self.text());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), said).await.is_ok();
        assert!(in_time, "the replay says nothing any more:\n{}\n{}", self.text(), cluster.logs());
    }

    async fn await_begun(&mut self, cluster: &Cluster) {
        let before = self.before;
        let begun = async {
            while cluster.metric("GATEWAY_METRICS_URLS", "tidings_acks_total").await - before < BEGUN_ACKS
                && self.child.try_wait().is_ok_and(|end| end.is_none())
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(90), begun).await.is_ok();
        let runs = self.child.try_wait().is_ok_and(|end| end.is_none());
        assert!(in_time && runs, "the replay did not begin:\n{}\n{}", self.text(), cluster.logs());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).replace('\r', "\n")
    }
}

impl Verdict {
    /// The longest that a latency took, in milliseconds.
    pub fn max_ms(&self, latency: &str) -> f64 {
        let found = self.result["latencies"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == latency))
            .and_then(|one| one["max_ms"].as_f64());
        found.unwrap_or_else(|| panic!("no latency {latency:?} in {}", self.result))
    }
}

fn loadtests() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tidings")).with_file_name("loadtests");
    assert!(path.exists(), "{} is missing: run the tests with --workspace", path.display());
    path
}

/// A real log when there is one beside the project, else an invented one.
fn chat_log(directory: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let real = std::env::var_os("TIDINGS_IRC_LOG").map(PathBuf::from);
    if let Some(real) = real.filter(|real| real.exists()) {
        return real;
    }
    let sample = Command::new(root.join("scripts/irc-sample")).arg("400").output().expect("irc-sample runs");
    assert!(sample.status.success(), "irc-sample: {}", String::from_utf8_lossy(&sample.stderr));
    let file = directory.join("sample.txt");
    std::fs::write(&file, sample.stdout).expect("the sample can be written");
    file
}
