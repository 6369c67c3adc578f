//! `scripts/cluster` as an operator uses it.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::cluster::{Cluster, script};

const SOON: Duration = Duration::from_secs(20);

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let reached = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, reached).await.expect(what);
}

#[test]
fn wrong_arguments_are_refused_before_anything_starts() {
    let cases: [(&[&str], &str); 9] = [
        (&["--gateways", "0"], "a number from 1 to 50"),
        (&["--gateways", "x"], "a number from 1 to 50"),
        (&["--gateways"], "needs a value"),
        (&["--delay-replica", "1h"], "a number from 0"),
        (&["--set", "limits"], "SECTION.KEY=VALUE"),
        (&["--set", "limits.sends=3"], "there is no such key"),
        (&["--wide"], "unknown option --wide"),
        (&["status", "--dir", "/nowhere"], "no cluster in /nowhere"),
        (&["stop", "--dir", "/nowhere"], "no cluster in /nowhere"),
    ];
    for (arguments, expected) in cases {
        let mut command = Command::new(script());
        let output = command
            .args(arguments)
            .env("TIDINGS_BIN", env!("CARGO_BIN_EXE_tidings"))
            .stdin(Stdio::null())
            .output()
            .expect("scripts/cluster runs");
        let said = text(&output);
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn an_operator_sees_what_ended_and_starts_it_again() {
    let mut cluster = Cluster::start(&[]).await;
    let output = cluster.script(&["status"]);
    assert!(output.status.success(), "all of it runs: {}", text(&output));
    let public = format!("{}/metrics", cluster.address("URL"));
    let status = reqwest::get(public).await.expect("haproxy answers").status();
    assert_eq!(status, 404, "metrics are not for the public");

    cluster.signal("gateway-2", "KILL").await;
    let again = "scripts/cluster start gateway-2 --dir";
    until("its end is told, with the way back", || cluster.said().contains(again)).await;
    let output = cluster.script(&["status"]);
    assert_eq!(output.status.code(), Some(1), "something does not run: {}", text(&output));
    assert!(text(&output).contains(again), "{}", text(&output));

    cluster.restart("gateway-2");
    until("it is told that it runs", || cluster.said().contains("gateway-2 runs again")).await;
    until("all of it is ready", || {
        let output = cluster.script(&["status"]);
        output.status.success() && !text(&output).contains(" no\n")
    })
    .await;
    let output = cluster.script(&["start", "gateway-2"]);
    assert!(text(&output).contains("still runs"), "it is started once: {}", text(&output));

    let output = cluster.script(&["stop"]);
    assert!(output.status.success() && cluster.has_ended(), "it has ended: {}", text(&output));
}
