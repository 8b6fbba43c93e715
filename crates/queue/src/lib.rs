//! Journal, lanes, module runs, inventory and sync: from an accepted event to what a module has done about it.
//!
//! **Owns** presets, inventories, the journal of accepted events, one lane per module, dead letters, and the comparison
//! with what runs in Marathon. **Comes in:** task events (stream and `POST /v1/queue` alike), commands of API and
//! command line, the outcomes of runs. **Goes out:** batches for the store, runs for modules, notices for log, metrics
//! and browsers. **Never:** HTTP, Marathon's JSON, files. Where the list of running tasks comes from is a trait
//! ([`RunningTasks`]), and so is the store.
//!
//! ```text
//!   accept --> outbox --commit--> journal --> lane (one per module) --> run --> outcome + inventory edits --> outbox
//!                                                ^ in front                           | failed
//!   sync: running tasks - inventory = cleanup ---/                                    +--> retry, then dead letter
//! ```
//!
//! * `core/` decides: a synchronous state machine without clock, I/O or randomness of its own.
//! * `shell/` acts: one task that feeds the core, commits batches one at a time (everything that arrives meanwhile
//!   shares the next one), and spawns runs.
//! * [`QueueHandle`] is how everybody else talks to it.

mod core;
mod handle;
mod notice;
mod settings;
mod shell;
mod view;

pub use handle::{AcceptError, CommandError, PresetChange, QueueHandle, SyncError, SyncOutcome};
pub use notice::{Notice, StateName};
pub use settings::{ModuleSetup, Settings};
pub use shell::{QueueTask, RunningList, RunningTask, RunningTasks, SyncTrigger, start};
pub use view::{LaneItem, ModuleState, ModuleStats, ModuleView, QueueItem, Stats};
