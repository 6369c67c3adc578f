//! The web client and the documentation, and the answer to every path without another handler.
//!
//! The page is asked for each time. All it needs has a name with the hash of its content: a browser keeps it
//! for good, and a new release has other names. While two releases run side by side a page of one may ask the
//! other for a file: it is given that release's own, and asks again next time.

#[cfg_attr(embedded_web, expect(dead_code, reason = "build/web.rs uses the rest"))]
mod bundle;
mod files;

use actix_web::{HttpRequest, HttpResponse};

use super::{Problem, docs};
use files::site;

/// A file of the web client, a page of the documentation, or 404.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.path().trim_start_matches('/');
    let name = if path.is_empty() { bundle::PAGE } else { path };
    let asset = docs::find(request.path()).cloned().or_else(|| site(name)?.find(name));
    asset.ok_or_else(Problem::not_found)?.answer(&request)
}
