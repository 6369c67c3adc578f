//! A file that is served as it is: its type, its name for caches, its policy, its bytes.

use std::borrow::Cow;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::Problem;

/// What one path answers.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The media type.
    pub kind: Cow<'static, str>,
    /// Names the content.
    etag: String,
    /// What the page may load and do.
    policy: &'static str,
    /// The content.
    pub body: Bytes,
}

impl Asset {
    /// A file with its SHA-256.
    pub fn new(
        kind: impl Into<Cow<'static, str>>,
        policy: &'static str,
        hash: impl AsRef<[u8]>,
        body: impl Into<Bytes>,
    ) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(hash));
        Self { kind: kind.into(), etag, policy, body: body.into() }
    }

    /// Answers a request for it, with "not modified" when the client has it.
    ///
    /// # Errors
    /// 405 when it is asked for anything but reading.
    pub fn answer(self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Problem::method_not_allowed(&[Method::GET, Method::HEAD]));
        }
        let known = matches(request, &self.etag);
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        // Names stay the same from release to release, so a browser asks each time and usually gets "not
        // modified".
        response
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::ETAG, self.etag))
            .insert_header((header::CONTENT_SECURITY_POLICY, self.policy));
        if known {
            return Ok(response.finish());
        }
        Ok(response.content_type(self.kind.as_ref()).body(self.body))
    }
}

fn matches(request: &HttpRequest, etag: &str) -> bool {
    let given = request.headers().get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = std::str::from_utf8(given).unwrap_or_default();
    given.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == etag || one == "*")
}
