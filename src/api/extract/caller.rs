//! The caller: a valid bearer token, within the caller's rate; and the caller's address.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

use crate::api::{ApiState, Problem};
use crate::domain::{ClientAddress, UserId};
use crate::identity::Claims;
use crate::protocol::Failure;

/// A signed-in user's request other than a send.
pub struct Caller(pub Claims);

impl Caller {
    /// The user of this request's token.
    pub fn user(&self) -> UserId {
        self.0.user
    }
}

/// A signed-in user's send.
pub struct Sender(pub UserId);

/// The client's address, past trusted proxies.
pub struct Address(pub ClientAddress);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (claims, state) = authenticate(&request).await?;
            state.node.admit_request(claims.user)?;
            Ok(Self(claims))
        })
    }
}

impl FromRequest for Sender {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (claims, state) = authenticate(&request).await?;
            state.node.admit_send(claims.user)?;
            Ok(Self(claims.user))
        })
    }
}

impl Address {
    /// The client's address of `request`.
    pub fn of(request: &HttpRequest) -> ClientAddress {
        let peer = request.peer_addr().as_ref().map(SocketAddr::ip);
        match request.app_data::<web::Data<ApiState>>() {
            Some(state) => {
                let values = |name| request.headers().get_all(name).map(header::HeaderValue::as_bytes);
                state.proxies.client(peer, values)
            }
            None => ClientAddress::Counted(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
        }
    }
}

impl FromRequest for Address {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(Self::of(request))))
    }
}

/// Whether a request has a valid token. Counts for no rate.
pub async fn is_signed_in(state: &ApiState, request: &HttpRequest) -> bool {
    match bearer(request) {
        Some(token) => state.identity.authenticate(token).await.is_ok(),
        None => false,
    }
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn authenticate(request: &HttpRequest) -> Result<(Claims, web::Data<ApiState>), Problem> {
    let state = request.app_data::<web::Data<ApiState>>().ok_or_else(Problem::internal)?.clone();
    let token = bearer(request).ok_or(Failure::Unauthenticated("a bearer token is needed"))?;
    let claims = state.identity.authenticate(token).await?;
    // For the log line of a request that fails.
    request.extensions_mut().insert(claims.user);
    Ok((claims, state))
}
