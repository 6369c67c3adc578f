//! Which path and method leads to which handler.

use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Resource, guard};

use super::resource::{at, delete, get, patch, post, put};
use super::{
    ApiState, Problem, accounts, asyncapi, blocks, boundary, conversations, cors, health, me, members,
    messages, openapi, reactions, read, site, tokens, users,
};

/// Registers everything this module serves. Call it last: it answers every path, with 404 where there is
/// nothing, so what others serve (the WebSocket) must be registered before.
pub fn configure(config: &mut ServiceConfig, state: ApiState) {
    let serves_rest = state.serves_rest;
    config.app_data(Data::new(state));
    let mut scope = web::scope("");
    for resource in about_the_process() {
        scope = scope.service(resource);
    }
    if serves_rest {
        for resource in resources() {
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
    config.default_service(web::route().guard(guard::Options()).to(about_the_server));
}

fn resources() -> Vec<Resource> {
    vec![
        at("/v1/accounts", [post(accounts::sign_up)]),
        at("/v1/accounts/guest", [post(accounts::guest)]),
        at("/v1/tokens", [post(tokens::sign_in), delete(tokens::sign_out)]),
        at("/v1/tokens/refresh", [post(tokens::refresh)]),
        at("/v1/me", [get(me::show), patch(me::change), delete(me::erase)]),
        at("/v1/me/claim", [post(me::claim)]),
        at("/v1/me/export", [get(me::export)]),
        at("/v1/users", [get(users::search)]),
        at("/v1/users/{user}", [get(users::show)]),
        at("/v1/conversations", [post(conversations::create), get(conversations::list)]),
        at(
            "/v1/conversations/{conversation}",
            [get(conversations::show), patch(conversations::change), delete(conversations::delete)],
        ),
        at("/v1/conversations/{conversation}/members", [get(members::list)]),
        at(
            "/v1/conversations/{conversation}/members/{user}",
            [put(members::add), patch(members::set_role), delete(members::remove)],
        ),
        at("/v1/conversations/{conversation}/messages", [get(messages::history), post(messages::send)]),
        at(
            "/v1/conversations/{conversation}/messages/{seq}",
            [patch(messages::edit), delete(messages::delete)],
        ),
        at(
            "/v1/conversations/{conversation}/messages/{seq}/reactions/{emoji}",
            [put(reactions::add), delete(reactions::remove)],
        ),
        at("/v1/conversations/{conversation}/events", [get(messages::events)]),
        at("/v1/conversations/{conversation}/read", [put(read::mark)]),
        at("/v1/blocks", [get(blocks::list)]),
        at("/v1/blocks/{user}", [get(blocks::show), put(blocks::add), delete(blocks::remove)]),
        at("/openapi.json", [get(openapi::serve)]),
        at("/asyncapi.json", [get(asyncapi::serve)]),
    ]
}

async fn about_the_server() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        .finish()
}

/// What every process answers, whatever its roles.
fn about_the_process() -> Vec<Resource> {
    vec![
        at("/healthz", [get(health::live)]),
        at("/readyz", [get(health::ready)]),
        at("/.well-known/jwks.json", [get(health::jwks)]),
    ]
}
