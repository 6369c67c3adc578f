//! Errors as problem documents (RFC 9457).

use std::borrow::Cow;
use std::fmt;

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Refusal;
use crate::protocol::{Error, ErrorCode, Failure};

/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    error: Error,
    status: StatusCode,
    /// The methods there are, for 405.
    allow: Option<HeaderValue>,
}

/// The document.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView {
    /// A URN that ends with the code.
    #[serde(rename = "type")]
    kind: String,
    /// What the code means.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, for people.
    detail: Cow<'static, str>,
    /// The code of the error catalogue: what programs go by.
    code: &'static str,
    /// The same request may succeed later, unchanged.
    retryable: bool,
    /// True: it did not happen and never will. False: unknown; repeat with the same idempotency key.
    definite: bool,
    /// How long to wait before a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    fn with_status(code: ErrorCode, status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { error: Error::new(code, detail), status, allow: None }
    }

    /// 400: not a well-formed body or request.
    pub fn bad_frame(detail: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorCode::BadFrame, detail).into()
    }

    /// 422: a field has the wrong type or value; the detail names it.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Error::new(ErrorCode::Invalid, detail).into()
    }

    /// 404: no such path.
    pub fn not_found() -> Self {
        Refusal::NotFound.into()
    }

    /// 405 with the methods there are.
    pub fn method_not_allowed(allow: &[Method]) -> Self {
        let names: Vec<_> = allow.iter().map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&names.join(", ")).ok();
        let detail = "this resource does not have that method; see Allow";
        Self { allow, ..Self::with_status(ErrorCode::BadFrame, StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// 408: the body did not come in time.
    pub fn too_slow() -> Self {
        Self::with_status(ErrorCode::BadFrame, StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")
    }

    /// 415: the body is of a type that is not read.
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be application/json in UTF-8, without a content encoding";
        Self::with_status(ErrorCode::BadFrame, StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 500: an internal error of the server.
    pub fn internal() -> Self {
        let detail = "an internal error of the server; the log has the details";
        Self::with_status(ErrorCode::Unavailable, StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// The catalogue's code.
    pub fn code(&self) -> ErrorCode {
        self.error.code
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status =
            StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { error, status, allow: None }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Error::from(failure).into()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Failure::from(refusal).into()
    }
}

/// A stored text that is no longer JSON.
impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "an answer could not be encoded");
        Self::internal()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error.message)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.content_type(MEDIA_TYPE);
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        if let Some(wait_ms) = self.error.retry_after_ms {
            response.insert_header((header::RETRY_AFTER, wait_ms.div_ceil(1_000).max(1).to_string()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(ProblemView {
            kind: format!("urn:tidings:error:{}", self.error.code.as_str()),
            title: self.error.code.title(),
            status: self.status.as_u16(),
            detail: self.error.message.clone(),
            code: self.error.code.as_str(),
            retryable: self.error.retryable,
            definite: self.error.definite,
            retry_after_ms: self.error.retry_after_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_twice_and_rounded_up() {
        let problem = Problem::from(Failure::RateLimited { retry_after_ms: 1_001 });
        let response = problem.error_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get(header::RETRY_AFTER), Some(&HeaderValue::from_static("2")));
        assert_eq!(response.headers().get(header::CONTENT_TYPE), Some(&HeaderValue::from_static(MEDIA_TYPE)));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let response = Problem::method_not_allowed(&[Method::GET, Method::PATCH]).error_response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers().get(header::ALLOW), Some(&HeaderValue::from_static("GET, PATCH")));
    }
}
