//! A REST case: one request, the answers the contract allows, and the check of the answer.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::case::fault_of;
use super::world::{Actor, World};
use crate::support::in_parallel;
use crate::support::rest::Answer;

/// A body, or its absence.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// JSON, with the world's `$NAMES`.
    Json(String),
    /// Anything, under this media type.
    Raw(&'static str, Vec<u8>),
}

/// One request and the statuses and codes that may answer it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it tries.
    pub name: String,
    /// The method.
    pub method: Method,
    /// The path, with the world's `$NAMES`.
    pub path: String,
    /// The bearer token, with the world's `$NAMES`.
    pub token: Option<String>,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
    /// What may answer.
    pub statuses: &'static [u16],
    /// The codes that may come with an error; empty for any of the catalogue.
    pub codes: &'static [&'static str],
}

impl Request {
    /// A request with the actor's token.
    pub fn new(
        name: impl Into<String>,
        method: Method,
        path: &str,
        body: Body,
        statuses: &'static [u16],
    ) -> Self {
        let token = Some("$TOKEN".to_owned());
        Self {
            name: name.into(),
            method,
            path: path.into(),
            token,
            headers: Vec::new(),
            body,
            statuses,
            codes: &[],
        }
    }

    /// Narrows the codes.
    pub fn codes(mut self, codes: &'static [&'static str]) -> Self {
        self.codes = codes;
        self
    }

    /// With another token, or none.
    pub fn token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(str::to_owned);
        self
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sends it as this actor.
    pub async fn send(&self, world: &World, actor: &Actor) -> Answer {
        let mut request = world.rest.request(self.method.clone(), &world.fill(&self.path, actor));
        if let Some(token) = &self.token {
            request = request.bearer_auth(world.fill(token, actor));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, world.fill(value, actor));
        }
        request = match &self.body {
            Body::Empty => request,
            Body::Json(text) => {
                request.header("content-type", "application/json").body(world.fill(text, actor))
            }
            Body::Raw(kind, bytes) => request.header("content-type", *kind).body(bytes.clone()),
        };
        world.rest.finish(request).await
    }
}

/// Sends all requests, eight at a time; panics with all that went wrong.
pub async fn run_all(world: World, requests: Vec<Request>) -> World {
    let world = std::sync::Arc::new(world);
    let count = requests.len();
    let shared = world.clone();
    let numbered = requests.into_iter().enumerate().collect();
    let results = in_parallel(8, numbered, move |(number, request): (usize, Request)| {
        let world = shared.clone();
        async move {
            let actor = &world.actors[number % world.actors.len()];
            let answer = request.send(&world, actor).await;
            complaint_about(&request, &answer).map(|what| {
                let text: String = answer.text.chars().take(300).collect();
                format!(
                    "{}: {what}; wanted {:?} {:?}, got {} {text}",
                    request.name, request.statuses, request.codes, answer.status
                )
            })
        }
    })
    .await;
    let mut complaints: Vec<String> = results.into_iter().flatten().collect();
    complaints.sort();
    assert!(complaints.is_empty(), "{} of {count} requests:\n{}", complaints.len(), complaints.join("\n"));
    std::sync::Arc::into_inner(world).expect("all requests have ended")
}

fn complaint_about(request: &Request, answer: &Answer) -> Option<String> {
    if !request.statuses.contains(&answer.status.as_u16()) {
        return Some("another status".into());
    }
    if answer.status.is_success() {
        return None;
    }
    if let Some(fault) = problem_fault(answer) {
        return Some(fault);
    }
    let code = answer.body["code"].as_str().unwrap_or_default();
    (!request.codes.is_empty() && !request.codes.contains(&code)).then(|| "another code".into())
}

/// What is wrong with an error answer as a problem document (RFC 9457), if anything.
pub fn problem_fault(answer: &Answer) -> Option<String> {
    if !answer.content_type.starts_with("application/problem+json") {
        return Some(format!("an error as {:?}", answer.content_type));
    }
    let body = &answer.body;
    for field in ["type", "title", "detail"] {
        if body[field].as_str().is_none_or(str::is_empty) {
            return Some(format!("no {field}"));
        }
    }
    if body["status"] != json!(answer.status.as_u16()) {
        return Some("status in the body is not that of the answer".into());
    }
    let wait = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if wait.contains(&answer.status) && answer.retry_after.is_none() {
        return Some("no Retry-After".into());
    }
    fault_of(body)
}
