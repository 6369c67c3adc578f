//! The outermost layer: a request id, one log line for each request that fails, and headers that every answer
//! has.
//!
//! Tokens, passwords, bodies, queries and paths (they hold ids of users) never reach the log.

use std::rc::Rc;

use actix_http::ConnectionType;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, ResponseError, web};

use super::answer_body::in_pieces;
use super::extract::{Address, is_signed_in};
use super::{ApiState, Problem, faults, health};
use crate::actors::connections::{Crowded, OpenConnection};
use crate::domain::UserId;
use crate::environment::SharedEnvironment;
use crate::panics;
use crate::protocol::{Failure, answer_headers};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 64;
/// The shortest wait that is told to whom there is no place for; the longest is three times that.
const COME_BACK_MS: u64 = 1_000;

/// The middleware.
pub async fn watch(
    state: web::Data<ApiState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let environment = state.node.environment().clone();
    let id = request_id(request.headers(), &environment);
    let began_us = environment.monotonic_us();
    let address = Address::of(request.request());
    let refused_ms = state.node.offenders().refused_ms(address, began_us / 1_000);
    let in_progress = state.requests.begin();
    let mut response = if in_progress.is_none() {
        let stopping = Problem::from(Failure::Unavailable { definite: true });
        request.into_response(stopping.error_response())
    } else if let Some(retry_after_ms) = refused_ms {
        let refused = Problem::from(Failure::RateLimited { retry_after_ms });
        request.into_response(refused.error_response())
    } else if let Some(full) = no_place(&state, &request).await {
        state.node.meters().connections.turned_away.of(full.label()).increment(1);
        let retry_after_ms = COME_BACK_MS + environment.random_below(2 * COME_BACK_MS);
        let refused = Problem::from(match full {
            Crowded::Address => Failure::RateLimited { retry_after_ms },
            Crowded::Node => Failure::Overloaded { retry_after_ms },
        });
        request.into_response(refused.error_response())
    } else {
        let served = panics::contained(async {
            panics::point("request");
            next.call(request).await
        });
        match served.await {
            Ok(served) => as_problem(served?.map_into_boxed_body()),
            Err(_) => {
                return Err(faults::answer(&state.node, address, |headers| {
                    decorate(headers, &id, state.https);
                }));
            }
        }
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        report(&response, &id, environment.monotonic_us().saturating_sub(began_us) / 1_000);
    }
    let meters = &state.node.meters().http;
    meters.requests.of(status_class(response.status())).increment(1);
    meters.latency.record_since_us(began_us, environment.monotonic_us());
    decorate(response.headers_mut(), &id, state.https);
    // A place of the reserve is free again at once.
    if open_connection(response.request()).is_some_and(|open| !open.may_stay()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let open = open_connection(response.request());
    Ok(in_pieces(faults::contain_body(response, &state.node, address), open))
}

fn open_connection(request: &HttpRequest) -> Option<Rc<OpenConnection>> {
    request.conn_data::<Rc<OpenConnection>>().cloned()
}

/// What is full, when the request came over a connection of the reserve and is neither a health check nor of
/// somebody who is signed in.
async fn no_place(state: &ApiState, request: &ServiceRequest) -> Option<Crowded> {
    let open = open_connection(request.request())?;
    let full = open.full()?;
    if health::is_check(request.path()) {
        return None;
    }
    if is_signed_in(state, request.request()).await {
        open.let_stay();
        return None;
    }
    Some(full)
}

fn decorate(headers: &mut HeaderMap, id: &str, https: bool) {
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap_or(no_store.clone()));
    secure(headers, https);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, no_store);
    }
}

/// Adds what tells browsers what may be done with an answer. An answer that has a policy of its own keeps it.
pub fn secure(headers: &mut HeaderMap, https: bool) {
    for (name, value) in answer_headers(https) {
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
}

/// The caller's request id if it has a usable one (from a proxy, for example), otherwise a new one.
fn request_id(headers: &HeaderMap, environment: &SharedEnvironment) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let usable = given.filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    });
    usable.map_or_else(|| environment.new_uuid().simple().to_string(), str::to_owned)
}

/// Turns an error that none of our handlers made (a missing extension, a failed extractor) into a problem
/// document.
fn as_problem(response: ServiceResponse) -> ServiceResponse {
    let Some(error) = response.response().error() else { return response };
    if error.as_error::<Problem>().is_some() {
        return response;
    }
    let server = response.status().is_server_error();
    let made = if server { Problem::internal() } else { Problem::bad_frame("the request is malformed") };
    tracing::debug!(%error, "an error outside the handlers");
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, made.error_response())
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

fn report(response: &ServiceResponse, request_id: &str, took_ms: u64) {
    let request = response.request();
    let route = request.match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let user = request.extensions().get::<UserId>().copied();
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let code = problem.map_or("", |problem| problem.code().as_str());
    let detail = problem.map(ToString::to_string).unwrap_or_default();
    let (status, method) = (response.status().as_u16(), request.method());
    // Left out where nobody is known.
    let user = user.map(tracing::field::display);
    if response.status() >= StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(request_id, %method, route, status, code, detail, user, took_ms, "request failed");
    } else {
        tracing::info!(request_id, %method, route, status, code, detail, user, took_ms, "request refused");
    }
}
