//! The REST part of the protocol: what a run needs for its setup and for reading the log at the end.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    ids::{ConversationId, UserId},
    wire::Event,
};

const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const PAGE: usize = 500;

/// One server's REST API. Refusals for load (429, 503) and broken connections are retried with the wait the
/// server names, up to `patience`; every other failure is returned for the caller to end the run.
#[derive(Clone, Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    patience: u32,
}

/// A signed-in user.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's id.
    pub user: UserId,
    /// Token for `hello` and `Authorization`.
    pub access_token: String,
    /// Trades for the next pair.
    pub refresh_token: String,
}

#[derive(Deserialize)]
struct SignedIn {
    user: SignedInUser,
    access_token: String,
    refresh_token: String,
}

#[derive(Deserialize)]
struct SignedInUser {
    id: UserId,
}

impl From<SignedIn> for Account {
    fn from(from: SignedIn) -> Self {
        Self { user: from.user.id, access_token: from.access_token, refresh_token: from.refresh_token }
    }
}

#[derive(Deserialize)]
struct ServerRules {
    default_conversation: Option<ConversationId>,
}

#[derive(Deserialize)]
struct Listing {
    conversations: Vec<Listed>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    conversation: ConversationId,
    kind: String,
}

#[derive(Deserialize)]
struct Made {
    conversation: ConversationId,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Event>,
    more: bool,
}

impl Rest {
    /// A client for `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Result<Self> {
        Self::from_address(base, None)
    }

    /// The same from a local address.
    pub fn from_address(base: &str, source: Option<IpAddr>) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).local_address(source);
        let http = client.build().context("HTTP client")?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), patience: 20 })
    }

    /// The server's address as given.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The channel in which newcomers begin, which belongs to the first account that anybody makes; `None`
    /// where there is none.
    pub async fn default_conversation(&self) -> Result<Option<ConversationId>> {
        let server: ServerRules = self.call(Method::GET, "/v1/server", None, None).await?;
        Ok(server.default_conversation)
    }

    /// Makes a new guest.
    pub async fn guest(&self, display_name: &str) -> Result<Account> {
        let body = json!({ "display_name": display_name });
        let signed_in: SignedIn = self.call(Method::POST, "/v1/accounts/guest", None, Some(&body)).await?;
        Ok(signed_in.into())
    }

    /// Makes a new account with a password: 50–100 ms of the server's CPU each, by the design of the hash.
    pub async fn account(&self, username: &str, display_name: &str) -> Result<Account> {
        let password = uuid::Uuid::from_bytes(rand::random()).to_string();
        let body = json!({ "username": username, "password": password, "display_name": display_name });
        let signed_in: SignedIn = self.call(Method::POST, "/v1/accounts", None, Some(&body)).await?;
        Ok(signed_in.into())
    }

    /// Trades a refresh token for a new pair.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Account> {
        let body = json!({ "refresh_token": refresh_token });
        let signed_in: SignedIn = self.call(Method::POST, "/v1/tokens/refresh", None, Some(&body)).await?;
        Ok(signed_in.into())
    }

    /// Makes an open channel whose whole history every member may read.
    pub async fn channel(&self, owner: &Account, name: &str) -> Result<ConversationId> {
        let body = json!({ "kind": "channel", "name": name, "history": "all", "join": "open" });
        let made: Made = self.call(Method::POST, "/v1/conversations", Some(owner), Some(&body)).await?;
        Ok(made.conversation)
    }

    /// The direct conversation with `peer`.
    pub async fn direct(&self, who: &Account, peer: &UserId) -> Result<ConversationId> {
        let body = json!({ "kind": "direct", "members": [peer.as_str()] });
        let made: Made = self.call(Method::POST, "/v1/conversations", Some(who), Some(&body)).await?;
        Ok(made.conversation)
    }

    /// Makes a group whose whole history every member may read.
    pub async fn group(&self, owner: &Account, members: &[UserId]) -> Result<ConversationId> {
        let members: Vec<&str> = members.iter().map(UserId::as_str).collect();
        let body = json!({ "kind": "group", "members": members, "history": "all" });
        let made: Made = self.call(Method::POST, "/v1/conversations", Some(owner), Some(&body)).await?;
        Ok(made.conversation)
    }

    /// Says something.
    pub async fn say(&self, who: &Account, conversation: &ConversationId, body: &str) -> Result<()> {
        let path = format!("{}/v1/conversations/{conversation}/messages", self.base);
        let key = crate::clock::new_client_id().to_string();
        let body = json!({ "body": body });
        loop {
            let request =
                self.http.post(&path).bearer_auth(&who.access_token).header("Idempotency-Key", &key);
            let answer = request.json(&body).send().await?;
            match answer.status() {
                StatusCode::TOO_MANY_REQUESTS => tokio::time::sleep(Duration::from_millis(500)).await,
                status if status.is_success() => return Ok(()),
                status => bail!("{path}: {status} {}", answer.text().await.unwrap_or_default()),
            }
        }
    }

    /// Reads one's own profile, once: whatever is no success is an error.
    pub async fn try_me(&self, who: &Account) -> Result<()> {
        let request = self.http.get(format!("{}/v1/me", self.base)).bearer_auth(&who.access_token);
        request.send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }

    /// The groups somebody is in.
    pub async fn groups(&self, who: &Account) -> Result<Vec<ConversationId>> {
        let (mut groups, mut path) = (Vec::new(), "/v1/conversations?limit=100".to_owned());
        loop {
            let page: Listing = self.call(Method::GET, &path, Some(who), None).await?;
            let listed = page.conversations.into_iter().filter(|listed| listed.kind == "group");
            groups.extend(listed.map(|listed| listed.conversation));
            let Some(next) = page.next_cursor else { return Ok(groups) };
            path = format!("/v1/conversations?limit=100&cursor={next}");
        }
    }

    /// Joins a conversation oneself.
    pub async fn join(&self, who: &Account, conversation: &ConversationId) -> Result<()> {
        self.add(who, conversation, &who.user).await
    }

    /// Makes somebody a member.
    pub async fn add(&self, by: &Account, conversation: &ConversationId, user: &UserId) -> Result<()> {
        let path = format!("/v1/conversations/{conversation}/members/{user}");
        self.call::<Value>(Method::PUT, &path, Some(by), None).await.map(drop)
    }

    /// Leaves a conversation.
    pub async fn leave(&self, who: &Account, conversation: &ConversationId) -> Result<()> {
        self.remove(who, conversation, &who.user).await
    }

    /// Ends somebody's membership.
    pub async fn remove(&self, by: &Account, conversation: &ConversationId, user: &UserId) -> Result<()> {
        let path = format!("/v1/conversations/{conversation}/members/{user}");
        self.call::<Value>(Method::DELETE, &path, Some(by), None).await.map(drop)
    }

    /// Reads a conversation's whole log, page by page.
    pub async fn log(&self, reader: &Account, conversation: &ConversationId) -> Result<Vec<Event>> {
        let mut log: Vec<Event> = Vec::new();
        loop {
            let after = log.last().map_or(0, |event| event.seq);
            let path = format!("/v1/conversations/{conversation}/events?after={after}&limit={PAGE}");
            let page: Page = self.call(Method::GET, &path, Some(reader), None).await?;
            let more = page.more;
            if more && page.events.last().is_none_or(|event| event.seq <= after) {
                bail!("{path}: the server says there is more but gives nothing newer");
            }
            log.extend(page.events);
            if !more {
                return Ok(log);
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        who: Option<&Account>,
        body: Option<&Value>,
    ) -> Result<T> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
            if let Some(who) = who {
                request = request.bearer_auth(&who.access_token);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let wait_ms = match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    let bytes = answer.bytes().await.with_context(|| format!("{method} {path}"))?;
                    let bytes: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
                    return serde_json::from_slice(bytes)
                        .with_context(|| format!("{method} {path}: {}", String::from_utf8_lossy(bytes)));
                }
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    let problem = serde_json::from_str::<Problem>(&text).ok();
                    let busy =
                        matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
                    if !busy || attempt >= self.patience {
                        let code = problem.map(|problem| problem.code).unwrap_or_default();
                        bail!("{method} {path}: {status} {code} {text}");
                    }
                    problem.and_then(|problem| problem.retry_after_ms).unwrap_or(500)
                }
                Err(error) if attempt >= self.patience => {
                    return Err(error).with_context(|| format!("{method} {path}"));
                }
                Err(_) => 250,
            };
            tokio::time::sleep(Duration::from_millis(wait_ms.min(10_000))).await;
        }
    }
}
