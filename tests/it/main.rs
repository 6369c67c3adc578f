//! Black-box tests of the `tidings` binary. They start it as a child process and use the contract of
//! `docs/PROTOCOL.md` as an outside client would. They do not use the server's own types, except [`erasing`],
//! which fills a database faster than a client could.

mod support;

#[path = "../servers/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod servers;

#[path = "../authorisation/mod.rs"]
mod authorisation;

mod background;
mod bad_input;
mod beside;
mod channels;
mod consent;
mod crowded;
mod data_folder;
mod doors;
mod erasing;
mod examples;
mod greedy;
mod inspect;
mod internal;
mod lagging;
mod left;
mod log_pipe;
mod mistakes;
mod newcomers;
mod operators;
mod panics;
mod proxied;
mod purge;
mod queued;
mod readiness;
mod readme;
mod restart;
mod revocation;
mod rfc6455;
mod settings;
mod signals;
mod starting;
mod stopping;
