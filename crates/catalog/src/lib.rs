//! The one in-memory truth: folds what sources say into immutable, numbered snapshots.
//!
//! **Owns** the state of every followed cluster: apps, pods, tasks, their endpoints and verdicts, what is remembered of
//! them (last known health, ended tasks, announced kills), and which of it has to be asked for again.
//! **Comes in:** observations of the followers, in order per source ([`mconn_model::Observation`]).
//! **Goes out:** snapshots for whoever needs the newest truth, task events for the queue, requests for the followers.
//! **Never:** I/O, a clock or randomness in the fold; a removal because a source is away; one source's trouble showing at
//! another; knowledge of HAProxy, DNS or the queue.
//!
//! ```text
//!  followers --(SourceId, [Observation])--> CatalogTask::run --Fetch--> followers      (asked again: dirty apps)
//!                                                |   ^
//!                                   Catalog::apply   Effects                           (pure, the only writer)
//!                                                |
//!                     +-- watch<Arc<Snapshot>> --+-- [TaskEvent] --> queue             (level | edge)
//! ```
//!
//! One step of the fold: `events` applies what an event says for certain and marks its app dirty, `listing` compares an
//! answer with what is known, `refetch` decides when to ask for what, `source` holds the state and keeps the digest in
//! step, `endpoints` and [`verdict`] judge a task.
//!
//! **Invariants** ([`invariants`]) hold after every step. Three more hold over time: what an event said is never undone
//! by an answer that was requested before it; an app stays dirty until an answer is newer than its last event; a
//! snapshot that contains a task event's effect is published before that event reaches the queue.

mod catalog;
mod diff;
mod digest;
mod effects;
mod endpoints;
mod events;
mod hints;
mod hold;
pub mod invariants;
mod judge;
mod listing;
mod memory;
mod news;
mod panic;
mod refetch;
mod remembered;
mod repeats;
mod settings;
mod shell;
mod source;
mod suspects;
pub mod verdict;

pub use catalog::Catalog;
pub use diff::diff;
pub use effects::{Effects, Fetch, Notice, Why};
pub use news::{News, news};
pub use remembered::Remembered;
pub use settings::{Settings, UnreachablePolicy};
pub use shell::{CatalogHandle, CatalogTask, Ended, NotComplete, Signal, Wiring};
