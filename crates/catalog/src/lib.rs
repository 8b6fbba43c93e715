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
//! answer with what is known, `refetch` decides when to ask for what, `source` holds the state and keeps the digest and
//! the history in step. A task is judged by `judge`, which gathers facts (`endpoints`, the definition it was started with from `older`, `hints` that it will go, `memory`)
//! for the pure rules of [`verdict`]; `panic` weighs a whole app. `hold` guards against a listing that suddenly lacks most
//! of what is known. `remembered` is what outlives the process, `keeper` and `memory_file` keep it on disk.
//!
//! **Invariants** ([`invariants`]) hold after every step. Three more hold over time: what an event said is never undone
//! by an answer that was requested before it; an app stays dirty until an answer is newer than its last event; a
//! snapshot that contains a task event's effect is published before that event reaches the queue.

mod budget;
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
mod keeper;
mod listing;
mod memory;
mod memory_file;
mod news;
mod older;
mod panic;
mod refetch;
mod remembered;
mod repeats;
mod settings;
mod shell;
mod source;
mod suspects;
pub mod verdict;

pub use budget::Budget;
pub use catalog::Catalog;
pub use diff::diff;
pub use effects::{Effects, Fetch, Notice, Why};
pub use memory_file::{MemoryFile, MemoryFileError};
pub use news::{News, news};
pub use remembered::Remembered;
pub use settings::{Settings, UnreachablePolicy};
pub use shell::{CatalogHandle, CatalogTask, Ended, NotComplete, Signal, Wiring};
