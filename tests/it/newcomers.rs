//! What somebody finds who is new on a server.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Ws;
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

const LOBBY: (&str, &str) = ("TIDINGS__CONVERSATIONS__DEFAULT", "lobby");

async fn get(rest: &Rest, who: Option<&Account>, path: &str) -> Value {
    rest.call(Method::GET, path, who.map(|account| account.access.as_str()), None).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_tells_its_rules() {
    let external = [
        ("TIDINGS__AUTH__EXTERNAL__ISSUER", "https://issuer.example"),
        ("TIDINGS__AUTH__EXTERNAL__AUDIENCE", "chat"),
        ("TIDINGS__AUTH__EXTERNAL__JWKS_URL", "https://issuer.example/jwks"),
    ];
    for (sign_ups, external, told) in [
        ("open", &external[..], "open"),
        ("guests", &[], "guests"),
        ("closed", &[], "closed"),
        ("closed", &external, "external"),
    ] {
        let own = [
            ("TIDINGS__SERVER__NAME", "Käte's Games"),
            ("TIDINGS__AUTH__SIGN_UPS", sign_ups),
            ("TIDINGS__AUTH__PASSWORD_MIN_BYTES", "11"),
            ("TIDINGS__LIMITS__BODY_BYTES", "777"),
        ];
        let server = Server::start(&[&own[..], external].concat()).await;
        let rest = Rest::new(&server);
        let answer = rest.call(Method::GET, "/v1/server", None, None).await;
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        let about = answer.ok();
        assert_eq!(about["name"], "Käte's Games");
        assert_eq!(about["sign_ups"], told, "{sign_ups}");
        assert_eq!(about["password"]["min_bytes"], 11);
        assert_eq!(about["limits"]["body_bytes"], 777);
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_directory_answers_whole_usernames_only() {
    let server = Server::start(&[("TIDINGS__SERVER__DIRECTORY", "closed")]).await;
    let rest = Rest::new(&server);
    assert_eq!(get(&rest, None, "/v1/server").await["directory"], "closed");
    for name in ["ada", "adam"] {
        let body = json!({ "username": name, "password": "long enough" });
        rest.call(Method::POST, "/v1/accounts", None, Some(&body)).await.ok();
    }
    let ben = rest.guest("Ben").await;
    for (asked, found) in [("a", 0), ("ad", 0), ("ada", 1), ("ADA", 1), ("adam", 1), ("adams", 0)] {
        let users = get(&rest, Some(&ben), &format!("/v1/users?prefix={asked}")).await;
        assert_eq!(users["users"].as_array().map(Vec::len), Some(found), "{asked}: {users}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_contacts_finds_them_and_whole_usernames() {
    let server = Server::start(&[("TIDINGS__SERVER__DIRECTORY", "contacts")]).await;
    let rest = Rest::new(&server);
    assert_eq!(get(&rest, None, "/v1/server").await["directory"], "contacts");
    let mut ids = Vec::new();
    for name in ["ada", "adam", "adele"] {
        let body =
            json!({ "username": name, "password": "long enough", "display_name": format!("{name} x") });
        let made = rest.call(Method::POST, "/v1/accounts", None, Some(&body)).await.ok();
        ids.push(made["user"]["id"].as_str().unwrap().to_owned());
    }
    let ben = rest.guest("Ben").await;
    let known = format!("/v1/contacts/{}", ids[2]);
    rest.call(Method::PUT, &known, Some(&ben.access), None).await.ok();
    for (asked, found) in [
        ("prefix=a", &["adele"][..]),
        ("prefix=ada", &["ada"]),
        ("prefix=ADELE", &["adele"]),
        ("prefix=adam", &["adam"]),
        ("name=ade", &["adele"]),
        ("name=x", &["adele"]),
        ("name=ada", &["ada"]),
        ("name=ben", &[]),
    ] {
        let users = get(&rest, Some(&ben), &format!("/v1/users?{asked}")).await;
        let names: Vec<_> =
            users["users"].as_array().unwrap().iter().filter_map(|user| user["username"].as_str()).collect();
        assert_eq!(names, found, "{asked}");
    }
    let channels = rest.call(Method::GET, "/v1/channels", Some(&ben.access), None).await;
    assert_eq!(channels.status, 200, "open channels are there to be joined");
}

async fn join(rest: &Rest, who: &Account, conversation: &str) -> Value {
    let path = format!("/v1/conversations/{conversation}/members/{}", who.id);
    rest.call(Method::PUT, &path, Some(&who.access), None).await.ok()
}

async fn conversations(rest: &Rest, who: &Account) -> Vec<Value> {
    let page = get(rest, Some(who), "/v1/conversations").await;
    page["conversations"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_has_one_open_channel_that_its_first_account_owns() {
    let mut server = Server::start(&[LOBBY]).await;
    let rest = Rest::new(&server);
    let answer = rest.call(Method::GET, "/v1/server", None, None).await;
    // Nobody is there to own it, which holds for the moment only.
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.ok()["default_conversation"], Value::Null);

    // Ten sign up at once.
    let sign_ups = (0..10).map(|n| {
        let rest = rest.clone();
        tokio::spawn(async move { rest.guest(&format!("Guest {n}")).await })
    });
    let mut people = Vec::new();
    for sign_up in sign_ups.collect::<Vec<_>>() {
        people.push(sign_up.await.unwrap());
    }
    let (mut owners, mut lobby) = (Vec::new(), None);
    for person in &people {
        for conversation in conversations(&rest, person).await {
            assert_eq!((&conversation["name"], &conversation["role"]), (&json!("lobby"), &json!("owner")));
            assert_eq!((&conversation["join"], &conversation["history"]), (&json!("open"), &json!("all")));
            lobby = conversation["conversation"].as_str().map(str::to_owned);
            owners.push(person.clone());
        }
    }
    assert_eq!(owners.len(), 1, "one channel, and nobody but its owner is in it");
    let lobby = lobby.unwrap();
    let told = async |rest: &Rest| get(rest, None, "/v1/server").await["default_conversation"].clone();
    assert_eq!(told(&rest).await, json!(lobby), "it is named at once");

    server.terminate().await;
    server.restart().await;
    let rest = Rest::new(&server);
    assert_eq!(told(&rest).await, json!(lobby), "the same after a restart");
    let newcomer = rest.guest("Newcomer").await;
    assert_eq!(conversations(&rest, &newcomer).await.len(), 0);
    assert_eq!(join(&rest, &newcomer, &lobby).await["role"], "member");
    assert_eq!(get(&rest, Some(&newcomer), &format!("/v1/conversations/{lobby}")).await["member_count"], 2);

    // The two are in one channel, and know nothing of each other.
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &newcomer).await;
    let (_owner, _) = Ws::signed_in(&server, Encoding::Json, &owners[0]).await;
    ws.send(&json!({ "type": "watch", "id": uuid(), "users": [owners[0].id] })).await;
    let told_first =
        ws.until("an answer", |frame| frame["type"] == "presence" || frame["type"] == "ok").await;
    assert_eq!(told_first["type"], "ok", "{told_first}");

    // Deleted once it stays so.
    let path = format!("/v1/conversations/{lobby}");
    rest.call(Method::DELETE, &path, Some(&owners[0].access), None).await.ok();
    server.terminate().await;
    server.restart().await;
    let rest = Rest::new(&server);
    rest.guest("Late").await;
    assert_eq!(told(&rest).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_channel_waits_for_the_owner_that_was_named() {
    let owner = ("TIDINGS__CONVERSATIONS__DEFAULT_OWNER", "admin");
    let server = Server::start(&[("TIDINGS__CONVERSATIONS__DEFAULT", "Town square"), owner]).await;
    let rest = Rest::new(&server);
    let first = rest.guest("First").await;
    assert_eq!(conversations(&rest, &first).await.len(), 0);
    let body = json!({ "username": "Admin", "password": "long enough" });
    let admin = rest.call(Method::POST, "/v1/accounts", None, Some(&body)).await.ok();
    let admin = Account::from_answer(&admin);
    let own = conversations(&rest, &admin).await;
    assert_eq!((own.len(), &own[0]["name"], &own[0]["role"]), (1, &json!("Town square"), &json!("owner")));
    assert_eq!(get(&rest, None, "/v1/server").await["default_conversation"], own[0]["conversation"]);
}
