//! A server for a test, and short functions for its REST calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::actors::default_conversation::{DefaultConversation, DefaultConversationOptions};
use tidings::actors::exports::Exports;
use tidings::actors::router::{Router, RouterOptions};
use tidings::actors::writer::WriterOptions;
use tidings::actors::{Node, NodeOptions};
use tidings::api::{ApiState, Readiness};
use tidings::audit::AuditLog;
use tidings::config::{
    Directory, PresenceSettings, ReceiptsSettings, ServerSettings, Settings, TrustedProxies, WriterSettings,
};
use tidings::domain::{AllowedOrigins, Limits, Timestamp};
use tidings::environment::{Environment, SharedEnvironment, SystemEnvironment};
use tidings::identity::{Identity, IdentityOptions};
use tidings::protocol::ErrorCode;
use tidings::store::SharedStore;
use tidings::store::sqlite::{SqliteOptions, SqliteStore};
use tidings::telemetry::Meters;
use uuid::Uuid;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const PASSWORD: &str = "correct horse battery";

/// One database, and as many servers over it as a test starts.
pub struct World {
    pub folder: TempDir,
    pub environment: SharedEnvironment,
    pub store: SharedStore,
    /// Sends and other requests that a user may make per second and at once; 0: any number.
    pub per_second: (u32, u32),
    pub directory: Directory,
    /// Clients reach the server by https only.
    pub https: bool,
    pub default_conversation: Option<DefaultConversationOptions>,
}

/// One server.
pub struct Server {
    pub base: String,
    pub readiness: Arc<Readiness>,
    pub identity: Identity,
    pub http: reqwest::Client,
    handle: ServerHandle,
    identity_run: actix_web::rt::task::JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub access: String,
    pub refresh: String,
}

impl World {
    pub async fn new() -> Self {
        let (folder, environment) = (TempDir::new().expect("a folder"), SystemEnvironment::shared());
        let options =
            SqliteOptions { timeout_ms: 30_000, ..SqliteOptions::new(folder.path().join("tidings.db")) };
        let store = SqliteStore::open(options, environment.clone()).await.expect("the store opens");
        Self {
            folder,
            environment,
            store,
            per_second: (0, 0),
            directory: Directory::Open,
            https: false,
            default_conversation: None,
        }
    }

    pub fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub async fn serve(&self) -> Server {
        self.serve_with(|_| {}).await
    }

    /// Another server over the same database and keys, with other settings.
    pub async fn serve_with(&self, change: impl FnOnce(&mut IdentityOptions)) -> Server {
        self.serve_at(self.environment.clone(), change).await
    }

    /// A server on a machine with a clock of its own.
    pub async fn serve_at(
        &self,
        environment: SharedEnvironment,
        change: impl FnOnce(&mut IdentityOptions),
    ) -> Server {
        let mut options = identity_options(&self.keys());
        change(&mut options);
        let identity =
            Identity::new(options, self.store.clone(), environment.clone()).expect("identity stands");
        identity.catch_up().await.expect("the revocations are read");
        let node = self.node(environment);
        let readiness = Arc::new(Readiness::new(&node));
        let state = ApiState {
            serves_rest: true,
            exports: Exports::new(Settings::for_tests().limits.exports_per_user, node.meters().clone()),
            node,
            identity: identity.clone(),
            requests: Arc::default(),
            readiness: readiness.clone(),
            proxies: TrustedProxies::of(&ServerSettings {
                trusted_proxies: vec!["127.0.0.0/8".parse().expect("a network")],
                loopback_exempt: true,
                ..Settings::for_tests().server
            }),
            allowed_origins: Arc::new(AllowedOrigins::new(&["https://game.example".to_owned()], None)),
            https: self.https,
            name: "Test".to_owned(),
            directory: self.directory,
            default_conversation: Arc::new(DefaultConversation::new(self.default_conversation.clone())),
        };
        let app = move || {
            let state = state.clone();
            App::new().configure(|config| tidings::api::configure(config, state))
        };
        let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = server.addrs()[0];
        let server = server.disable_signals().run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let watched = identity.clone();
        let identity_run = actix_web::rt::spawn(async move { watched.run().await });
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Server { base: format!("http://{address}"), readiness, identity, http, handle, identity_run }
    }

    fn node(&self, environment: SharedEnvironment) -> Node {
        let meters = Arc::new(Meters::new());
        let (router, holes) = Router::new(Vec::new(), meters.clone(), RouterOptions::default());
        let timeout = Duration::from_secs(30);
        let (sends, requests) = self.per_second;
        let settings = Settings::for_tests();
        let options = NodeOptions {
            limits: Limits { sends_per_second: sends, send_burst: sends, ..Limits::default() },
            writer: WriterOptions {
                writer: WriterSettings { shards: 2, ..settings.writer },
                timeout,
                crash_after_commits: None,
            },
            receipts: ReceiptsSettings { flush_ms: 50, ..settings.receipts },
            presence: PresenceSettings { offline_after_ms: 1_000, ..settings.presence },
            requests_per_second: requests,
            request_burst: requests,
            queued_bytes: settings.server.queued_bytes,
        };
        let audit = AuditLog::new(self.store.clone(), environment.clone());
        Node::start(self.store.clone(), environment, router, holes, meters, audit, options)
    }
}

/// A machine whose clock is off, and may be set.
#[derive(Debug)]
pub struct Skewed {
    right: SharedEnvironment,
    by_ms: AtomicI64,
}

impl Skewed {
    pub fn new(right: &SharedEnvironment, by_ms: i64) -> Arc<Self> {
        Arc::new(Self { right: right.clone(), by_ms: AtomicI64::new(by_ms) })
    }

    pub fn set(&self, by_ms: i64) {
        self.by_ms.store(by_ms, Ordering::SeqCst);
    }
}

impl Environment for Skewed {
    fn now(&self) -> Timestamp {
        self.right.now().plus_ms(self.by_ms.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.right.monotonic_ms()
    }

    fn monotonic_us(&self) -> u64 {
        self.right.monotonic_us()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.right.fill_random(bytes);
    }
}

/// Cheap hashes and no limits: a test that is about either sets its own.
fn identity_options(keys: &Path) -> IdentityOptions {
    let mut options = IdentityOptions { hash_wait: PATIENCE, ..IdentityOptions::for_tests(keys.to_owned()) };
    options.auth.refreshes_per_ip_per_minute = 0;
    options
}

impl Server {
    pub async fn stop(self) {
        self.identity_run.abort();
        self.handle.stop(false).await;
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().expect("a method");
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// One call; `body` of `Null` is none.
    pub async fn call(&self, who: Option<&Person>, method: &str, path: &str, body: Value) -> Answer {
        let mut request = self.request(method, path);
        if let Some(person) = who {
            request = request.bearer_auth(&person.access);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        Answer::of(request).await
    }

    pub async fn get(&self, who: &Person, path: &str) -> Answer {
        self.call(Some(who), "GET", path, Value::Null).await
    }

    pub async fn sign_up(&self, username: &str) -> Person {
        let body = json!({ "username": username, "password": PASSWORD });
        Person::of(&self.call(None, "POST", "/v1/accounts", body).await.wants(201))
    }

    pub async fn guest(&self) -> Person {
        Person::of(&self.call(None, "POST", "/v1/accounts/guest", json!({})).await.wants(201))
    }

    /// A group of `owner` and the others.
    pub async fn group(&self, owner: &Person, others: &[&Person]) -> String {
        let members: Vec<_> = others.iter().map(|person| &person.id).collect();
        let body = json!({ "kind": "group", "members": members, "history": "all" });
        let made = self.call(Some(owner), "POST", "/v1/conversations", body).await.wants(201);
        made["conversation"].as_str().expect("an id").to_owned()
    }

    pub async fn send_with(&self, who: &Person, conversation: &str, key: &str, body: Value) -> Answer {
        let path = format!("/v1/conversations/{conversation}/messages");
        let request = self.request("POST", &path).bearer_auth(&who.access).header("Idempotency-Key", key);
        Answer::of(request.json(&body)).await
    }

    /// Says something new; its seq.
    pub async fn say(&self, who: &Person, conversation: &str, text: &str) -> u64 {
        let sent = self.send_with(who, conversation, &uuid(), json!({ "body": text })).await.wants(201);
        sent["seq"].as_u64().expect("a seq")
    }
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, body }
    }

    /// The body of an answer that has this status.
    #[track_caller]
    pub fn wants(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The detail of a problem with this status and code, complete as RFC 9457 and the protocol say.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> String {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("urn:tidings:error:{code}"));
        assert!(self.body["definite"].is_boolean(), "{}", self.text);
        let known =
            ErrorCode::ALL.iter().find(|known| known.as_str() == code).expect("a code of the catalogue");
        assert_eq!(
            (&self.body["title"], &self.body["retryable"]),
            (&json!(known.title()), &json!(known.retryable()))
        );
        let waits = matches!(status, 429 | 503);
        assert_eq!(self.headers.contains_key("retry-after"), waits, "{:?}", self.headers);
        assert_eq!(self.body["retry_after_ms"].is_u64(), waits, "{}", self.text);
        assert!(self.headers.contains_key("x-request-id"));
        self.body["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Person {
    pub fn of(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no sign-in: {body}")).to_owned();
        Self {
            id: text(&body["user"]["id"]),
            access: text(&body["access_token"]),
            refresh: text(&body["refresh_token"]),
        }
    }

    pub fn with_token(token: String) -> Self {
        Self { id: String::new(), access: token, refresh: String::new() }
    }
}

/// A UUID that no other call gave.
pub fn uuid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) | 0x7 << 76).to_string()
}

/// Waits until `probe` answers true; fails after [`PATIENCE`].
pub async fn until<F: Future<Output = bool>>(what: &str, mut probe: impl FnMut() -> F) {
    let attempts = async {
        while !probe().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, attempts).await.is_ok(), "waited in vain: {what}");
}
