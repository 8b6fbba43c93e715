//! The API over real sockets, with a real queue, the memory store and a small module.

mod auth;
mod bad_input;
mod catalog;
mod client;
mod health;
mod intake;
mod limits;
mod live;
mod node;
mod openapi;
mod paths;
mod presets;
mod shapes;
mod shutdown;
mod status;
