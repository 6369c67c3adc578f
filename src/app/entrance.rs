//! The beginning of a connection: whose it is, and whether there is a place for it. Everything after that is
//! the HTTP server's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{Extensions, Protocol};
use actix_service::{Service, ServiceFactory};
use futures_util::future::LocalBoxFuture;
use tokio::net::TcpStream;

use super::http_stream::HttpStream;
use super::proxy_protocol;
use crate::actors::Node;
use crate::actors::connections::OpenConnection;
use crate::actors::http_output::HttpOutput;
use crate::config::TrustedProxies;
use crate::domain::ClientAddress;
use crate::gateway::session::stream::ByteStream;
use crate::panics;

/// For how long a place of the reserve is held by whom nobody knows yet.
const UNKNOWN_AT_MOST: Duration = Duration::from_secs(2);
/// The system gives up on a peer that is silent so long after the server would have.
const AFTER_THE_DEADLINE: Duration = Duration::from_secs(2);
/// The answer to whom there is no place for. Nothing of the request is read.
const NO_PLACE: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection as the HTTP server takes it: with the address of its peer.
pub type Arrived = (HttpStream, Protocol, Option<SocketAddr>);

/// What the entrances of all threads need.
#[derive(Clone)]
pub struct Doorkeeper {
    pub node: Node,
    pub proxies: Arc<TrustedProxies>,
    /// For what a proxy says of its client.
    pub header_timeout: Duration,
    /// For how long a client may take none of the bytes that wait for it.
    pub write_deadline: Duration,
}

/// The open connections of one thread, by the address of the peer.
#[derive(Clone, Default)]
pub struct KnownConnections(Rc<RefCell<HashMap<SocketAddr, Rc<OpenConnection>>>>);

impl KnownConnections {
    /// Lets the handlers of a connection's requests see its place.
    pub fn show(&self, stream: &TcpStream, data: &mut Extensions) {
        let known = stream.peer_addr().ok().and_then(|peer| self.0.borrow().get(&peer).cloned());
        known.map(|open| data.insert(open));
    }
}

/// Makes the entrance of a thread, in front of its HTTP server.
pub struct EntranceFactory<F> {
    pub http: F,
    pub keeper: Doorkeeper,
    pub known: KnownConnections,
}

impl<F> ServiceFactory<TcpStream> for EntranceFactory<F>
where
    F: ServiceFactory<Arrived, Config = (), Response = ()>,
    F::Future: 'static,
    F::Service: 'static,
    F::Error: 'static,
{
    type Response = ();
    type Error = F::Error;
    type Config = ();
    type Service = Entrance<F::Service>;
    type InitError = F::InitError;
    type Future = LocalBoxFuture<'static, Result<Self::Service, Self::InitError>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (made, keeper, known) = (self.http.new_service(()), self.keeper.clone(), self.known.clone());
        Box::pin(async move { Ok(Entrance { http: Rc::new(made.await?), keeper, known }) })
    }
}

/// The entrance of a thread.
pub struct Entrance<S> {
    http: Rc<S>,
    keeper: Doorkeeper,
    known: KnownConnections,
}

impl<S> Service<TcpStream> for Entrance<S>
where
    S: Service<Arrived, Response = ()> + 'static,
    S::Error: 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = LocalBoxFuture<'static, Result<(), S::Error>>;

    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.http.poll_ready(task)
    }

    fn call(&self, stream: TcpStream) -> Self::Future {
        let (http, keeper, known) = (Rc::clone(&self.http), self.keeper.clone(), self.known.clone());
        Box::pin(async move {
            let node = keeper.node.clone();
            // What happens before a request or a session is reached is one client's work too.
            match panics::contained(enter(&*http, &keeper, &known, stream)).await {
                Ok(served) => served,
                Err(_) => {
                    node.meters().faults.panics.of("connection").increment(1);
                    Ok(())
                }
            }
        })
    }
}

async fn enter<S: Service<Arrived, Response = ()>>(
    http: &S,
    keeper: &Doorkeeper,
    known: &KnownConnections,
    mut stream: TcpStream,
) -> Result<(), S::Error> {
    let Ok(peer) = stream.peer_addr() else { return Ok(()) };
    let Some(client) = keeper.client(peer, &mut stream).await else { return Ok(()) };
    let address = keeper.address(client);
    let place = match keeper.node.connections().enter(address) {
        Ok(place) => place,
        Err(full) => {
            keeper.node.meters().connections.turned_away.of(full.label()).increment(1);
            // Who cannot be told at once is not told.
            let _ = stream.try_write(NO_PLACE);
            return Ok(());
        }
    };
    let open = Rc::new(OpenConnection::new(place, HttpOutput::new(keeper.node.budget().account())));
    known.0.borrow_mut().insert(peer, Rc::clone(&open));
    let _known = Known { known, peer };
    if let Err(error) = stream.give_up_after(keeper.write_deadline + AFTER_THE_DEADLINE) {
        tracing::debug!(%error, "the TCP user timeout of a connection could not be set");
    }
    let stream = HttpStream::new(stream, Rc::clone(&open), keeper.node.clone(), keeper.write_deadline);
    tokio::select! {
        // In this order: only what was written shows whether too much waits.
        biased;
        served = http.call((stream, Protocol::Http1, Some(client))) => served,
        () = poll_fn(|task| open.output().poll_asked(task)) => {
            open.output().gave_way();
            Ok(())
        }
        () = unknown_for_long(&open) => Ok(()),
    }
}

/// Removes a connection from those of its thread, however it ends.
struct Known<'k> {
    known: &'k KnownConnections,
    peer: SocketAddr,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.known.0.borrow_mut().remove(&self.peer);
    }
}

async fn unknown_for_long(open: &OpenConnection) {
    if !open.may_stay() {
        tokio::time::sleep(UNKNOWN_AT_MOST).await;
    }
    if open.may_stay() {
        std::future::pending::<()>().await;
    }
}

impl Doorkeeper {
    /// Whose connection it is, as a proxy says before all else where that is set; `None`: one says nothing
    /// that can be understood.
    async fn client(&self, peer: SocketAddr, stream: &mut TcpStream) -> Option<SocketAddr> {
        if !self.proxies.speak_first() || !self.proxies.contain(peer.ip()) {
            return Some(peer);
        }
        let said = tokio::time::timeout(self.header_timeout, proxy_protocol::client(stream)).await;
        match said.unwrap_or_else(|late| Err(late.into())) {
            Ok(client) => Some(client.unwrap_or(peer)),
            Err(error) => {
                tracing::warn!(proxy = %peer.ip(), %error, "a listed proxy does not speak the PROXY protocol, as server.proxy_header says");
                None
            }
        }
    }

    /// Whom a connection counts for. A proxy's is nobody's: its requests name their clients.
    fn address(&self, peer: SocketAddr) -> ClientAddress {
        if !self.proxies.speak_first() && self.proxies.contain(peer.ip()) {
            return ClientAddress::Exempt(peer.ip());
        }
        self.proxies.client(Some(peer.ip()), |_| std::iter::empty())
    }
}
