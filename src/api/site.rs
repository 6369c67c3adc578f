//! The web client, embedded in the binary, and the answer to every path without another handler.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{Embed, EmbeddedFile};

use super::Problem;

/// The page connects to its own server only, and no other page may embed it.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; \
                      frame-ancestors 'none'";

#[derive(Embed)]
#[folder = "web/"]
#[allow_missing = true]
struct Web;

/// The module that speaks the protocol. It is the published client, and the page imports the same file.
#[derive(Embed)]
#[folder = "clients/js/"]
#[include = "tidings.js"]
#[allow_missing = true]
struct Client;

/// A file of the web client, or 404.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = match request.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let file = find(name).ok_or_else(Problem::not_found)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::method_not_allowed(&[Method::GET, Method::HEAD]));
    }
    let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash()));
    let known = matches(&request, &etag);
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    // Names stay the same from release to release, so a browser asks each time and usually gets "not
    // modified".
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, etag))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    if known {
        return Ok(response.finish());
    }
    Ok(response.content_type(file.metadata.mimetype()).body(file.data.into_owned()))
}

/// Only plain names are accepted: while developing, files are read from the disk.
fn find(name: &str) -> Option<EmbeddedFile> {
    let plain = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    if name.split('/').all(plain) { Web::get(name).or_else(|| Client::get(name)) } else { None }
}

fn matches(request: &HttpRequest, etag: &str) -> bool {
    let given = request.headers().get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = std::str::from_utf8(given).unwrap_or_default();
    given.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == etag || one == "*")
}
