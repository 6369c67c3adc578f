//! What `/readyz` says while the database is away, cut off or full: the truth, and 200, so that no balancer empties the fleet.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::postgres::{Options, Postgres};
use crate::support::client::{Ws, chat_works};
use crate::support::rest::{Account, Rest};
use crate::support::server::Server;
use crate::support::{DEADLINE, Encoding, now, uuid};

/// The report; it must be 200 and come at once, whatever it says.
async fn report(rest: &Rest) -> Value {
    let asked = now();
    let answer = rest.call(Method::GET, "/readyz", None, None).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "after {:?}", asked.elapsed());
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["ready"], true, "{}", answer.text);
    answer.body
}

async fn store_is(rest: &Rest, state: &str) -> bool {
    let report = report(rest).await;
    let store = &report["dependencies"][0];
    *store == json!({ "name": "store", "state": state, "since": store["since"] })
}

async fn until_store_is(rest: &Rest, state: &str) {
    let shown = async {
        while !store_is(rest, state).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let shown = tokio::time::timeout(DEADLINE, shown).await;
    assert!(shown.is_ok(), "the store is never {state}");
}

async fn send(ws: &mut Ws, conversation: &str, body: &str) -> Value {
    ws.ask(&json!({ "type": "send", "id": uuid(), "conversation": conversation, "client_id": uuid(), "body": body })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_everything_that_reads_goes_on() {
    let server = Server::start_on_small_disk(6).await;
    let rest = Rest::new(&server);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    rest.send(&ada, &group, "kept").await;
    until_store_is(&rest, "works").await;

    let fill = server.disk().join("fill");
    let mut file = File::create(&fill).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // Held open, it would keep its room when it is removed.
    drop(file);
    let (mut ws, _) = Ws::signed_in(&server, Encoding::Json, &ada).await;
    let mut refused = None;
    // What SQLite has set aside takes a few more.
    for number in 0..2_000 {
        let answer = send(&mut ws, &group, &format!("{number} {}", "x".repeat(4_000))).await;
        if answer["type"] == "error" && answer["code"] != "rate_limited" {
            refused = Some(answer);
            break;
        }
    }
    assert_eq!(refused.expect("the disk is full")["code"], "unavailable");
    // One small write may still find room where a message does not, so people go on trying.
    let began = now();
    while !store_is(&rest, "reads_only").await {
        assert!(began.elapsed() < DEADLINE, "the store is never reads_only while messages are refused");
        send(&mut ws, &group, &"x".repeat(4_000)).await;
        // As fast as a sender's rate allows.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (_, welcome) = Ws::signed_in(&server, Encoding::Msgpack, &ben).await;
    assert!(welcome["heads"].as_array().is_some_and(|heads| !heads.is_empty()), "{welcome}");
    assert!(rest.events(&ben, &group).await.iter().any(|event| event["body"] == "kept"));

    fs::remove_file(&fill).unwrap();
    until_store_is(&rest, "works").await;
    chat_works(&server, &ada, &ben).await;
}

/// The key of RFC 8410 section 10.3: it signs nothing but this test's tokens.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

/// Two gateways over one database.
struct Pair {
    _keys: TempDir,
    servers: [Server; 2],
}

impl Pair {
    async fn over(postgres: &Postgres) -> Self {
        let url = postgres.database("pair").await;
        let keys = TempDir::new().unwrap();
        let key = keys.path().join("key.pem");
        fs::write(&key, KEY).unwrap();
        let settings = [
            ("TIDINGS__STORE__BACKEND", "postgres"),
            ("TIDINGS__STORE__POSTGRES__URL", &url),
            ("TIDINGS__AUTH__KEY_FILES", key.to_str().unwrap()),
            ("TIDINGS__STORE__TIMEOUT_MS", "1500"),
        ];
        let servers = [Server::start(&settings).await, Server::start(&settings).await];
        Self { _keys: keys, servers }
    }

    async fn all_say(&self, state: &str) {
        for server in &self.servers {
            until_store_is(&Rest::new(server), state).await;
            // In rotation: it takes connections.
            Ws::open(server, Encoding::Json).await;
        }
    }

    /// A live session with each.
    async fn sessions(&self, account: &Account) -> Vec<Ws> {
        let mut sessions = Vec::new();
        for server in &self.servers {
            sessions.push(Ws::signed_in(server, Encoding::Json, account).await.0);
        }
        sessions
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_cut_off_or_gone_takes_no_gateway_out_of_rotation() {
    let mut postgres = Postgres::start(Options::default()).await;
    let pair = Pair::over(&postgres).await;
    let rest = Rest::new(&pair.servers[0]);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    let mut sessions = pair.sessions(&ada).await;
    pair.all_say("works").await;

    postgres.pause();
    pair.all_say("away").await;
    for ws in &mut sessions {
        assert_eq!(ws.ask(&json!({ "type": "ping", "id": "here" })).await["type"], "pong");
    }
    postgres.resume();
    pair.all_say("works").await;

    let (_, welcome) = Ws::signed_in(&pair.servers[1], Encoding::Json, &ben).await;
    assert!(welcome["heads"].as_array().is_some_and(|heads| !heads.is_empty()), "{welcome}");
    assert!(!rest.events(&ben, &group).await.is_empty());

    postgres.kill();
    pair.all_say("away").await;
    postgres.restart(Options::default()).await;
}

/// The parts that only a process with a database server has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_follower_or_relay_ends_the_process() {
    let postgres = Postgres::start(Options::default()).await;
    let mut pair = Pair::over(&postgres).await;
    for (server, point) in pair.servers.iter_mut().zip(["follower", "relay"]) {
        server.panic_at(point);
        let status = server.ended().await;
        assert!(!status.success(), "{point}: {status}");
        assert!(server.log().contains("the process ends"), "{point}: {}", server.log());
    }
}
