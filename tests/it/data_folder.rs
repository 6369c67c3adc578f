//! The folder of the embedded database: one server, private files, and one file after an orderly end.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::TempDir;

use crate::support::client::chat_works;
use crate::support::rest::Rest;
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_folder_refuses_to_start_and_names_the_first() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let holder = format!("in use by process {}", server.pid());
    let (status, text) = server.command(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!status.success() && text.contains(&holder), "{text}");
    // What only looks says it too, and harms nobody; what has nothing to do there is not in the way.
    let (_, text) = server.command(&["doctor", "--listen", "127.0.0.1:0"]).await;
    assert!(text.contains(&format!("process {} works in the data folder", server.pid())), "{text}");
    assert!(text.contains("is ready, store works"), "{text}");
    let (status, text) = server.command(&["migrate"]).await;
    assert!(status.success(), "{text}");
    chat_works(&server, &ada, &ben).await;

    server.kill().await;
    server.restart().await;
    chat_works(&server, &ada, &ben).await;
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o777
}

/// Everything in a folder, with its rights.
fn rights(folder: &Path) -> Vec<(String, u32)> {
    let mut found = vec![(folder.display().to_string(), mode(folder))];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rights(&path));
        } else {
            found.push((path.display().to_string(), mode(&path)));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_readable_by_its_user_only() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    chat_works(&server, &ada, &ben).await;
    server.kill().await;
    // As an earlier release left it, or a copy.
    for (path, _) in rights(server.data()) {
        let wide = if Path::new(&path).is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, Permissions::from_mode(wide)).unwrap();
    }
    server.restart().await;
    let found = rights(server.data());
    assert!(found.len() >= 6, "{found:?}");
    for (path, mode) in &found {
        assert_eq!(mode & 0o077, 0, "{path} has {mode:o}; all: {found:?}");
    }
    assert!(server.log().contains("was open to other users"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_private_whatever_the_umask() {
    let wrapper = ["sh", "-c", "umask 000; exec \"$@\"", "sh"].map(str::to_owned);
    let server = Server::start_by(&wrapper, &[]).await;
    let found = rights(server.data());
    assert!(found.len() >= 5, "{found:?}");
    for (path, mode) in found {
        assert_eq!(mode & 0o077, 0, "{path} has {mode:o}");
    }
}

/// Copies the database file and the keys to a new place, as people make a backup of a stopped server.
fn copy_of(data: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    fs::copy(data.join("tidings.db"), copy.path().join("tidings.db")).unwrap();
    fs::create_dir(copy.path().join("keys")).unwrap();
    fs::copy(data.join("keys/signing.pem"), copy.path().join("keys/signing.pem")).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_orderly_end_the_database_is_one_file() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    for number in 0..20 {
        rest.send(&ada, &group, &format!("message {number}")).await;
    }
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    let left: Vec<_> = fs::read_dir(server.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "tidings.db-wal"), "{left:?}");

    let copy = copy_of(server.data());
    let copied = Server::start_in(copy.path()).await;
    let events = Rest::new(&copied).events(&ben, &group).await;
    let bodies: Vec<_> = events.iter().filter_map(|event| event["body"].as_str()).collect();
    assert_eq!(bodies, (0..20).map(|number| format!("message {number}")).collect::<Vec<_>>());
    assert!(!copied.log().contains("may be missing"), "{}", copied.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_without_what_was_written_last_is_noticed() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let copy = copy_of(server.data());
    let copied = Server::start_in(copy.path()).await;
    assert!(copied.log().contains("may be missing"), "{}", copied.log());
    assert_eq!(Rest::new(&copied).call(reqwest::Method::GET, "/healthz", None, None).await.status, 200);
    // A crash leaves the log beside the file: nothing is missing.
    server.kill().await;
    server.restart().await;
    assert!(!server.log().contains("may be missing"), "{}", server.log());
    assert_eq!(rest.call(reqwest::Method::GET, "/v1/me", Some(&ada.access), None).await.status, 200);
}
