//! The state of the bus in the answers of a running process.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::recording_listener::DEADLINE;
use crate::servers::Redis;

struct Served {
    _child: Child,
    inside: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn start(redis: &Redis) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(["serve", "--listen", "127.0.0.1:0", "--set", "bus.backend=redis", "--set"])
            .arg(format!("bus.redis.url={}", redis.url()))
            .arg("--data-dir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let named = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("listens on ") {
                    return;
                }
            }
            panic!("the server ended before it listened");
        };
        tokio::time::timeout(DEADLINE, named).await.expect("the server says where it listens");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let socket = folder.path().join("tidings.sock");
        let inside = reqwest::Client::builder().unix_socket(socket).build().unwrap();
        Self { _child: child, inside, _folder: folder }
    }

    /// The status of `/readyz` and what it says of the bus, once that is in `state`.
    async fn bus_that(&self, state: &str) -> (u16, Value) {
        let shown = async {
            loop {
                let answer = self.inside.get("http://internal/readyz").send().await.unwrap();
                let status = answer.status().as_u16();
                let text = answer.text().await.unwrap();
                let report: Value = serde_json::from_str(&text).unwrap();
                let dependencies = report["dependencies"].as_array().unwrap();
                let bus = dependencies.iter().find(|one| one["name"] == "bus").unwrap().clone();
                if bus["state"] == state {
                    return (status, bus);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(DEADLINE, shown).await.unwrap_or_else(|_| panic!("the bus is never {state}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_without_its_bus_and_says_since_when() {
    let mut redis = Redis::start().await;
    let served = Served::start(&redis).await;
    let (status, bus) = served.bus_that("works").await;
    assert_eq!(status, 200, "{bus}");
    redis.kill9();
    let (status, away) = served.bus_that("away").await;
    assert_eq!(status, 200, "the log carries everything");
    assert_ne!(away["since"], bus["since"]);
    redis.restart().await;
    assert_eq!(served.bus_that("works").await.0, 200);
}
