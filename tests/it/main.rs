//! Black-box tests of the `tidings` binary: they start it as a child process and speak the contract of
//! `docs/PROTOCOL.md` as an outsider would. Nothing here uses the server's own types.

mod support;

mod bad_input;
mod beside;
mod channels;
mod doors;
mod examples;
mod lagging;
mod panics;
mod readme;
mod restart;
mod rfc6455;
