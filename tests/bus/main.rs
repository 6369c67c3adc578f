//! Tests of the contract of a bus, run on each implementation, and of the networked bus when its server
//! fails.

#[path = "../servers/buses.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod servers;

mod cluster;
mod contract;
mod faults;
mod misuse;
mod presence;
mod presence_registry;
mod recording_listener;
mod sentinel;
mod served;
mod tls;
mod world;
