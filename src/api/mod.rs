//! REST v1, the machine-readable descriptions, health, the internal address, the documentation, and the web
//! client: one file per group of calls.
//!
//! Handlers take their input through [`extract`], call the node, and answer with a view or a [`Problem`].
//! Nothing here holds state or decides who may do what.

mod accounts;
pub mod admin;
mod answer_body;
mod asset;
mod asyncapi;
mod bans;
mod blocks;
mod boundary;
mod channels;
mod conversations;
mod cors;
mod cursor;
mod docs;
mod extract;
mod faults;
mod fitting;
mod health;
pub mod internal;
mod invitations;
mod me;
mod members;
mod messages;
mod openapi;
mod privacy;
mod problem;
mod reactions;
mod read;
mod readiness;
mod requests;
mod resource;
mod routing;
mod schemas;
mod second_factor;
mod server;
mod sessions;
mod site;
mod state;
mod thread_heartbeat;
mod tokens;
mod users;
mod views;
mod word;

pub use asyncapi::text as asyncapi_text;
pub use boundary::secure;
pub use extract::Address;
pub use openapi::text as openapi_text;
pub use problem::Problem;
pub use readiness::{DependencyState, Detail, Probe, Readiness, ReadyView};
pub use requests::Requests;
pub use routing::configure;
pub use state::ApiState;
pub use thread_heartbeat::ThreadHeartbeat;
