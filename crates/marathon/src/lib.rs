//! Marathon: its JSON of ten generations to the model, calls to several nodes, and following one as a state machine.
//!
//! **Owns** everything that is Marathon's own: documents, events, endpoints, leaders, redirects, reconnecting.
//! **Comes in:** bytes of Marathon's nodes; requests of the catalog ([`follow::Request`]).
//! **Goes out:** observations ([`mconn_model::Observation`]) in order, in batches; running tasks for sync.
//! **Never:** decides whether a task is reachable, keeps what it has listed, removes anything because a node is away,
//! ends because of what a node answers, sends credentials to a place that is neither configured nor named by Marathon,
//! or shows them.
//!
//! ```text
//!                  +--> json  -- documents, element by element -------\
//!   Marathon <-- client                                                follow -- batches --> catalog
//!                  +--> stream --> wire::sse --> event -- one pass ---/   ^---- requests ----/
//! ```

pub mod client;
pub mod event;
pub mod follow;
pub mod json;
mod percent;
