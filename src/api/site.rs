//! The web client and the documentation, embedded in the binary, and the answer to every path without another
//! handler.

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use rust_embed::Embed;

use super::asset::Asset;
use super::{Problem, docs};

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

/// A file of the web client, a page of the documentation, or 404.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = match request.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let asset = docs::find(request.path()).cloned().or_else(|| find(name));
    asset.ok_or_else(Problem::not_found)?.answer(&request)
}

/// Only plain names are accepted: while developing, files are read from the disk.
fn find(name: &str) -> Option<Asset> {
    let plain = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let file = name.split('/').all(plain).then(|| Web::get(name).or_else(|| Client::get(name)))??;
    let body = match file.data {
        Cow::Borrowed(embedded) => Bytes::from_static(embedded),
        Cow::Owned(read) => Bytes::from(read),
    };
    Some(Asset::new(file.metadata.mimetype().to_owned(), POLICY, file.metadata.sha256_hash(), body))
}
