//! Who calls, and the world of each attempt: fresh users and a fresh conversation, so that no attempt sees
//! another.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::panics::lock;
use tokio::sync::OnceCell;

use super::calls::{Call, Frame};
use crate::support::client::{Incoming, Ws};
use crate::support::rest::{Account, Answer, Rest};
use crate::support::server::Server;
use crate::support::{Encoding, uuid};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// Without a token.
    Stranger,
    /// Signed in, and no member.
    Guest,
    Member,
    Admin,
    Owner,
    /// A member once, and banned by the owner.
    Banned,
    /// A member whom the peer has blocked.
    Blocked,
    /// An admin whose account an operator suspended.
    Suspended,
    /// With the token of an account that was erased.
    Erased,
    /// The owner, with a token that has expired.
    Expired,
    /// The owner, with a token that was revoked.
    Revoked,
}

impl Caller {
    pub const ALL: [Self; 11] = [
        Self::Stranger,
        Self::Guest,
        Self::Member,
        Self::Admin,
        Self::Owner,
        Self::Banned,
        Self::Blocked,
        Self::Suspended,
        Self::Erased,
        Self::Expired,
        Self::Revoked,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Banned => "banned",
            Self::Blocked => "blocked",
            Self::Suspended => "suspended",
            Self::Erased => "erased",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Direct conversations have no roles and no bans. Where no conversation is named, a role says nothing.
    pub fn plays_in(self, kind: Kind) -> bool {
        match self {
            Self::Admin | Self::Owner | Self::Banned => !matches!(kind, Kind::None | Kind::Direct),
            Self::Member => kind != Kind::None,
            _ => true,
        }
    }

    /// Whether the token is good for nothing.
    pub const fn is_dead(self) -> bool {
        matches!(self, Self::Stranger | Self::Suspended | Self::Erased | Self::Expired | Self::Revoked)
    }
}

/// In which conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    None,
    Direct,
    /// A group, which members invite to.
    Group,
    /// A channel that anyone may join.
    Channel,
    /// A channel that members invite to.
    Private,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Direct, Self::Group, Self::Channel, Self::Private];

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Channel => "open channel",
            Self::Private => "invite channel",
        }
    }
}

/// The server, and users who are the same in every attempt.
pub struct Cast {
    server: Server,
    rest: Rest,
    owner: Account,
    newcomer: Account,
    key: Ed25519KeyPair,
    of_the_dead: Mutex<HashMap<(Caller, Kind), SharedStage>>,
    _folder: TempDir,
}

/// The users, the conversation and the messages of one attempt.
struct Stage {
    conversation: String,
    peer: Account,
    caller: Account,
    token: Option<String>,
    seq: u64,
    own: u64,
}

/// A world that several attempts share, made by the first of them.
type SharedStage = Arc<OnceCell<Arc<Stage>>>;

impl Cast {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key.pem");
        let key = Ed25519KeyPair::generate().expect("a key");
        let der = key.to_pkcs8v1().expect("it can be written");
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        fs::write(&file, pem).expect("it can be written");
        let settings = [
            ("TIDINGS__AUTH__KEY_FILES", file.to_str().expect("a path")),
            ("TIDINGS__LIMITS__CONVERSATIONS", "1000000"),
            ("TIDINGS__LIMITS__INVITATIONS_PER_DAY", "1000000"),
            ("TIDINGS__LIMITS__REQUESTS_PER_SECOND", "100000"),
            ("TIDINGS__LIMITS__REQUEST_BURST", "100000"),
        ];
        let server = Server::start(&settings).await;
        let rest = Rest::new(&server);
        let (owner, newcomer) = (rest.guest("Owner").await, rest.guest("Newcomer").await);
        Self { server, rest, owner, newcomer, key, of_the_dead: Mutex::default(), _folder: folder }
    }

    /// The answer to a call: its status, and the code of a refusal.
    pub async fn call(&self, call: &Call, caller: Caller, kind: Kind) -> String {
        let stage = self.stage(caller, kind).await;
        let (path, body) = (self.fill(call.at, &stage), self.fill(call.body, &stage));
        let mut request = self.rest.request(call.method.parse().expect("a method"), &path);
        request = request.header("Idempotency-Key", uuid());
        if let Some(token) = &stage.token {
            request = request.bearer_auth(token);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        answer(&self.rest.finish(request).await)
    }

    /// The answer to a frame: its type, the code of a refusal, or the code of the close.
    pub async fn frame(&self, frame: &Frame, caller: Caller, kind: Kind) -> String {
        let stage = self.stage(caller, kind).await;
        let mut ws = Ws::open(&self.server, Encoding::Json).await;
        let hello = match &stage.token {
            Some(token) => json!({ "type": "hello", "token": token }),
            None => json!({ "type": "hello" }),
        };
        ws.send(&hello).await;
        loop {
            match ws.incoming().await {
                Incoming::Closed(code) => return closed(code),
                Incoming::Frame(frame) if frame["type"] == "welcome" => break,
                Incoming::Frame(_) => {}
            }
        }
        let mut said: Value = serde_json::from_str(&self.fill(frame.body, &stage)).expect("a body");
        said["type"] = json!(frame.kind);
        said["id"] = json!("asked");
        ws.send(&said).await;
        // What has no answer is followed by a ping that has one.
        ws.send(&json!({ "type": "ping", "id": "after" })).await;
        loop {
            match ws.incoming().await {
                Incoming::Closed(code) => return closed(code),
                Incoming::Frame(given) if answers(&given, frame) => {
                    let what = given["code"].as_str().or(given["type"].as_str());
                    return what.unwrap_or_default().to_owned();
                }
                Incoming::Frame(given) if given["id"] == "after" && frame.may_be_silent() => {
                    return "silence".to_owned();
                }
                Incoming::Frame(_) => {}
            }
        }
    }

    /// Whoever has no good token changes nothing, so all of such a caller's attempts are made in one world.
    async fn stage(&self, caller: Caller, kind: Kind) -> Arc<Stage> {
        if !caller.is_dead() {
            return Arc::new(self.build(caller, kind).await);
        }
        let cell = Arc::clone(lock(&self.of_the_dead).entry((caller, kind)).or_default());
        Arc::clone(cell.get_or_init(async || Arc::new(self.build(caller, kind).await)).await)
    }

    async fn build(&self, caller: Caller, kind: Kind) -> Stage {
        let rest = &self.rest;
        let (peer, mut account) = (rest.guest("Peer").await, rest.guest("Caller").await);
        let owns = matches!(caller, Caller::Owner | Caller::Expired | Caller::Revoked);
        let owner = if owns { &account } else { &self.owner };
        let joins = !matches!(caller, Caller::Guest | Caller::Stranger);
        let (mut conversation, mut seq, mut own) = (String::new(), 1, 1);
        if kind == Kind::Direct {
            // Who is not a member looks at the conversation of two others.
            let (one, other) = if joins { (&account, &peer) } else { (&self.newcomer, &peer) };
            conversation = rest.conversation(one, "direct", &[other]).await;
        } else if kind != Kind::None {
            let members: Vec<&Account> = match (joins, owns) {
                (true, false) => vec![&peer, &account],
                _ => vec![&peer],
            };
            let shape = if kind == Kind::Group { "group" } else { "channel" };
            conversation = rest.conversation(owner, shape, &members).await;
            if kind == Kind::Private {
                let path = format!("/v1/conversations/{conversation}");
                self.done(Method::PATCH, &path, owner, Some(json!({ "join": "invite" }))).await;
            }
            if matches!(caller, Caller::Admin | Caller::Suspended) {
                let path = format!("/v1/conversations/{conversation}/members/{}", account.id);
                self.done(Method::PATCH, &path, owner, Some(json!({ "role": "admin" }))).await;
            }
        }
        if kind != Kind::None {
            seq = seq_of(&rest.send(&peer, &conversation, "from the peer").await);
            own = seq;
            if joins {
                own = seq_of(&rest.send(&account, &conversation, "from the caller").await);
            }
        }
        match caller {
            Caller::Banned => {
                let path = format!("/v1/conversations/{conversation}/bans/{}", account.id);
                self.done(Method::PUT, &path, owner, None).await;
            }
            Caller::Blocked => {
                self.done(Method::PUT, &format!("/v1/blocks/{}", account.id), &peer, None).await;
            }
            Caller::Suspended => {
                let (status, text) =
                    self.server.command(&["admin", "--as", "matrix", "suspend", &account.id]).await;
                assert!(status.success(), "{text}");
            }
            Caller::Erased => self.done(Method::DELETE, "/v1/me", &account, None).await,
            Caller::Expired => account.access = self.expired(&account.access),
            Caller::Revoked => self.done(Method::DELETE, "/v1/tokens", &account, None).await,
            Caller::Stranger | Caller::Guest | Caller::Member | Caller::Admin | Caller::Owner => {}
        }
        let token = (caller != Caller::Stranger).then(|| account.access.clone());
        Stage { conversation, peer, caller: account, token, seq, own }
    }

    async fn done(&self, method: Method, path: &str, who: &Account, body: Option<Value>) {
        self.rest.call(method, path, Some(&who.access), body.as_ref()).await.ok();
    }

    /// The same token, signed with the server's key, but of yesterday.
    fn expired(&self, token: &str) -> String {
        let mut parts = token.split('.');
        let (header, claims) = (parts.next().expect("a header"), parts.next().expect("claims"));
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
        for name in ["iat", "exp", "nbf"] {
            if let Some(at) = claims[name].as_i64() {
                claims[name] = json!(at - 86_400);
            }
        }
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn fill(&self, text: &str, stage: &Stage) -> String {
        let short = uuid().split_off(24);
        text.replace("$OTHER_TOKEN", &self.newcomer.access)
            .replace("$TOKEN", &stage.caller.access)
            .replace("$BLOCKER", &stage.peer.id)
            .replace("$PEER", &stage.peer.id)
            .replace("$NEW", &self.newcomer.id)
            .replace("$SELF", &stage.caller.id)
            .replace("$SEQ", &stage.seq.to_string())
            .replace("$OWN", &stage.own.to_string())
            .replace("$UUID", &uuid())
            .replace("$SHORT", &short)
            .replace("$C", &stage.conversation)
    }
}

/// Whether a frame is the answer to the one that was sent. A `hello` has no id.
fn answers(given: &Value, sent: &Frame) -> bool {
    let refused = sent.kind == "hello" && given["type"] == "error";
    refused || (given["id"] == "asked" && given["type"] != "events")
}

fn seq_of(sent: &Value) -> u64 {
    sent["seq"].as_u64().expect("a seq")
}

fn closed(code: Option<u16>) -> String {
    code.map_or_else(|| "closed".to_owned(), |code| format!("closed_{code}"))
}

/// `200`, or `403:forbidden`.
fn answer(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    if status < 400 {
        return status.to_string();
    }
    let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    format!("{status}:{}", problem["code"].as_str().unwrap_or("none"))
}
