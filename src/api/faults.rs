//! Faults of the server while it serves one request: this request is answered with 500, and all others
//! continue.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::ResponseError;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::error::InternalError;
use bytes::Bytes;

use super::Problem;
use crate::actors::Node;
use crate::domain::ClientAddress;
use crate::panics::{self, Panicked};

type BodyError = Box<dyn std::error::Error>;

/// Serving a request of `address` panicked: counts it. Returns the answer for the client; `decorate` adds the
/// headers that every answer has.
pub fn answer(
    node: &Node,
    address: ClientAddress,
    decorate: impl FnOnce(&mut actix_web::http::header::HeaderMap),
) -> actix_web::Error {
    count(node, address);
    let mut response = Problem::internal().error_response();
    decorate(response.headers_mut());
    InternalError::from_response(Panicked, response).into()
}

/// A body that is made while it is sent is work for the same client.
pub fn contain_body(response: ServiceResponse, node: &Node, address: ClientAddress) -> ServiceResponse {
    response.map_body(|_, body| match body.size() {
        BodySize::Stream => BoxBody::new(Contained { body, node: node.clone(), address }),
        BodySize::None | BodySize::Sized(_) => body,
    })
}

fn count(node: &Node, address: ClientAddress) {
    node.meters().faults.panics.of("request").increment(1);
    node.offenders().note(address, node.environment().monotonic_ms());
}

struct Contained {
    body: BoxBody,
    node: Node,
    address: ClientAddress,
}

impl MessageBody for Contained {
    type Error = BodyError;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = panics::caught(|| {
            panics::point("body");
            Pin::new(&mut self.body).poll_next(context)
        });
        // The connection is cut: the client sees that the body is not complete.
        polled.unwrap_or_else(|panicked| {
            count(&self.node, self.address);
            Poll::Ready(Some(Err(panicked.into())))
        })
    }
}
