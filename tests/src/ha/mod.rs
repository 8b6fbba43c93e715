//! Several nodes as one: a cluster on a real ensemble, a stream of events to all of it, everything that can go wrong, and the
//! judgement of what happened. See `tests/faults.rs`.

mod cluster;
mod fault;
mod history;
mod network;
mod sender;
mod trouble;
mod txn_log;
mod written;

pub use cluster::{Cluster, Member, NAMESPACE, NODES};
pub use fault::{Fault, Round, schedule};
pub use history::{History, Judged, Outcome, Ran, Sighting, Status, Step, Violation, check};
pub use network::{Network, Wire};
pub use sender::{APP, Progress, Senders, Sent, event, post};
pub use trouble::Trouble;
pub use txn_log::{Op, Txn, read, read_all};
pub use written::{Change, Claim, Entry, Write, Written};
