//! The content of a deleted conversation is removed from the files of a running server by itself, whatever
//! happens in the meantime.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::Method;

use crate::support::rest::Rest;
use crate::support::server::Server;
use crate::support::until;

const CANARY: &str = "canary-c0ffee-0003";
const MESSAGES: usize = 1_500;

/// Does any file of the database hold the text?
fn holds(data: &Path, text: &str) -> bool {
    let files = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut bytes = files.map(|path| fs::read(path).unwrap_or_default());
    bytes.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_conversation_leaves_the_files_though_the_server_is_killed_meanwhile() {
    let limits = [
        ("TIDINGS__LIMITS__SENDS_PER_SECOND", "100000"),
        ("TIDINGS__LIMITS__SEND_BURST", "100000"),
        ("TIDINGS__LIMITS__REQUESTS_PER_SECOND", "100000"),
        ("TIDINGS__LIMITS__REQUEST_BURST", "100000"),
    ];
    let mut server = Server::start(&limits).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let (gone, stays) =
        (rest.conversation(&ada, "group", &[]).await, rest.conversation(&ada, "group", &[]).await);
    rest.send(&ada, &stays, "stays").await;
    let bodies: Vec<String> = (0..MESSAGES).map(|n| format!("{CANARY} {n}")).collect();
    let send = |body: String| {
        let (rest, ada, gone) = (&rest, &ada, &gone);
        async move { rest.send(ada, gone, &body).await }
    };
    assert_eq!(stream::iter(bodies).map(send).buffer_unordered(32).count().await, MESSAGES);
    assert!(holds(server.data(), CANARY), "the search finds what is there");
    let path = format!("/v1/conversations/{gone}");
    assert_eq!(rest.call(Method::DELETE, &path, Some(&ada.access), None).await.status, 204);
    server.kill().await;
    server.restart().await;
    let rest = Rest::new(&server);
    until_gone(server.data()).await;
    let purged = async || (rest.internal("/readyz").await.body["details"]["purges"] == 0).then_some(());
    until("nothing is left to purge", Duration::from_secs(20), purged).await;
    assert!(holds(server.data(), "stays"));
    assert_eq!(rest.call(Method::DELETE, &path, Some(&ada.access), None).await.status, 204, "asked again");
    rest.send(&ada, &stays, "goes on").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_was_edited_away_leaves_the_files_of_a_running_server() {
    let server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let group = rest.conversation(&ada, "group", &[]).await;
    let sent = rest.send(&ada, &group, CANARY).await;
    let path = format!("/v1/conversations/{group}/messages/{}", sent["seq"]);
    for body in [format!("{CANARY} again"), "what is shown".to_owned()] {
        let body = serde_json::json!({ "body": body });
        assert_eq!(rest.call(Method::PATCH, &path, Some(&ada.access), Some(&body)).await.status, 200);
    }
    until_gone(server.data()).await;
    assert!(holds(server.data(), "what is shown"));
}

/// Waits until no file holds the text any more: a minute at most.
async fn until_gone(data: &Path) {
    until("the text is gone", Duration::from_secs(60), async || (!holds(data, CANARY)).then_some(())).await;
}
