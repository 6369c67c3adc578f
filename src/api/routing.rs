//! Which path and method leads to which handler.

use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, guard};

use super::{ApiState, Problem, boundary, cors, health, openapi, site};

/// Registers everything this module serves. Call it last: it answers every path, with 404 where there is
/// nothing, so what others serve (the WebSocket) must be registered before.
pub fn configure(config: &mut ServiceConfig, state: ApiState) {
    let (serves_rest, https) = (state.serves_rest, state.https);
    config.app_data(Data::new(state));
    let mut scope = web::scope("");
    // A process with any role answers these.
    for resource in health::resources() {
        scope = scope.service(resource);
    }
    if serves_rest {
        for resource in openapi::resources_of_rest() {
            scope = scope.service(resource);
        }
    }
    // The last one wrapped is the first to see a request.
    let scope = if serves_rest {
        scope.default_service(web::to(site::serve))
    } else {
        scope.default_service(web::to(|| async { Err::<&'static str, _>(Problem::not_found()) }))
    };
    let scope = scope.wrap(from_fn(cors::allow)).wrap(from_fn(boundary::watch));
    config.service(scope);
    // Only what is no path comes by the scope: `*`, which asks about the server as a whole (RFC 9110 section
    // 9.3.7).
    config.default_service(web::route().guard(guard::Options()).to(move || about_the_server(https)));
}

async fn about_the_server(https: bool) -> HttpResponse {
    let mut response = HttpResponse::NoContent()
        .insert_header((header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        .finish();
    boundary::secure(response.headers_mut(), https);
    response
}
