//! Writes of other processes to the same store reach a node's connections. Only one server may use a data
//! folder, so the test writes to the store itself. It is the only one of these tests that uses the server's
//! own code.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidings::domain::{ClientId, Content, ConversationId, UserId};
use tidings::environment::{SharedEnvironment, SystemEnvironment};
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::store::{NewMessage, SharedStore, Target};

use crate::support::client::Ws;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, now, until, uuid};

async fn store_of(server: &Server) -> (SharedStore, SharedEnvironment) {
    let environment = SystemEnvironment::shared();
    let options = SqliteOptions::new(server.data().join("tidings.db"));
    let store = SqliteStore::open(options, Arc::clone(&environment)).await.expect("the store opens");
    (store, environment)
}

fn user(account: &Account) -> UserId {
    account.id.parse().expect("a user id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_of_another_process_closes_sockets_within_a_second() {
    let server = Server::start(&[]).await;
    let (store, environment) = store_of(&server).await;
    let rest = Rest::new(&server);
    let ada = rest.guest("Ada").await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    store.revoke(user(&ada), None, environment.now()).await.expect("it is written");
    let ended = now();
    assert_eq!(ws.closed().await, Some(4401));
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    assert_eq!(rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await.status, 401);
}

/// Nothing carries the event to the server: only holding the log against what was passed on finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_noticed_losing_is_found() {
    let server = Server::start(&[("TIDINGS__GATEWAY__ANTI_ENTROPY_MS", "1000")]).await;
    let (store, environment) = store_of(&server).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let room = rest.conversation(&ada, "group", &[&ben]).await;
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    let message = NewMessage {
        sender: user(&ada),
        target: Target::Conversation(room.parse::<ConversationId>().expect("a conversation id")),
        client_id: ClientId::from_uuid(uuid().parse().expect("a uuid")),
        content: Content { body: Some("lost on the way".to_owned()), ..Content::default() },
    };
    let appended = store.append(&[message], environment.now()).await.expect("it is written").remove(0);
    let lost = appended.expect("it is allowed").seq.get();
    let heads = ws.expect("heads").await;
    let head = heads["heads"].as_array().unwrap().iter().find(|head| head["conversation"] == room.as_str());
    assert_eq!(head.expect("the room moved")["last_seq"], lost, "{heads}");
    let range = json!({ "conversation": room, "after": lost - 1 });
    ws.send(&json!({ "type": "sync", "id": 1, "ranges": [range] })).await;
    assert_eq!(ws.expect("events").await["events"][0]["body"], "lost on the way");
    let page = rest.internal("/metrics").await.text;
    assert!(page.contains("tidings_gaps_detected_total{sign=\"anti_entropy\"} 1"), "{page}");

    // What was passed on is no cause for heads: several periods later none has come, and live push goes on.
    let (mut here, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let send = |body: &str| json!({ "type": "send", "id": 1, "conversation": room, "client_id": uuid(), "body": body });
    let live = here.ask(&send("passed on")).await;
    assert_eq!(ws.expect("event").await["seq"], live["seq"]);
    let compared = async || rest.metric("tidings_comparisons_total").await;
    let before = compared().await;
    let again = async || (compared().await >= before + 4.0).then_some(());
    until("both sessions are compared with the log again", DEADLINE, again).await;
    ws.send(&json!({ "type": "ping", "id": "still" })).await;
    let next = ws.until("anything", |frame| frame["type"] != "receipt").await;
    assert_eq!(next["id"], "still", "{next}");
}
