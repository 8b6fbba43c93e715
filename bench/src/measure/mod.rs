//! One file per suite: each takes its figures once.

pub(crate) mod catalog;
pub(crate) mod cluster;
pub(crate) mod failover;
pub(crate) mod fold;
pub(crate) mod kill;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod post;
pub(crate) mod stream;
pub(crate) mod sync;
