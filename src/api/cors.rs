//! Cross-origin requests of browsers: none by default, those of `gateway.allowed_origins` when listed.
//!
//! Tokens are sent in a header that only the page's own code can set, so no request is refused here. A
//! browser does not show the answer to a page of an origin that is not listed.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};

use super::ApiState;
use crate::domain::AllowedOrigins;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, idempotency-key");
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
/// For how long a browser may keep the answer of a preflight.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// The middleware.
pub async fn allow(
    state: web::Data<ApiState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(origin) = allowed(request.headers(), &state.allowed_origins) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let preflight = *request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        let mut response = request.into_response(HttpResponse::NoContent().finish());
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        response
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    Ok(response)
}

/// The value for the request's origin; `None` when it has none or is not listed.
fn allowed(headers: &HeaderMap, origins: &AllowedOrigins) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.lists(origin.to_str().ok()?).then(|| origin.clone())
}
