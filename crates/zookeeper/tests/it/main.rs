//! Against real ZooKeeper servers.

mod session;
mod store;
mod support;
