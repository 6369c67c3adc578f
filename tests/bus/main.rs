//! What every bus owes its nodes, run over each of them; and what the networked one owes them when its server fails.

#[path = "../servers/redis.rs"]
mod servers;

mod book;
mod contract;
mod ear;
mod faults;
mod misuse;
mod presence;
mod world;
