//! What every bus must do for its nodes, run with each of them; and what the networked one must do when its
//! server fails.

#[path = "../servers/buses.rs"]
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
mod world;
