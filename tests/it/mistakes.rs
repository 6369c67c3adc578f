//! What is said to those who mistype a setting or name a place that cannot be used: each text says what to
//! write or to do instead.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::DEADLINE;
use crate::support::server::{clean_command, run_on};

/// Whether the command succeeded, and what it said. The environment has these variables beside.
async fn said(arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = clean_command(&[]);
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends by itself").unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// What `config check` says of a file with this text.
async fn said_of_file(text: &str) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tidings.toml");
    std::fs::write(&file, text).unwrap();
    let (good, said) = said(&["config", "check", "--config", file.to_str().unwrap()], &[]).await;
    assert!(!good, "{said}");
    said
}

#[tokio::test]
async fn addresses_are_taken_as_people_write_them() {
    for address in ["18301", ":18301", "localhost:18301", "127.0.0.1:18301", "[::1]:18301"] {
        let (good, text) = said(&["config", "check", "--listen", address], &[]).await;
        assert!(good, "{address}: {text}");
    }
    for address in ["0.0.0.0:99999", "localhost", "chat.example:80"] {
        let (good, text) = said(&["config", "check", "--listen", address], &[]).await;
        assert!(!good && text.contains("write HOST:PORT with a port up to 65535"), "{address}: {text}");
    }
}

async fn not_started_in(data: &Path) -> String {
    let (status, text) = run_on(data, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!status.success(), "{text}");
    text
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_used_is_named_once_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for (data, remedy) in [
        (file.clone(), "a file is in its place: name a folder with --data-dir"),
        (file.join("below"), "a file is in its place: name a folder with --data-dir"),
        ("/proc/tidings".into(), "name another with --data-dir"),
    ] {
        let text = not_started_in(&data).await;
        assert!(text.contains(remedy), "{text}");
        assert_eq!(text.matches(data.to_str().unwrap()).count(), 1, "{text}");
        // A check-up says the same. For root /proc looks like a place to write to.
        if !data.starts_with("/proc") {
            let (status, text) = run_on(&data, &["doctor", "--listen", "127.0.0.1:0"]).await;
            assert!(!status.success() && text.contains(remedy) && text.contains("checks failed"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_once_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("tidings.db"), "this is no database, however long it goes on").unwrap();
    let remedy = "is no database of Tidings: move it away, or name another folder with --data-dir";
    let text = not_started_in(folder.path()).await;
    assert!(text.contains(remedy), "{text}");
    assert_eq!(text.matches("tidings.db").count(), 1, "{text}");
    let (status, text) = run_on(folder.path(), &["doctor", "--listen", "127.0.0.1:0"]).await;
    assert!(!status.success() && text.contains(remedy), "{text}");
}

#[tokio::test]
async fn a_word_that_is_no_level_does_not_silence_the_log() {
    for filter in ["verbose", "info,tidingz", "tidings=verbose"] {
        let setting = format!("telemetry.log_filter={filter}");
        let (good, text) = said(&["config", "check", "--set", &setting], &[]).await;
        assert!(
            !good && text.contains("write off, error, warn, info, debug or trace, or target=level"),
            "{text}"
        );
    }
    for filter in ["warn", "INFO", "info,tidings::gateway=debug", "tidings=trace", "off"] {
        let setting = format!("telemetry.log_filter={filter}");
        let (good, text) = said(&["config", "check", "--set", &setting], &[]).await;
        assert!(good, "{filter}: {text}");
    }
}

#[tokio::test]
async fn a_variable_that_is_no_setting_is_named_with_the_one_that_was_meant() {
    let (good, text) = said(
        &["config", "check"],
        &[
            ("TIDINGS_SERVER_LISTEN", "0.0.0.0:80"),
            ("TIDINGS_DATABASE_HOST_NAME", "db"),
            ("TIDINGS_SERVICE_HOST", "10.0.0.1"),
            ("TIDINGS_PORT", "tcp://10.0.0.1:80"),
        ],
    )
    .await;
    assert!(good && text.contains("the settings are good, with 2 warnings"), "{text}");
    let meant = "TIDINGS_SERVER_LISTEN is not used; did you mean TIDINGS__SERVER__LISTEN?";
    assert!(text.contains(meant), "{text}");
    assert!(
        text.contains("TIDINGS_DATABASE_HOST_NAME is not used; settings are named TIDINGS__SECTION__KEY"),
        "{text}"
    );
}

#[tokio::test]
async fn a_number_in_quotes_is_told_to_lose_them() {
    let text = said_of_file("[limits]\nbody_bytes = \"8192\"\n").await;
    assert!(text.contains("\"8192\" is a text: write the number without quotes"), "{text}");
}

#[tokio::test]
async fn a_text_without_quotes_is_shown_with_them_and_a_secret_is_not() {
    let text = said_of_file("[server]\nlisten = 127.0.0.1:8080\n").await;
    assert!(text.contains("line 2"), "{text}");
    assert!(
        text.contains("in `listen = 127.0.0.1:8080`: texts need quotes, write listen = \"127.0.0.1:8080\""),
        "{text}"
    );
    let text = said_of_file("[store.postgres]\nurl = postgres://tidings:hunter2@db/tidings\n").await;
    assert!(text.contains("line 2") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_role_that_is_not_built_is_refused_by_its_name() {
    let (good, text) = said(&["config", "check", "--role", "push"], &[]).await;
    let wanted = "\"push\" is none of \"all\", \"gateway\", \"api\", \"relay\"";
    assert!(!good && text.contains(wanted), "{text}");
    assert!(!text.contains("postgres"), "nothing is asked that does not help: {text}");
}
