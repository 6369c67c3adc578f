//! Why an upgrade is refused, and the answer that says so.

use actix_http::body::BoxBody;
use actix_http::header::{self, HeaderValue};
use actix_http::{Response, StatusCode};

use crate::protocol::{ErrorCode, answer_headers};

/// Why an upgrade is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not the WebSocket endpoint.
    NotFound,
    /// Not a well-formed handshake.
    Handshake(&'static str),
    /// Another WebSocket version.
    Version,
    /// Only `GET` upgrades.
    Method,
    /// A browser page of another origin.
    Origin,
    /// Only subprotocols that this server does not know.
    Subprotocol,
    /// A credential in the URL, where logs and proxies would store it.
    TokenInUrl,
    /// The server is stopping.
    Draining,
    /// This process does not serve WebSocket connections.
    NoGateway,
    /// This address connects too often.
    RateLimited {
        /// When the next connection is allowed.
        retry_after_ms: u64,
    },
    /// Too many hellos are in progress.
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
}

impl Refused {
    const fn status(self) -> StatusCode {
        match self {
            Self::NotFound | Self::NoGateway => StatusCode::NOT_FOUND,
            Self::Handshake(_) | Self::Subprotocol | Self::TokenInUrl => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Draining | Self::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    const fn code(self) -> ErrorCode {
        match self {
            Self::NotFound | Self::NoGateway => ErrorCode::NotFound,
            Self::Handshake(_) | Self::Subprotocol | Self::TokenInUrl | Self::Version | Self::Method => {
                ErrorCode::BadFrame
            }
            Self::Origin => ErrorCode::Forbidden,
            Self::Draining | Self::Overloaded { .. } => ErrorCode::Overloaded,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::NotFound => "WebSocket connections are made at /v1/ws",
            Self::Handshake(detail) => detail,
            Self::Version => "this is a WebSocket endpoint, version 13: ask for an upgrade",
            Self::Method => "upgrade with GET",
            Self::Origin => "this origin is not allowed; list it in gateway.allowed_origins",
            Self::Subprotocol => "offer tidings.v1.json or tidings.v1.msgpack, or no subprotocol",
            Self::TokenInUrl => "give the token in hello or in the Authorization header, never in the URL",
            Self::Draining => "the server is stopping; connect again",
            Self::NoGateway => "this process takes no connections: its server.roles lack gateway",
            Self::RateLimited { .. } => "too many connections from this address at once; wait",
            Self::Overloaded { .. } => "too many are connecting at once; wait",
        }
    }

    /// The label in metrics.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Subprotocol => "subprotocol",
            Self::Draining => "draining",
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded { .. } => "overloaded",
            Self::NotFound
            | Self::Handshake(_)
            | Self::Version
            | Self::Method
            | Self::TokenInUrl
            | Self::NoGateway => "bad_request",
        }
    }
}

impl Refused {
    /// How long to wait before another try; `None`: another try would be refused too.
    const fn retry_after_ms(self) -> Option<u64> {
        match self {
            Self::Draining => Some(1_000),
            Self::RateLimited { retry_after_ms } | Self::Overloaded { retry_after_ms } => {
                Some(retry_after_ms)
            }
            Self::NotFound
            | Self::Handshake(_)
            | Self::Version
            | Self::Method
            | Self::Origin
            | Self::Subprotocol
            | Self::TokenInUrl
            | Self::NoGateway => None,
        }
    }
}

/// The head of the answer.
pub(super) fn refusal(refused: Refused, https: bool) -> Response<BoxBody> {
    let mut response = Response::build(refused.status());
    response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
    for named in answer_headers(https) {
        response.insert_header(named);
    }
    response.force_close();
    match refused {
        Refused::Version => {
            response.insert_header((header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
            response.insert_header((header::UPGRADE, HeaderValue::from_static("websocket")));
        }
        Refused::Method => {
            response.insert_header((header::ALLOW, HeaderValue::from_static("GET")));
        }
        _ => {}
    }
    if let Some(wait_ms) = refused.retry_after_ms() {
        response.insert_header((header::RETRY_AFTER, wait_ms.div_ceil(1_000).max(1).to_string()));
    }
    response.finish().map_into_boxed_body()
}

/// The body of the answer: a problem document.
pub(super) fn refusal_body(refused: Refused) -> Vec<u8> {
    let (status, code) = (refused.status(), refused.code());
    let mut body = serde_json::json!({
        "type": format!("urn:tidings:error:{}", code.as_str()),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": refused.detail(),
        "code": code.as_str(),
        "retryable": code.retryable(),
        "definite": true,
    });
    if let Some(retry_after_ms) = refused.retry_after_ms() {
        body["retry_after_ms"] = retry_after_ms.into();
    }
    body.to_string().into_bytes()
}
