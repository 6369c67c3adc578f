//! Runs what `README.md` shows: the tour by a shell with curl, the frames on a socket, the commands.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::client::Ws;
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The shell block below a heading.
fn shell(text: &str, heading: &str) -> String {
    let section = text.split(heading).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap_or_else(|| panic!("no shell block below {heading}")).to_owned()
}

/// The inline code that begins so.
fn inline<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    text.split('`').skip(1).step_by(2).filter(move |code| code.starts_with(begin))
}

/// The tour prints the place of the message and the page with it; the frames named after it go on where it
/// ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_works_as_it_is_written() {
    let server = Server::start(&[]).await;
    let readme = readme();
    let tour = shell(&readme, "## A tour with curl");
    assert!(tour.lines().count() >= 5, "{tour}");
    let here = tour.replace("http://127.0.0.1:8080", &server.url(""));
    assert_ne!(here, tour, "the tour names the default address");
    let script = format!("set -eu\n{here}\nprintf '\\n%s\\n%s\\n' \"$TOKEN\" \"$ROOM\"");
    let ran = Command::new("bash").args(["-c", &script]).output().await;
    let ran = ran.expect("bash is there; if it is not: apt-get install bash");
    let output = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "{output}{}\n(curl is needed: apt-get install curl)",
        String::from_utf8_lossy(&ran.stderr)
    );
    let mut printed = serde_json::Deserializer::from_str(&output).into_iter::<Value>();
    let (sent, page) = (printed.next().unwrap().unwrap(), printed.next().unwrap().unwrap());
    assert_eq!(sent["duplicate"], false, "{output}");
    assert_eq!(page["messages"][0]["body"], "hello", "{output}");
    assert_eq!(page["messages"][0]["message_id"], sent["message_id"], "{output}");
    let mut last = output.lines().rev();
    let (room, token) = (last.next().unwrap().to_owned(), last.next().unwrap().to_owned());
    assert_eq!(sent["conversation"], room.as_str());

    let mut ws = Ws::open(&server, Encoding::Json).await;
    let mut said = Vec::new();
    for text in inline(&readme, "{\"type\":") {
        let mut frame: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        for (field, value) in
            [("token", token.clone()), ("conversation", room.clone()), ("client_id", uuid())]
        {
            if frame[field] == "…" {
                frame[field] = json!(value);
            }
        }
        ws.send(&frame).await;
        let answer =
            if frame["type"] == "hello" { ws.expect("welcome").await } else { ws.expect("ack").await };
        said.push((frame, answer));
    }
    let [(_, welcome), (send, ack)] = &said[..] else { panic!("two frames are shown: {said:?}") };
    assert_eq!(welcome["heads"][0]["conversation"], room.as_str());
    assert_eq!(ack["seq"].as_u64(), sent["seq"].as_u64().map(|seq| seq + 1));
    assert_eq!(ws.expect("event").await["body"], send["body"]);
}

/// Each command named in passing is one that the binary has, and does what is said of it on a fresh machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_named_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let readme = readme();
    let mut count = 0;
    for command in inline(&readme, "tidings ") {
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        let mut run = Command::new(env!("CARGO_BIN_EXE_tidings"));
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("TIDINGS")) {
            run.env_remove(key);
        }
        // The default port may be taken where tests run.
        run.env("TIDINGS__SERVER__LISTEN", "127.0.0.1:0").current_dir(folder.path());
        let ran = run.args(&arguments).output().await.unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        // A doctor may find too few open files allowed; that it ran is what counts here.
        let done = ran.status.success() || (arguments == ["doctor"] && !ran.stdout.is_empty());
        assert!(done && !errors.contains("Usage:"), "{command}: {} {errors}", ran.status);
        count += 1;
    }
    assert!(count >= 3, "only {count} commands were found");
}
