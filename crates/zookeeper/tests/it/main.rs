//! Against real ZooKeeper servers.

mod session;
mod support;
