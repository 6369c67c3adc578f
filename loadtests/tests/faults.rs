//! The whole tool, as a process, against a server that breaks one promise: the exit code and the ledger must
//! show it.

mod mock;

use std::path::{Path, PathBuf};

use mock::Fault;
use serde_json::Value;

struct Ran {
    code: Option<i32>,
    result: Value,
    out: String,
}

impl Ran {
    fn ledger(&self, name: &str) -> u64 {
        self.result["ledger"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.out))
    }
}

/// A directory of this test's own, for what the tool writes.
fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

async fn loadtests(name: &str, args: &[&str]) -> Ran {
    let dir = scratch(name);
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_loadtests"))
        .args(args)
        .args(["--json", "result.json", "--svg", "result.svg"])
        .current_dir(&dir)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let result = std::fs::read(dir.join("result.json")).unwrap_or_else(|_| b"null".to_vec());
    let svg = std::fs::read_to_string(dir.join("result.svg")).unwrap_or_default();
    std::fs::remove_dir_all(&dir).unwrap();
    let out =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_slice(&result).unwrap();
    assert_eq!(result.is_null(), !svg.starts_with("<svg"), "table, JSON and picture go together: {out}");
    Ran { code: output.status.code(), result, out }
}

async fn replay(name: &str, fault: Fault, more: &[&str]) -> Ran {
    let url = mock::start(fault).await;
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/short.txt");
    let mut args =
        vec!["replay", log, "--target", &url, "--observers", "2", "--guests", "0", "--settle-s", "2"];
    args.extend(if more.is_empty() { &["--speed", "max"] } else { more });
    loadtests(name, &args).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_server_comes_out_clean() {
    let ran = replay("clean", Fault::None, &["--speed", "100x", "--in-flight", "2"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!((ran.ledger("sent"), ran.ledger("acked")), (23, 23));
    let missing = 6 * 23 - 23_i64;
    assert!(ran.ledger("delivered") as i64 > missing, "{}", ran.out);
    let delivery = &ran.result["latencies"][1];
    assert!(delivery["count"].as_u64().unwrap() > 23 && delivery["p99_ms"].as_f64().unwrap() < 2_000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn msgpack_accounts_and_two_servers_work_alike() {
    let url = mock::start(Fault::None).await;
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/short.txt");
    let two = format!("{url},{url}");
    let args = [
        "replay",
        log,
        "--targets",
        &two,
        "--encoding",
        "msgpack",
        "--accounts",
        "--speed",
        "max",
        "--observers",
        "1",
        "--guests",
        "0",
    ];
    let ran = loadtests("msgpack", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_live_event_is_told() {
    let ran = replay("drop", Fault::DropLive, &[]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.ledger("gaps") > 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubled_live_event_is_told() {
    let ran = replay("double", Fault::DoubleLive, &[]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.ledger("doubled") > 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_without_a_store_is_told() {
    let ran = replay("forget", Fault::AckAndForget, &[]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.ledger("lost") + ran.ledger("divergent") > 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reordered_live_events_are_told() {
    let ran = replay("reorder", Fault::Reorder, &[]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.ledger("gaps") > 0, "the early one comes over a hole: {}", ran.out);
    assert!(
        ran.ledger("reordered") + ran.ledger("doubled") > 0,
        "the late one comes too late or twice: {}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_stored_twice_is_told() {
    let ran = replay("twice", Fault::CutAndStoreTwice, &[]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.ledger("doubled") > 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_before_the_ack_is_survived() {
    let ran = replay("cut", Fault::CutAndRecognise, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.ledger("repeated") > 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_loses_nothing() {
    let ran = replay("handover", Fault::HandOver, &["--speed", "300x"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.result["figures"]["handovers"], 1, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_back_is_waited_out() {
    let ran = replay("pushback", Fault::PushBack, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.ledger("repeated") > 0, "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_told_and_proves_nothing() {
    let ran = replay("silence", Fault::NeverAnswer, &[]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert_eq!((ran.ledger("unanswered"), ran.result["ledger"]["vacuous"].as_bool()), (23, Some(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_are_proven_too() {
    let url = mock::start(Fault::None).await;
    let args =
        ["direct", "--target", &url, "--users", "4", "--rate", "40", "--secs", "1", "--max-p99-ms", "5000"];
    let ran = loadtests("direct", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.ledger("acked"), 40);
    let url = mock::start(Fault::AckAndForget).await;
    let args =
        ["direct", "--target", &url, "--users", "4", "--rate", "max", "--secs", "0.3", "--settle-s", "2"];
    assert_eq!(loadtests("direct-lost", &args).await.code, Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fan_out_is_measured_against_the_floor() {
    let url = mock::start(Fault::None).await;
    let pid = std::process::id().to_string();
    let args = [
        "fanout",
        "--target",
        &url,
        "--members",
        "20",
        "--messages",
        "10",
        "--rate",
        "50",
        "--server-pid",
        &pid,
        "--with-floor",
    ];
    let ran = loadtests("fanout", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.result["latencies"][1]["count"], 200);
    assert!(ran.result["figures"]["floor_(tokio)_CPU_us_delivery"].is_number(), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_gather_vanish_and_come_back() {
    let url = mock::start(Fault::None).await;
    let pid = std::process::id().to_string();
    let args = ["idle", "--target", &url, "--connections", "60", "--server-pid", &pid, "--hold-s", "0.2"];
    let ran = loadtests("idle", &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.result["figures"]["lost_while_idle"], 0);
    let ran = loadtests("storm", &["storm", "--target", &url, "--connections", "60", "--rounds", "2"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.result["latencies"][0]["count"], 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_say_what_went_wrong() {
    let url = mock::start(Fault::None).await;
    let usage = loadtests("usage", &["replay"]).await;
    assert_eq!(usage.code, Some(2), "{}", usage.out);
    let no_file = loadtests("nofile", &["replay", "nowhere.txt", "--target", &url]).await;
    assert_eq!(no_file.code, Some(3), "{}", no_file.out);
    let slow = replay("slow", Fault::None, &["--speed", "max", "--max-p99-ms", "0.000001"]).await;
    assert_eq!(slow.code, Some(1), "{}", slow.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_the_run_with_130() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_loadtests"))
        .args(["storm", "--target", &url])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let _waiting_for_an_answer = silent.accept().await.unwrap();
    let pid = child.id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
}
