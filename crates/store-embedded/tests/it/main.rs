//! The store as its users see it: real files, real processes.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod common;
mod contract;
mod crash;
mod damage;
mod full_disk;
mod model;
