//! The internal address: a socket in the data folder, or a TCP port with a token.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use reqwest::Method;
use tempfile::TempDir;

use crate::support::rest::Rest;
use crate::support::server::{Server, run_on};
use crate::support::{DEADLINE, until};

/// Where the start says that the internal address is.
async fn address(server: &Server) -> String {
    let said = async || {
        let log = server.log();
        let (address, _) = log.split_once("internal     ")?.1.split_once("   (")?;
        Some(address.to_owned())
    };
    until("the start says it", DEADLINE, said).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_ask_at_a_socket_in_the_data_folder_and_clients_learn_no_details() {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let socket = server.internal_socket();
    let found = fs::metadata(&socket).unwrap();
    assert!(found.file_type().is_socket() && found.mode() & 0o777 == 0o600, "{:o}", found.mode());
    assert_eq!(address(&server).await, format!("unix:{}", socket.display()));

    for (path, word) in [("/livez", "live\n"), ("/startupz", "started\n")] {
        let answer = rest.internal(path).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, word), "{path}");
        assert_eq!(rest.call(Method::GET, path, None, None).await.status, 404, "{path} is not public");
    }
    let ready = rest.internal("/readyz").await.ok();
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!(rest.call(Method::GET, "/readyz", None, None).await.text, "ready\n");
    assert!(rest.internal("/metrics").await.text.contains("\nprocess_open_fds "));
    assert_eq!(rest.call(Method::GET, "/metrics", None, None).await.status, 404);
    assert_eq!(rest.internal("/nothing").await.status, 404);

    // Another process is refused, and takes nothing from the first.
    let (status, text) = server.command(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!status.success() && text.contains("in use by process"), "{text}");
    assert_eq!(rest.internal("/livez").await.status, 200);

    // What a killed process leaves is replaced; what ends in order leaves nothing.
    server.kill().await;
    assert!(socket.exists());
    server.restart().await;
    assert_eq!(Rest::new(&server).internal("/startupz").await.status, 200);
    assert!(server.terminate().await.success());
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_everything_but_health_needs_the_token() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let server = Server::start(&[
        ("TIDINGS__SERVER__INTERNAL_LISTEN", "127.0.0.1:0"),
        ("TIDINGS__SERVER__INTERNAL_TOKEN_FILE", file.to_str().unwrap()),
    ])
    .await;
    let url = address(&server).await;
    assert!(!server.internal_socket().exists());
    let http = reqwest::Client::new();
    for path in ["/livez", "/startupz", "/readyz"] {
        assert_eq!(http.get(format!("{url}{path}")).send().await.unwrap().status(), 200, "{path}");
    }
    let metrics = || http.get(format!("{url}/metrics"));
    for (given, status) in [("", 401), ("another", 401), (TOKEN, 200)] {
        assert_eq!(metrics().bearer_auth(given).send().await.unwrap().status(), status, "{given:?}");
    }
    assert_eq!(metrics().send().await.unwrap().status(), 401);

    // A secret that can be guessed stops the start.
    fs::write(&file, "short").unwrap();
    let token = format!("server.internal_token_file={}", file.display());
    let internal = ["--set", "server.internal_listen=127.0.0.1:0", "--set", &token];
    let (status, text) =
        run_on(&folder.path().join("data"), &[&["serve", "--listen", "127.0.0.1:0"], &internal[..]].concat())
            .await;
    assert!(!status.success() && text.contains("openssl rand -hex 32"), "{text}");
}
