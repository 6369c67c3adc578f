//! How a server starts, and what an operator is told before and meanwhile.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::rest::Rest;
use crate::support::server::{Server, clean_command, run_on};
use crate::support::{DEADLINE, now};

async fn output(arguments: &[&str]) -> String {
    let mut command = clean_command(&[]);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends by itself").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A shell that sets limits on open files and becomes the server.
fn with_limits(limits: &str) -> Vec<String> {
    ["sh", "-c", &format!("{limits}; exec \"$@\""), "sh"].map(str::to_owned).to_vec()
}

async fn metric(rest: &Rest, name: &str) -> f64 {
    let page = rest.internal("/metrics").await.text;
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_on_open_files_is_raised_to_the_highest_that_is_allowed() {
    let server = Server::start_by(&with_limits("ulimit -S -n 300; ulimit -H -n 2000"), &[]).await;
    let rest = Rest::new(&server);
    assert_eq!(metric(&rest, "process_max_fds ").await, 2_000.0);
    // As many connections are served as that allows, and one line says so.
    let said = "warning      2000 open files allow 1744 connections, not 100000";
    assert_eq!(server.log().matches(said).count(), 1, "{}", server.log());
    assert!(server.log().contains("1744 connections, 2000 files"), "{}", server.log());

    let server = Server::start_by(
        &with_limits("ulimit -S -n 300; ulimit -H -n 2000"),
        &[("TIDINGS__SERVER__MAX_CONNECTIONS", "1000")],
    )
    .await;
    assert!(!server.log().contains("open files allow"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_no_terminal_has_no_escape_codes_and_no_noise() {
    let server = Server::start(&[("TIDINGS__TELEMETRY__LOG_FILTER", "info")]).await;
    let began = now();
    while !server.log().contains(" serving") {
        assert!(began.elapsed() < DEADLINE, "{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let log = server.log();
    assert!(!log.contains('\u{1b}'), "{log:?}");
    assert!(!log.contains("actix"), "the HTTP server's own lines: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_build_is_named_by_the_binary_the_start_and_the_metrics() {
    let version = env!("CARGO_PKG_VERSION");
    let said = output(&["--version"]).await;
    let commit =
        said.trim().strip_prefix(&format!("tidings {version} (")).and_then(|rest| rest.strip_suffix(')'));
    let commit = commit.unwrap_or_else(|| panic!("{said}"));
    let server = Server::start(&[]).await;
    assert!(
        server.log().starts_with(&format!("Tidings {version} ({commit}) listens on ")),
        "{}",
        server.log()
    );
    let series = format!("tidings_build_info{{version=\"{version}\",commit=\"{commit}\"}} ");
    assert_eq!(metric(&Rest::new(&server), &series).await, 1.0, "{series}");
}

#[tokio::test]
async fn the_binary_explains_every_setting() {
    let file = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml")).unwrap();
    assert_eq!(output(&["config", "default"]).await, file);
    // Also where the settings are wrong.
    assert_eq!(output(&["config", "default", "--set", "server.listen=nowhere"]).await, file);

    let folder = TempDir::new().unwrap();
    let explained = output(&["config", "dump", "--explain", "--set", "server.workers=3"]).await;
    assert!(
        explained.contains("# Worker threads. 0: one per core.\nworkers = 3  # command line\n"),
        "{explained}"
    );
    let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    let head = file.lines().take_while(|line| line.starts_with('#')).count();
    assert_eq!(comments(&explained), comments(&file) - head, "every explanation is there");
    // What it prints is a file with settings.
    let written = folder.path().join("tidings.toml");
    fs::write(&written, &explained).unwrap();
    output(&["config", "check", "--config", written.to_str().unwrap()]).await;
    assert!(!output(&["config", "dump"]).await.contains("# Worker threads"));
}

/// Every file below a folder, with its bytes and the time of its last change.
fn snapshot(folder: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(snapshot(&path));
        } else if path.is_file() {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            found.push((path.display().to_string(), fs::read(&path).unwrap(), changed));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_up_writes_nothing_and_ends_with_a_verdict() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("data");
    let looks = ["doctor", "--listen", "127.0.0.1:0", "--set", "server.max_connections=100"];
    let (status, text) = run_on(&data, &looks).await;
    assert!(status.success() && text.ends_with("\na start would work\n"), "{text}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "it made something");

    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    rest.send(&ada, &group, "hello").await;
    let (status, text) = server.command(&looks).await;
    assert!(status.success() && text.ends_with("\nthe server is healthy\n"), "{text}");

    // After a crash the log lies beside the database; a look leaves it there.
    server.kill().await;
    let before = snapshot(server.data());
    let (status, text) = server.command(&looks).await;
    assert!(status.success() && text.contains("did not end in order, the next start repairs it"), "{text}");
    assert!(text.contains("no other server works here"), "{text}");
    assert_eq!(snapshot(server.data()), before, "it changed something");

    // Files that others can read are a warning, since a start closes them.
    let database = server.data().join("tidings.db");
    fs::set_permissions(&database, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (status, text) = server.command(&looks).await;
    assert!(status.success() && text.contains("warn  folder"), "{text}");
    assert!(
        text.contains("1 files are open to other users")
            && text.ends_with("\na start would work, with one warning\n"),
        "{text}"
    );

    // A port that is taken makes a start fail.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, text) =
        server.command(&["doctor", "--listen", &address, "--set", "server.max_connections=100"]).await;
    assert!(!status.success() && text.contains("FAIL  address"), "{text}");
    assert!(text.contains("\na start would fail: 1 of "), "{text}");
}
