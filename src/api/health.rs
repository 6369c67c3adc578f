//! For orchestrators and monitors: no token, no request limit.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;

use super::readiness::ReadyView;
use super::{ApiState, Problem};

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Requests may be sent here; 503 while the process starts, drains, has no room left or has a thread that
/// stands still. What all processes share is in the body only.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, body = ReadyView), (status = 503, body = ReadyView)))]
pub async fn ready(state: Data<ApiState>) -> HttpResponse {
    let report = state.readiness.report().await;
    if report.ready {
        HttpResponse::Ok().json(report)
    } else {
        HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "1")).json(report)
    }
}

/// The metrics, for Prometheus; 404 where `telemetry.metrics` is off.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn metrics(state: Data<ApiState>) -> Result<HttpResponse, Problem> {
    let render = state.render_metrics.as_ref().ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(render()))
}

/// The public keys that access tokens are signed with.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "operations", security(()),
    responses((status = 200, body = Object)))]
pub async fn jwks(state: Data<ApiState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(state.identity.jwks())
}
