//! Configuration: from what was given to what holds.
//!
//! ```text
//!  built-in default < fallback variable < TOML file < environment < flag      (raw layers, each value with its origin)
//!                             Raw --resolve--> Config                          (strict types, built once)
//! ```
//!
//! It owns the names, defaults and meaning of all settings, in one table ([`table`]) from which the TOML reader, the
//! environment, the flags, the help, `mconn check`, the start-up lines and `/v1/info` are all made. It never does I/O:
//! file text, environment and flags are passed in as values. It never shows a secret, in no output and no error.
//!
//! A variable that is set wins over its default even when it is empty, as in the original. An empty *fallback*
//! variable (`HOST`, `PORT0`, ...) counts as absent: it was never meant for us.

mod clusters;
mod explain;
mod file;
mod flags;
#[cfg(test)]
mod handbook;
mod problem;
mod raw;
mod read;
mod resolve;
mod resolved;
mod secret;
mod setting;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use clusters::Cluster;
pub(crate) use explain::explain;
pub(crate) use flags::{arguments, given_flags};
pub(crate) use raw::Raw;
pub(crate) use resolved::{Config, DcosSource, Marathon, Node, Ready, Store};
pub(crate) use secret::{HttpCredentials, MarathonHost, SecretUrl};

/// The variable that names the TOML file, for whoever reads that file; the flag `--config` goes before it.
pub(crate) const CONFIG_FILE_VARIABLE: &str = "MCONN_CONFIG";
