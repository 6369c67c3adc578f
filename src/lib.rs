//! Tidings: a self-hosted, actor-based realtime chat server.
//!
//! Imports point one way: `app` → {`gateway`, `api`, `consumers`} → {`actors`, `identity`} → {`store` and
//! `bus` traits, `protocol`} → `domain`. Only `app` names a backend; `config`, `telemetry` and `environment`
//! are leaves. `tests/tidy.rs` holds this against the code.

// Before the others, which use their macros without importing them.
#[macro_use]
pub mod bounds;
#[macro_use]
pub mod rare;

pub mod actors;
pub mod api;
pub mod app;
pub mod audit;
pub mod bus;
pub mod config;
pub mod consumers;
pub mod domain;
pub mod environment;
pub mod gateway;
pub mod identity;
pub mod panics;
pub mod protocol;
pub mod rate_limit;
pub mod store;
pub mod telemetry;
