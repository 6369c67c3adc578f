//! The part of the fleet that devices see: an address to connect to and to call.

use std::rc::Rc;

use async_trait::async_trait;
use serde_json::Value;

use crate::edges::socket::SimSocket;

/// The connection broke, or nobody was there: whether anything was done is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// A WebSocket that was upgraded, on the device's side. Frames are written to and read from it as RFC 6455
/// has them; the HTTP handshake is over.
pub struct Upgraded {
    /// The stream.
    pub stream: SimSocket,
    /// Its number in the history (`What::Opened` and `What::Closed` are noted by the device).
    pub socket: u64,
    /// The process that it leads to.
    pub process: usize,
}

/// A REST call.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// With the query.
    pub path: String,
    /// The access token, if any.
    pub token: Option<String>,
    /// The body, if any.
    pub body: Option<Value>,
    /// The header `Idempotency-Key`, if any.
    pub key: Option<String>,
}

/// The way into the fleet: a balancer that knows which processes are ready.
#[async_trait(?Send)]
pub trait Network {
    /// Opens a WebSocket to a process that is ready. `device`: whose it is; its address follows from it.
    async fn connect(&self, device: usize, msgpack: bool, bearer: Option<String>)
    -> Result<Upgraded, Broken>;

    /// Makes a REST call and notes it in the history (`What::Called`, `What::Answered`). Returns status and
    /// body.
    async fn call(&self, device: usize, call: Call) -> Result<(u16, Value), Broken>;
}

/// A shared handle to the network.
pub type SharedNetwork = Rc<dyn Network>;
