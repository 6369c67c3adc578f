//! Runs what `README.md` shows: the tour by a shell with curl, and the commands.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::support::server::Server;

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

/// The tour prints the place of the message and the page with it, also when it is pasted again. Its frames
/// are run by `clients/js/test/quickstart.test.mjs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_works_as_it_is_written() {
    let server = Server::start(&[]).await;
    let tour = shell(&readme(), "## A tour with curl");
    assert!(tour.lines().count() >= 5, "{tour}");
    let here = tour.replace("http://127.0.0.1:8080", &server.url(""));
    assert_ne!(here, tour, "the tour names the default address");
    let ran = bash(&format!("{here}\n{here}")).await;
    assert!(ran.status.success(), "{ran:?}\n(curl is needed: apt-get install curl)");
    let output = String::from_utf8_lossy(&ran.stdout);
    let printed: Vec<Value> =
        serde_json::Deserializer::from_str(&output).into_iter().collect::<Result<_, _>>().unwrap();
    let [sent, page, sent_again, _] = &printed[..] else { panic!("two answers twice: {output}") };
    assert_eq!(sent["duplicate"], false, "{output}");
    assert_eq!(page["messages"][0]["body"], "hello", "{output}");
    assert_eq!(page["messages"][0]["message_id"], sent["message_id"], "{output}");
    assert_ne!(sent_again["conversation"], sent["conversation"], "the second time it is somebody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_stops_at_the_first_error() {
    let server = Server::start(&[("TIDINGS__AUTH__SIGN_UPS", "closed")]).await;
    let tour = shell(&readme(), "## A tour with curl").replace("http://127.0.0.1:8080", &server.url(""));
    let ran = bash(&tour).await;
    assert!(!ran.status.success() && ran.stdout.is_empty(), "{ran:?}");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(errors.matches("curl:").count(), 1, "{errors}");
}

async fn bash(script: &str) -> std::process::Output {
    Command::new("bash").args(["-c", script]).output().await.expect("bash is there: apt-get install bash")
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
        // The others are commands of their own.
        let arguments = if arguments == ["admin"] { vec!["admin", "--help"] } else { arguments };
        let ran = run.args(&arguments).output().await.unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && !errors.contains("Usage:"), "{command}: {} {errors}", ran.status);
        count += 1;
    }
    assert!(count >= 3, "only {count} commands were found");
}
