//! What every bus owes its nodes, run over each of them; and what the networked one owes them when its server fails.

#[path = "../servers/buses.rs"]
mod servers;

mod book;
mod cluster;
mod contract;
mod ear;
mod faults;
mod misuse;
mod presence;
mod sentinel;
mod served;
mod world;
