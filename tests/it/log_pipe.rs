//! A log that is not read stops no work.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::support::DEADLINE;
use crate::support::server::clean_command;

/// Standard error is a pipe that is held and not read: a terminal after Ctrl-S, a log driver that hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_pipe_that_is_not_read_stops_neither_requests_nor_the_end() {
    let folder = TempDir::new().unwrap();
    let (unread, stuck) = std::io::pipe().unwrap();
    let mut server = clean_command(&[])
        .args(["serve", "--listen", "127.0.0.1:0", "--set", "telemetry.log_filter=trace", "--data-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stuck)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let listens = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it says where it listens");
            if let Some((_, address)) = line.split_once("listens on ") {
                return format!("http://{address}");
            }
        }
    };
    let url = timeout(DEADLINE, listens).await.expect("in time");
    let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
    for _ in 0..600 {
        let refused = client.get(format!("{url}/v1/me")).send().await.expect("it is answered");
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(client.get(format!("{url}/healthz")).send().await.unwrap().status(), StatusCode::OK);
    let pid = server.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    assert!(sent.success());
    let status = timeout(DEADLINE, server.wait()).await.expect("it ends though nobody reads").unwrap();
    assert!(status.success(), "{status}");
    // It was stuck indeed: the pipe, of 64 KiB, has no room for another line.
    let mut text = vec![0; 60 * 1024];
    File::from(std::os::fd::OwnedFd::from(unread)).read_exact(&mut text).expect("a full pipe");
}
