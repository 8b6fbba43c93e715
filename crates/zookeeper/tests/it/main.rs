//! Against real ZooKeeper servers.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod large;
mod queue;
mod reading;
mod refused;
mod session;
mod store;
mod support;
