//! The parts that every handler gets.

use std::sync::Arc;

use super::readiness::Readiness;
use super::requests::Requests;
use crate::actors::Node;
use crate::actors::default_conversation::DefaultConversation;
use crate::actors::exports::Exports;
use crate::config::{Directory, TrustedProxies};
use crate::domain::AllowedOrigins;
use crate::identity::Identity;

/// Shared by all workers; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The node.
    pub node: Node,
    /// Signing in and tokens.
    pub identity: Identity,
    /// Whether to send requests here.
    pub readiness: Arc<Readiness>,
    /// The requests in progress.
    pub requests: Arc<Requests>,
    /// The exports in progress.
    pub exports: Arc<Exports>,
    /// The proxies that name the client's address.
    pub proxies: Arc<TrustedProxies>,
    /// Pages of the origins listed here may read answers.
    pub allowed_origins: Arc<AllowedOrigins>,
    /// Clients reach the server by https only.
    pub https: bool,
    /// The server's name, as people are shown it.
    pub name: String,
    /// Whether signed-in users can search for people and channels.
    pub directory: Directory,
    /// The channel that the server begins with.
    pub default_conversation: Arc<DefaultConversation>,
    /// The process has the role of the API: without it only health and keys are served.
    pub serves_rest: bool,
}
