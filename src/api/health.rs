//! The public port's health for balancers and orchestrators: no token, no request limit, no details. Those
//! are on the internal address ([`super::internal`]).

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;

use super::ApiState;
use super::resource::calls;
use super::word::word;

calls! {
    "/healthz" => [get(live)],
    "/readyz" => [get(ready)],
    "/.well-known/jwks.json" => [get(jwks)],
}

/// Whether a path is asked by balancers and orchestrators, who have a reserve of connections.
pub fn is_check(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn live() -> HttpResponse {
    word(true, "ok")
}

/// Requests may be sent here; 503 while the process starts, drains, has no room left or has a thread that is
/// blocked.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, content_type = "text/plain", body = String), (status = 503, content_type = "text/plain", body = String)))]
pub async fn ready(state: Data<ApiState>) -> HttpResponse {
    if state.readiness.is_ready() { word(true, "ready") } else { word(false, "unready") }
}

/// The public keys that access tokens are signed with.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "operations", security(()),
    responses((status = 200, body = Object)))]
pub async fn jwks(state: Data<ApiState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(state.identity.jwks())
}
