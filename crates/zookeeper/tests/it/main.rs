//! Against real ZooKeeper servers.

mod large;
mod queue;
mod reading;
mod refused;
mod session;
mod store;
mod support;
