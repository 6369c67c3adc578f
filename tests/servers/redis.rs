//! A real `redis-server` as a child process, with faults that tests can cause.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::ports::free_port;

/// How long a server may take to come up.
pub const DEADLINE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(10);

/// A running server, empty, on a port of its own. Dropping it kills it.
pub struct Redis {
    child: Child,
    running: bool,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Redis {
    /// A primary.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with more arguments, as in `["--replicaof", "127.0.0.1 6379"]`.
    pub async fn start_with(arguments: &[&str]) -> Self {
        Self::start_at(free_port(), arguments).await
    }

    /// A server on a given port.
    pub async fn start_at(port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(port, &arguments, &folder);
        let server = Self { child, running: true, port, arguments, folder };
        server.answering().await;
        server
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to give it orders by.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// One command, its words apart by blanks.
    pub async fn order(&self, words: &str) -> redis::Value {
        self.try_order(words).await.unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// The same, of a server that may be changing its role.
    pub async fn try_order(&self, words: &str) -> redis::RedisResult<redis::Value> {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let client = redis::Client::open(self.url())?;
        command.query_async(&mut client.get_multiplexed_async_connection().await?).await
    }

    /// `kill -9`: the process is gone when this returns.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.running = false;
    }

    /// Starts it again after [`Redis::kill9`], on the same port, empty.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port, &self.arguments, &self.folder);
        self.running = true;
        self.answering().await;
    }

    /// Waits until it, a replica, is in step with its primary.
    pub async fn in_step(&self) {
        let synced = async {
            loop {
                let info: String = redis::from_redis_value(self.order("INFO replication").await).unwrap();
                if info.contains("master_link_status:up") {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, synced).await.is_ok(), "the replica is never in step");
    }

    /// Whether it was not killed, or started again.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// It stops doing anything; its connections stay.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// It goes on where it stopped.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Ends the connections of all subscribers.
    pub async fn cut_pubsub_clients(&self) {
        self.order("CLIENT KILL TYPE pubsub").await;
    }

    /// Removes all keys.
    pub async fn flush(&self) {
        self.order("FLUSHALL").await;
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    async fn answering(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        let up = async {
            loop {
                if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                    && redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
                {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        if tokio::time::timeout(DEADLINE, up).await.is_err() {
            panic!("redis-server on port {} did not answer within {DEADLINE:?}", self.port);
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, arguments: &[String], folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        // A replica is in step at once.
        .args(["--repl-diskless-sync-delay", "0"])
        .args(["--dir", &folder.path().display().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server: {error}; apt-get install redis-server"))
}
