//! The handshake: checks an HTTP upgrade (RFC 6455 section 4.2), answers it, and hands the TCP stream to a
//! session.

use std::rc::Rc;

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::header::{self, HeaderMap, HeaderValue};
use actix_http::ws::{HandshakeError, handshake_response, verify_handshake};
use actix_http::{HttpMessage, Request, Response, StatusCode, Version, h1};
use futures_util::SinkExt;
use tokio::net::TcpStream;

use super::hub::Hub;
use crate::domain::{AllowedOrigins, ClientAddress};
use crate::protocol::{Encoding, ErrorCode, Failure, answer_headers};

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

    const fn label(self) -> &'static str {
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

/// The result of a valid handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct Agreed {
    /// How frames are encoded.
    pub encoding: Encoding,
    /// The subprotocol to confirm; `None` when none was asked for.
    pub subprotocol: Option<&'static str>,
    /// A token given with the upgrade.
    pub bearer: Option<String>,
}

/// Checks a handshake.
///
/// # Errors
/// Why it is refused; it has the HTTP status to answer with.
pub fn check_handshake(request: &Request, allowed_origins: &AllowedOrigins) -> Result<Agreed, Refused> {
    if request.path() != "/v1/ws" {
        return Err(Refused::NotFound);
    }
    if has_credential(request.uri().query().unwrap_or_default()) {
        return Err(Refused::TokenInUrl);
    }
    if request.version() < Version::HTTP_11 {
        return Err(Refused::Handshake("WebSocket needs HTTP/1.1"));
    }
    verify_handshake(request.head()).map_err(|error| match error {
        HandshakeError::GetMethodRequired => Refused::Method,
        HandshakeError::UnsupportedVersion | HandshakeError::NoVersionHeader => Refused::Version,
        HandshakeError::NoWebsocketUpgrade | HandshakeError::NoConnectionUpgrade => {
            Refused::Handshake("the headers Upgrade: websocket and Connection: Upgrade are needed")
        }
        HandshakeError::BadWebsocketKey => Refused::Handshake("Sec-WebSocket-Key must be 16 bytes in base64"),
    })?;
    let headers = request.headers();
    check_origin(headers, allowed_origins)?;
    let (encoding, subprotocol) = agree_on_encoding(headers)?;
    Ok(Agreed { encoding, subprotocol, bearer: bearer(headers) })
}

fn has_credential(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        ["token", "access_token", "authorization", "jwt"].iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// Browsers send `Origin`, others do not. A page may connect from the server's own host or from a listed
/// origin.
fn check_origin(headers: &HeaderMap, allowed: &AllowedOrigins) -> Result<(), Refused> {
    let mut origins = headers.get_all(header::ORIGIN);
    let Some(origin) = origins.next() else { return Ok(()) };
    if origins.next().is_some() {
        return Err(Refused::Origin);
    }
    let origin = origin.to_str().map_err(|_| Refused::Origin)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if allowed.may_connect(origin, host) { Ok(()) } else { Err(Refused::Origin) }
}

fn agree_on_encoding(headers: &HeaderMap) -> Result<(Encoding, Option<&'static str>), Refused> {
    let mut asked = false;
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        for name in
            value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
        {
            asked = true;
            if let Some(encoding) = Encoding::from_subprotocol(name) {
                return Ok((encoding, Some(encoding.subprotocol())));
            }
        }
    }
    if asked { Err(Refused::Subprotocol) } else { Ok((Encoding::Json, None)) }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim().to_owned())
}

/// The answer to a request for the WebSocket endpoint that is not an upgrade.
pub fn no_upgrade() -> (StatusCode, Vec<u8>) {
    (StatusCode::UPGRADE_REQUIRED, refusal_body(Refused::Version))
}

/// Answers an upgrade. If it is valid and the process serves sockets (`serves`), hands its stream to the hub.
pub async fn take_over(
    hub: Rc<Hub<TcpStream>>,
    serves: bool,
    request: Request,
    mut framed: Framed<TcpStream, h1::Codec>,
) {
    let checked = if !serves {
        Err(Refused::NoGateway)
    } else if hub.is_draining() {
        Err(Refused::Draining)
    } else {
        check_handshake(&request, &hub.worker().bounds.allowed_origins)
            .and_then(|agreed| check_rate(&hub, &request).map(|address| (agreed, address)))
    };
    let timeout = hub.worker().bounds.handshake_timeout;
    match checked {
        Ok((agreed, address)) => {
            let mut response = handshake_response(request.head());
            if let Some(subprotocol) = agreed.subprotocol {
                response
                    .insert_header((header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol)));
            }
            let response = response.finish().drop_body();
            let item = h1::Message::Item((response, actix_http::body::BodySize::None));
            if matches!(tokio::time::timeout(timeout, framed.send(item)).await, Ok(Ok(()))) {
                let parts = framed.into_parts();
                hub.open(parts.io, agreed.encoding, agreed.bearer, parts.read_buf, address);
            }
        }
        Err(refused) => {
            hub.worker().count_refused_upgrade(refused.label());
            let body = refusal_body(refused);
            let size = actix_http::body::BodySize::Sized(body.len() as u64);
            let item = h1::Message::Item((refusal(refused, hub.worker().bounds.https).drop_body(), size));
            let answer = async {
                framed.send(item).await?;
                framed.send(h1::Message::Chunk(Some(body.into()))).await?;
                framed.send(h1::Message::Chunk(None)).await
            };
            // The stream of a client that does not read its refusal is dropped.
            let _ = tokio::time::timeout(timeout, answer).await;
        }
    }
}

/// Checks whether the address of the request may connect now, and returns that address.
fn check_rate(hub: &Hub<TcpStream>, request: &Request) -> Result<ClientAddress, Refused> {
    let admission = &hub.worker().admission;
    let address = admission.address(request.peer_addr().map(|peer| peer.ip()), request.headers());
    if hub.worker().node.connections().is_full() {
        let retry_after_ms = 1_000;
        hub.worker().count_turned_away(&Failure::Overloaded { retry_after_ms });
        return Err(Refused::Overloaded { retry_after_ms });
    }
    let node = &hub.worker().node;
    let now_ms = node.environment().monotonic_ms();
    if let Some(retry_after_ms) = node.offenders().refused_ms(address, now_ms) {
        return Err(Refused::RateLimited { retry_after_ms });
    }
    admission.check_rate(address).map(|()| address).map_err(|failure| {
        hub.worker().count_turned_away(&failure);
        match failure {
            Failure::RateLimited { retry_after_ms } => Refused::RateLimited { retry_after_ms },
            Failure::Overloaded { retry_after_ms } => Refused::Overloaded { retry_after_ms },
            Failure::Refused(_)
            | Failure::Unavailable { .. }
            | Failure::IssuerAway
            | Failure::Unauthenticated(_) => Refused::Draining,
        }
    })
}

fn refusal(refused: Refused, https: bool) -> Response<BoxBody> {
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

fn refusal_body(refused: Refused) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use actix_http::test::TestRequest;

    use super::*;

    fn request(uri: &str, extra: &[(&'static str, &'static str)]) -> Request {
        let mut request = TestRequest::with_uri(uri);
        for (name, value) in [
            ("host", "chat.example"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .iter()
        .chain(extra)
        {
            request.append_header((*name, *value));
        }
        request.finish()
    }

    fn checked(extra: &[(&'static str, &'static str)]) -> Result<Agreed, Refused> {
        check_handshake(
            &request("/v1/ws", extra),
            &AllowedOrigins::new(&["https://game.example".to_owned()], None),
        )
    }

    #[test]
    fn origins_are_the_host_or_listed() {
        for (origin, allowed) in [
            ("https://chat.example", true),
            ("http://CHAT.example", true),
            ("https://game.example", true),
            ("https://evil.example", false),
            ("https://chat.example.evil.example", false),
            ("https://chat.example@evil.example", false),
            ("https://chat.example:8443", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(checked(&[("origin", origin)]).is_ok(), allowed, "{origin}");
        }
        assert_eq!(
            checked(&[("origin", "https://chat.example"), ("origin", "https://chat.example")]),
            Err(Refused::Origin)
        );
    }

    #[test]
    fn the_first_known_subprotocol_is_taken() {
        assert_eq!(checked(&[]).map(|agreed| agreed.subprotocol), Ok(None));
        let two = checked(&[("sec-websocket-protocol", "chat, tidings.v1.msgpack, tidings.v1.json")]);
        assert_eq!(two.map(|agreed| agreed.encoding), Ok(Encoding::MessagePack));
        assert_eq!(checked(&[("sec-websocket-protocol", "chat")]), Err(Refused::Subprotocol));
    }

    #[test]
    fn credentials_come_by_header_and_never_by_url() {
        let agreed = checked(&[("authorization", "Bearer abc")]);
        assert_eq!(agreed.map(|agreed| agreed.bearer), Ok(Some("abc".to_owned())));
        assert_eq!(
            check_handshake(&request("/v1/ws?token=abc", &[]), &AllowedOrigins::default()),
            Err(Refused::TokenInUrl)
        );
        assert_eq!(
            check_handshake(&request("/v2/ws", &[]), &AllowedOrigins::default()),
            Err(Refused::NotFound)
        );
    }
}
