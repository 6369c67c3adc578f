//! Erasing an account: the answer is quick, and the rest is done whatever happens to client and server.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidings::domain::{ClientId, Content, ConversationId, Limits, Timestamp, User, UserId};
use tidings::environment::SystemEnvironment;
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::store::{Accounts, Log, NewMessage, NewUser, Target};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::Ws;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, now, until, uuid};

const PASSWORD: &str = "correct horse battery";
const CANARY: &str = "canary-5c1d77";
/// After an answer no text of the account may be in any file any more. Promised is a minute; a machine at
/// work on other things must not fail a test.
const GONE_WITHIN: Duration = Duration::from_secs(150);
/// What a send elsewhere may take meanwhile, or three times what it took before on a machine at work on other
/// things.
const P99: Duration = Duration::from_millis(100);

/// Writes messages of `account` past the server, which is not running: thousands in a second.
async fn speak(server: &Server, account: &Account, conversation: &str, messages: usize) {
    let options = SqliteOptions {
        timeout_ms: 30_000,
        limits: Limits::default(),
        ..SqliteOptions::new(server.data().join("tidings.db"))
    };
    let store = SqliteStore::open(options, SystemEnvironment::shared()).await.unwrap();
    let to = Target::Conversation(conversation.parse::<ConversationId>().unwrap());
    let sender = account.id.parse::<UserId>().unwrap();
    let sent_at = Timestamp::from_unix_ms(1_800_000_000_000);
    let all: Vec<NewMessage> = (0..messages)
        .map(|n| NewMessage {
            sender,
            target: to,
            client_id: uuid().parse::<ClientId>().unwrap(),
            content: Content { body: Some(format!("{CANARY} {n}")), ..Content::default() },
        })
        .collect();
    for batch in all.chunks(1_000) {
        for answer in store.append(batch, sent_at).await.unwrap() {
            answer.unwrap();
        }
    }
    store.close().await;
}

/// A server where ada has said much in a group with ben.
async fn world(messages: usize) -> (Server, Rest, Account, Account, String) {
    let mut server = Server::start(&[]).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.account("ada", PASSWORD).await, rest.guest("Ben").await);
    let group = rest.conversation(&ben, "group", &[&ada]).await;
    server.terminate().await;
    speak(&server, &ada, &group, messages).await;
    server.restart().await;
    (server, rest, ada, ben, group)
}

async fn erase(rest: &Rest, account: &Account) {
    let body = json!({ "password": PASSWORD });
    let answer = rest.call(Method::DELETE, "/v1/me", Some(&account.access), Some(&body)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

/// Is the text in any file of the folder?
fn is_in(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        path.is_file()
            && std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    })
}

async fn until_gone(server: &Server) {
    until("the text is gone", GONE_WITHIN, async || (!is_in(server.data(), CANARY)).then_some(())).await;
}

/// How many messages of the page still have a body.
async fn bodies(rest: &Rest, reader: &Account, conversation: &str) -> usize {
    let events = rest.events(reader, conversation).await;
    events.iter().filter(|event| event["body"].is_string()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hangs_up_does_not_stop_its_erasure() {
    let (server, rest, ada, ben, group) = world(3_000).await;
    let (mut listener, _) = Ws::signed_in(&server, Encoding::Json, &ben).await;
    let body = json!({ "password": PASSWORD }).to_string();
    let request = format!(
        "DELETE /v1/me HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        server.addr(),
        ada.access,
        body.len()
    );
    // Each caller hangs up; the account is gone once one of the requests was read to its end.
    let began = now();
    loop {
        let mut stream = TcpStream::connect(server.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(stream);
        let me = rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await;
        if me.status == 401 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{}", me.text);
    }
    let left = listener
        .until("ada's leaving", |frame| frame["kind"] == "member_left" && frame["user"] == json!(ada.id))
        .await;
    assert_eq!(left["reason"], "erased", "told as it is committed");
    until_gone(&server).await;
    assert_eq!(bodies(&rest, &ben, &group).await, 0);
}

/// What a hundred sends took, the slowest left out.
async fn p99(server: &Server, sender: &Account, conversation: &str) -> Duration {
    let (mut ws, _) = Ws::signed_in(server, Encoding::Json, sender).await;
    let mut waits = Vec::new();
    for id in 0..100 {
        let asked = now();
        let frame = json!({ "type": "send", "id": id, "conversation": conversation, "client_id": uuid(), "body": "hello" });
        let ack = ws.ask(&frame).await;
        assert_eq!(ack["type"], "ack", "{ack}");
        waits.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    waits.sort_unstable();
    waits[98]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_erasure_survives_a_kill_and_holds_nobody_up() {
    let (mut server, rest, ada, ben, group) = world(40_000).await;
    let cleo = rest.guest("Cleo").await;
    let elsewhere = rest.conversation(&cleo, "direct", &[&ben]).await;
    let before = p99(&server, &cleo, &elsewhere).await;
    let began = now();
    erase(&rest, &ada).await;
    assert!(began.elapsed() < Duration::from_secs(2), "answered after {:?}", began.elapsed());
    let again = rest.call(Method::GET, "/v1/me", Some(&ada.access), None).await;
    assert_eq!(again.status, 401, "signed out with the answer");

    server.kill().await;
    assert!(is_in(server.data(), CANARY), "killed in the middle");
    server.restart().await;

    let during = p99(&server, &cleo, &elsewhere).await;
    assert!(during < P99.max(before * 3), "sends elsewhere took {during:?}, and {before:?} before");
    until_gone(&server).await;
    let events: Vec<Value> = rest.events(&ben, &group).await;
    assert!(events.iter().all(|event| !event["body"].is_string()));
    assert_eq!(events.len(), 40_003, "two joined, one left, and every message has its place still");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_who_was_not_there_for_long_is_erased() {
    let mut server = Server::start(&[("TIDINGS__AUTH__GUEST_DAYS", "40")]).await;
    let rest = Rest::new(&server);
    let (here, watching) = (rest.guest("Here").await, rest.guest("Watching").await);
    server.terminate().await;
    let store =
        SqliteStore::open(SqliteOptions::new(server.data().join("tidings.db")), SystemEnvironment::shared())
            .await
            .unwrap();
    let id = "u_00000000000000000000000000000007".parse::<UserId>().unwrap();
    let created_at = Timestamp::from_unix_ms(1_500_000_000_000);
    let user = User { id, username: None, display_name: "Gone".to_owned(), guest: true, created_at };
    store.create_user(&NewUser { user, password_hash: None, device_hash: None }).await.unwrap();
    store.close().await;
    server.restart().await;
    let rest = Rest::new(&server);
    let name = async |id: &str| {
        let path = format!("/v1/users/{id}");
        let answer = rest.call(Method::GET, &path, Some(&watching.access), None).await;
        answer.ok()["display_name"].clone()
    };
    until("the old guest is erased", GONE_WITHIN, async || {
        (name(&id.to_string()).await == "deleted").then_some(())
    })
    .await;
    assert_eq!(name(&here.id).await, "Here");
}
