//! Commands that need no running node.

pub(crate) mod check;
pub(crate) mod completions;
mod import;
mod scenario;
mod shared;
pub(crate) mod sim;
pub(crate) mod store;
