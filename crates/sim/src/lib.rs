//! A simulated Marathon on real sockets, deterministic by seed.
//!
//! It owns a whole small world: agents, apps, tasks, deployments, and the Marathon that runs them. It stands in for
//! the real one in the demo, in tests and in benchmarks, and has switches for the awkward things real ones do.
//!
//! ```text
//!   HTTP clients        event streams         callbacks     tasks' own ports
//!       |  ^                  ^                   ^                ^
//!   [ http: one task per connection ]      [ callbacks ]      [ sockets ]
//!       |  ^                  |                   |                |
//!   Command, query     <----- driver: real clock, one owner ------>
//!                              |  ^
//!                    (state, command or time) -> effects
//!                 [ cluster: pure ]   [ nodes: pure, who leads ]
//! ```
//! What goes wrong on purpose is decided in `faults`, for requests at the node that they come to, for each stream and
//! callback by a [`Mangle`] of its own.
//!
//! A [`scenario`] says what happens when; it is played by the shell, or without a clock as a rehearsal.
//!
//! **In:** Marathon's HTTP API ([`Sim::addr`]), the control API below `/sim/` on the same port, and the same controls
//! in process ([`SimHandle`]). **Out:** answers, the event stream, HTTP callbacks, and, if asked for, a real HTTP server
//! for each running task.
//!
//! **Never:** the cluster asks no clock, opens no socket and draws from no generator but its own, so that another
//! driver can run it in virtual time. Nothing here shares code with the client it is tested with. What differs between
//! Marathon's versions is data in a [`Profile`]. No request, however odd, makes it panic.

mod callbacks;
pub mod cluster;
mod dcos;
mod driver;
mod faults;
mod http;
mod line;
mod mangle;
mod nodes;
mod options;
mod profile;
pub mod scenario;
mod sim;
mod sockets;
mod streams;
mod time;
mod tls;

pub use dcos::{DcosOptions, DcosScheme};
pub use http::Fault;
pub use mangle::{Mangle, ManglePolicy};
pub use nodes::{ElectionTimes, NodeProfile};
pub use options::{SimOptions, Span, Timeline};
pub use profile::{
    Addresses, AppShape, Bare, EventShape, EventStream, FailedCheckId, IpPerTask, Overflow, PlainTasks,
    Plans, Profile, Roles, Statuses, TaskIds, TaskShape,
};
pub use sim::{Sim, SimError, SimHandle};
pub use time::Time;
pub use tls::TlsOptions;
