//! A PgBouncer in transaction mode in front of a Postgres server.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use tempfile::TempDir;

use super::ports::free_port;
use super::postgres::Postgres;
use super::process::{Process, give_away, program, unprivileged, until};

/// A running pooler. Dropping it stops it.
pub struct PgBouncer {
    _process: Process,
    port: u16,
}

impl PgBouncer {
    /// Starts a pooler with few connections, so that callers share them, in the mode that changes connections
    /// with every transaction.
    pub async fn start(before: &Postgres) -> Self {
        let directory: PathBuf =
            TempDir::with_prefix("tidings-pgbouncer-").expect("a temporary directory").keep();
        let port = free_port();
        let users = directory.join("users");
        fs::write(&users, "\"tidings\" \"\"\n").expect("it can be written");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 3\n\
             server_reset_query =\n",
            before.port(),
            users.display()
        );
        let file = directory.join("pgbouncer.ini");
        fs::write(&file, settings).expect("it can be written");
        give_away(&directory);
        let binary = program(&["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"], "pgbouncer");
        let command = unprivileged(&binary, &[&file.display().to_string()]);
        let process = Process::start(&command, "KILL", &directory);
        until("pgbouncer listens", || async { TcpStream::connect(("127.0.0.1", port)).is_ok() }).await;
        Self { _process: process, port }
    }

    /// The URL of a database through this pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tidings@127.0.0.1:{}/{database}", self.port)
    }
}
