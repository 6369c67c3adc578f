//! `/readyz` while the database is unavailable, cut off or full: the internal address says so, and both
//! addresses answer with status 200, so that no balancer empties the fleet.

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
use crate::support::{DEADLINE, Encoding, now, until, uuid};

/// The report; it must be 200 and come at once, whatever it says.
async fn report(rest: &Rest) -> Value {
    let asked = now();
    let public = rest.call(Method::GET, "/readyz", None, None).await;
    assert_eq!((public.status.as_u16(), public.text.as_str()), (200, "ready\n"));
    let answer = rest.internal("/readyz").await;
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
    until(state, DEADLINE, async || store_is(rest, state).await.then_some(())).await;
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
pub const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

/// Two gateways over one database.
struct Pair {
    _keys: TempDir,
    servers: [Server; 2],
}

impl Pair {
    async fn over(postgres: &Postgres) -> Self {
        let url = postgres.database("pair").await;
        Self::on(&[("TIDINGS__STORE__POSTGRES__URL", &url)]).await
    }

    async fn on(urls: &[(&str, &str)]) -> Self {
        let keys = TempDir::new().unwrap();
        let key = keys.path().join("key.pem");
        fs::write(&key, KEY).unwrap();
        let common = [
            ("TIDINGS__STORE__BACKEND", "postgres"),
            ("TIDINGS__AUTH__KEY_FILES", key.to_str().unwrap()),
            ("TIDINGS__STORE__TIMEOUT_MS", "1500"),
        ];
        let settings = [urls, &common].concat();
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

/// Waits until the report of `rest` is as wanted.
async fn until_report(rest: &Rest, what: &str, wanted: impl Fn(&Value) -> bool) {
    until(what, DEADLINE, async || wanted(&report(rest).await).then_some(())).await;
}

fn state_of<'a>(report: &'a Value, name: &str) -> Option<&'a str> {
    let found = report["dependencies"].as_array()?.iter().find(|one| one["name"] == name)?;
    found["state"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_cannot_commit_a_frozen_replica_and_an_open_transaction_are_reported() {
    let postgres = Postgres::start(Options { durable: true, ..Options::default() }).await;
    let url = postgres.database("pair").await;
    let replica = postgres.replica(Options::default()).await;
    let replica_url = replica.url("pair");
    let pair = Pair::on(&[
        ("TIDINGS__STORE__POSTGRES__URL", &url),
        ("TIDINGS__STORE__POSTGRES__READ_URLS", &replica_url),
    ])
    .await;
    let rest = Rest::new(&pair.servers[0]);
    let (ada, ben) = (rest.guest("Ada").await, rest.guest("Ben").await);
    let group = rest.conversation(&ada, "group", &[&ben]).await;
    rest.send(&ada, &group, "kept").await;
    until_report(&rest, "all well", |report| {
        state_of(report, "store") == Some("works") && state_of(report, "replica_1") == Some("works")
    })
    .await;

    replica.pause();
    until_report(&rest, "without its replica", |report| {
        state_of(report, "replica_1") == Some("away") && state_of(report, "store") == Some("works")
    })
    .await;
    replica.resume();
    until_report(&rest, "with its replica", |report| state_of(report, "replica_1") == Some("works")).await;

    let mut open = postgres.connect("postgres").await;
    sqlx::raw_sql("BEGIN; CREATE TABLE held (n int)").execute(&mut open).await.unwrap();
    until_report(&rest, "held back", |report| {
        report["details"]["oldest_transaction_ms"].as_u64().is_some_and(|held_ms| held_ms >= 1_000)
    })
    .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut open).await.unwrap();
    until_report(&rest, "let go", |report| report["details"]["oldest_transaction_ms"] == 0).await;

    // A commit waits for a standby that is gone: what is written fails, what is read does not.
    postgres.run("ALTER SYSTEM SET synchronous_standby_names = 'gone'").await;
    postgres.run("SELECT pg_reload_conf()").await;
    pair.all_say("reads_only").await;
    let (mut ws, welcome) = Ws::signed_in(&pair.servers[1], Encoding::Json, &ada).await;
    assert!(welcome["heads"].as_array().is_some_and(|heads| heads.len() == 1), "{welcome}");
    assert!(rest.events(&ben, &group).await.iter().any(|event| event["body"] == "kept"));
    let refused = send(&mut ws, &group, "not now").await;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("unavailable"), &json!(true)), "{refused}");
    postgres.run("ALTER SYSTEM RESET synchronous_standby_names").await;
    postgres.run("SELECT pg_reload_conf()").await;
    pair.all_say("works").await;
    chat_works(&pair.servers[0], &ada, &ben).await;
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
