//! A primary, a replica, and a Sentinel that watches them.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::ports::free_port;
use super::redis::{DEADLINE, Redis};

/// The name under which the Sentinel watches the primary.
pub const MASTER: &str = "chat";

/// Three processes; dropping it kills them.
pub struct Watched {
    /// The first primary.
    pub primary: Redis,
    /// The first replica.
    pub replica: Redis,
    sentinel: Child,
    port: u16,
    _folder: TempDir,
}

impl Watched {
    /// Starts them and waits until the Sentinel knows both servers.
    pub async fn start() -> Self {
        let primary = Redis::start().await;
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]).await;
        replica.in_step().await;
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 2000\n",
            folder.path().display(),
            primary.port(),
        );
        fs::write(&file, settings).unwrap();
        let sentinel = Command::new("redis-sentinel")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-sentinel: {error}; apt-get install redis-sentinel"));
        let watched = Self { primary, replica, sentinel, port, _folder: folder };
        watched.knowing_the_replica().await;
        watched
    }

    /// The Sentinel's URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Makes the Sentinel promote the replica though the primary lives.
    pub async fn fail_over(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut order = redis::cmd("SENTINEL");
        order.arg("FAILOVER").arg(MASTER);
        let _: () = order.query_async(&mut connection).await.unwrap();
    }

    async fn knowing_the_replica(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        let known = async {
            loop {
                if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                    let mut question = redis::cmd("SENTINEL");
                    question.arg("REPLICAS").arg(MASTER);
                    let replicas: Vec<HashMap<String, String>> =
                        question.query_async(&mut connection).await.unwrap_or_default();
                    let status = replicas.first().and_then(|replica| replica.get("master-link-status"));
                    // Promoting needs a replica whose link stands.
                    if status.is_some_and(|status| status == "ok") {
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, known).await.is_ok(), "the Sentinel knows no replica");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}
