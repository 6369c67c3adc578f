//! A REST client: it knows the contract's URLs and shapes, nothing of the server's code.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::server::Server;
use super::{DEADLINE, unique, uuid};

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user id.
    pub id: String,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl Account {
    /// From the body of any call that signs in.
    pub fn from_answer(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no sign-in: {body}")).to_owned();
        Self {
            id: text(&body["user"]["id"]),
            access: text(&body["access_token"]),
            refresh: text(&body["refresh_token"]),
        }
    }
}

/// One HTTP answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`, empty when there was none.
    pub content_type: String,
    /// `Retry-After`, when given.
    pub retry_after: Option<String>,
    headers: HeaderMap,
    /// The body as JSON, `Null` when it is none.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let header = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (content_type, retry_after) = (header("content-type").unwrap_or_default(), header("retry-after"));
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, content_type, retry_after, headers, body, text }
    }

    /// A header by its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, when the status is a success; panics with the answer otherwise.
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.body
    }
}

/// A REST client of one server. Cheap to clone.
#[derive(Clone)]
pub struct Rest {
    base: String,
    http: reqwest::Client,
    inside: reqwest::Client,
}

impl Rest {
    /// A client with connections of its own. It follows no redirects, so that a test sees every answer.
    pub fn new(server: &Server) -> Self {
        let client = || {
            reqwest::Client::builder()
                .timeout(DEADLINE + Duration::from_secs(5))
                .redirect(reqwest::redirect::Policy::none())
        };
        let inside = client().unix_socket(server.internal_socket()).build().unwrap();
        Self { base: server.url(""), http: client().build().unwrap(), inside }
    }

    /// What the server answers operators at its internal socket.
    pub async fn internal(&self, path: &str) -> Answer {
        self.finish(self.inside.get(format!("http://internal{path}"))).await
    }

    /// The value of one line of the metrics, by all that stands before it.
    pub async fn metric(&self, line: &str) -> f64 {
        let page = self.internal("/metrics").await.text;
        let found = page.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {line} in {page}"))
    }

    /// A request to `path`, for the caller to finish with [`Rest::finish`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request and reads its answer to the end.
    pub async fn finish(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.unwrap()).await
    }

    /// One call with an optional token and JSON body.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.finish(request).await
    }

    /// A new guest.
    pub async fn guest(&self, display_name: &str) -> Account {
        let body = json!({ "display_name": display_name });
        let answer = self.call(Method::POST, "/v1/accounts/guest", None, Some(&body)).await;
        Account::from_answer(&answer.ok())
    }

    /// A new account with a unique name starting with `name`, and its password.
    pub async fn account(&self, name: &str, password: &str) -> Account {
        let body = json!({ "username": unique(name).replace('-', "_"), "password": password });
        let answer = self.call(Method::POST, "/v1/accounts", None, Some(&body)).await;
        Account::from_answer(&answer.ok())
    }

    /// A new conversation of `kind` that `owner` makes with `members`; returns its id.
    pub async fn conversation(&self, owner: &Account, kind: &str, members: &[&Account]) -> String {
        let members: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        let mut body = json!({ "kind": kind, "client_id": uuid(), "members": members });
        if kind != "direct" {
            body["name"] = json!(unique(kind));
        }
        let answer = self.call(Method::POST, "/v1/conversations", Some(&owner.access), Some(&body)).await;
        let body = answer.ok();
        id_of(&body)
    }

    /// Sends a message; returns the answer's body.
    pub async fn send(&self, sender: &Account, conversation: &str, body: &str) -> Value {
        let path = format!("/v1/conversations/{conversation}/messages");
        let request = self
            .request(Method::POST, &path)
            .bearer_auth(&sender.access)
            .header("Idempotency-Key", uuid())
            .json(&json!({ "body": body }));
        self.finish(request).await.ok()
    }

    /// Every event of a conversation from its start, read by `reader`, page by page.
    pub async fn events(&self, reader: &Account, conversation: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event["seq"].as_u64().unwrap());
            let path = format!("/v1/conversations/{conversation}/events?after={after}");
            let body = self.call(Method::GET, &path, Some(&reader.access), None).await.ok();
            let page = body["events"].as_array().unwrap();
            events.extend(page.iter().cloned());
            if body["more"] != json!(true) || page.is_empty() {
                return events;
            }
        }
    }
}

/// The id of a conversation or head: the contract names it `conversation`, a resource's own id `id`.
pub fn id_of(conversation: &Value) -> String {
    let id = conversation["conversation"].as_str().or_else(|| conversation["id"].as_str());
    id.unwrap_or_else(|| panic!("no conversation id in {conversation}")).to_owned()
}
