//! The API over real sockets, with a real queue, the memory store and a small module.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod bad_input;
mod catalog;
mod client;
mod explain;
mod health;
mod intake;
mod limits;
mod live;
mod log;
mod node;
mod openapi;
mod paths;
mod presets;
mod proxy;
mod shapes;
mod shutdown;
mod status;
