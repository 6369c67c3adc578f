//! REST v1 from outside: a server on a free port over the embedded store, tested over HTTP.

mod browsing;
mod documents;
mod external;
mod history;
mod known_devices;
mod limits;
mod passwords;
mod people;
mod problems;
mod roles;
mod second_factor;
mod sessions;
mod signing;
mod site;
mod support;
mod tokens;
