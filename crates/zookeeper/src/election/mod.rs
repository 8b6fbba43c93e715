//! The line of members at ZooKeeper, and the lead of its first: the async shell round [`mconn_leadership::Elector`].
//!
//! It opens the session and keeps it, carries out the machine's calls one at a time, keeps the watches, publishes the
//! [`mconn_leadership::Leadership`], and hands out a [`Term`] whenever this node leads. Everything happens in one task,
//! which ends after [`ElectionHandle::leave`], or when all handles are gone.
//!
//! ```text
//!   Session: states, answers, watches --\                  /--> calls, sessions
//!   handle: ready, step down, leave ------ Elector::step ------> watch<Leadership>
//!   Term: serving, stopped -------------/                  \--> Term { fence, session, cancelled }
//! ```
//!
//! While this node leads, every fifth of the session timeout a transaction that only checks (its member is there, the epoch is
//! its own) proves that the quorum still takes it for the leader; its calls wait two fifths of the timeout at most. Without a
//! proof for three fifths it resigns, although it is connected: no data change, one small entry in ZooKeeper's log each time.
//!
//! | path | content |
//! |---|---|
//! | `/leader/member_<10 digits>` | a member, ephemeral: what the original writes, and `node` and `version` beside it |
//! | `/mconn/epoch` | its version is the epoch; its data name the leader, and since when it leads |

mod calls;
mod data;
mod handle;
mod log;
mod shell;
mod term;

pub use handle::{Election, ElectionHandle, ElectionSettings, Gone, start};
pub use term::Term;

/// Where members stand in line.
pub const LEADER_PATH: &str = "/leader";

/// The node whose version is the epoch.
pub const EPOCH_PATH: &str = crate::fence::EPOCH;
