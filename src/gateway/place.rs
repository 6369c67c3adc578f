//! The place that a new session takes among the open connections of the node.

use std::rc::Rc;

use actix_http::{HttpMessage, Request};
use tokio::net::TcpStream;

use super::hub::Hub;
use super::refused::Refused;
use crate::actors::connections::{Crowded, OpenConnection, Place};
use crate::protocol::Failure;

/// Checks whether the client of the request may connect now, and returns the place that its session takes.
///
/// A place from the reserve is given to a client that signs in on it; without a hello in time it is lost.
pub(super) fn take(hub: &Hub<TcpStream>, request: &Request) -> Result<Place, Refused> {
    let admission = &hub.worker().admission;
    let address = admission.address(request.peer_addr().map(|peer| peer.ip()), request.headers());
    let node = &hub.worker().node;
    let now_ms = node.environment().monotonic_ms();
    if let Some(retry_after_ms) = node.offenders().refused_ms(address, now_ms) {
        return Err(Refused::RateLimited { retry_after_ms });
    }
    admission.check_rate(address).map_err(|failure| {
        hub.worker().count_turned_away(&failure);
        match failure {
            Failure::RateLimited { retry_after_ms } => Refused::RateLimited { retry_after_ms },
            Failure::Overloaded { retry_after_ms } => Refused::Overloaded { retry_after_ms },
            Failure::Refused(_)
            | Failure::Unavailable { .. }
            | Failure::IssuerAway
            | Failure::Unauthenticated(_)
            | Failure::Suspended { .. } => Refused::Draining,
        }
    })?;
    let own = request.conn_data::<Rc<OpenConnection>>().and_then(|open| open.take());
    if let Some(place) = own.filter(|place| place.address() == address) {
        return Ok(place);
    }
    // Through a proxy: the connection's place was the proxy's and is free now.
    node.connections().enter(address).map_err(|full| {
        node.meters().connections.turned_away.of(full.label()).increment(1);
        let retry_after_ms = 1_000;
        match full {
            Crowded::Address => Refused::RateLimited { retry_after_ms },
            Crowded::Node => Refused::Overloaded { retry_after_ms },
        }
    })
}
