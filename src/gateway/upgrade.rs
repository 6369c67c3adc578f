//! The handshake: checks an HTTP upgrade (RFC 6455 section 4.2), answers it, and hands the TCP stream to a
//! session.

use std::rc::Rc;

use actix_codec::Framed;
use actix_http::header::{self, HeaderMap, HeaderValue};
use actix_http::ws::{HandshakeError, handshake_response, verify_handshake};
use actix_http::{HttpMessage, Request, StatusCode, Version, h1};
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::hub::Hub;
use super::place;
use super::refused::{Refused, refusal, refusal_body};
use crate::domain::AllowedOrigins;
use crate::protocol::Encoding;

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
pub async fn take_over<S: AsyncRead + AsyncWrite + Unpin + Into<TcpStream>>(
    hub: Rc<Hub<TcpStream>>,
    serves: bool,
    request: Request,
    mut framed: Framed<S, h1::Codec>,
) {
    let checked = if !serves {
        Err(Refused::NoGateway)
    } else if hub.is_draining() {
        Err(Refused::Draining)
    } else {
        check_handshake(&request, &hub.worker().bounds.allowed_origins)
            .and_then(|agreed| place::take(&hub, &request).map(|place| (agreed, place)))
    };
    let timeout = hub.worker().bounds.handshake_timeout;
    match checked {
        Ok((agreed, place)) => {
            let mut response = handshake_response(request.head());
            if let Some(subprotocol) = agreed.subprotocol {
                response
                    .insert_header((header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol)));
            }
            let response = response.finish().drop_body();
            let item = h1::Message::Item((response, actix_http::body::BodySize::None));
            if matches!(tokio::time::timeout(timeout, framed.send(item)).await, Ok(Ok(()))) {
                let parts = framed.into_parts();
                hub.open(parts.io.into(), agreed.encoding, agreed.bearer, parts.read_buf, place);
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
