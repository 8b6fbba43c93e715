//! What people are shown: plain data, made on request.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{ModuleName, Preset, TaskEvent};
use serde_json::Value;

use crate::StateName;

/// One event of the main queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueItem {
    /// `<taskId>_<taskStatus>`.
    pub id: Arc<str>,
    /// The event.
    pub event: Arc<TaskEvent>,
    /// One entry per module in loading order.
    pub modules: Vec<ModuleState>,
}

/// State of one module's copy of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleState {
    /// The module.
    pub name: ModuleName,
    /// Its state.
    pub state: StateName,
    /// From the start of its run until its end, or until now.
    pub runtime: Duration,
    /// Why the last attempt failed, or why nothing was to be done.
    pub error: Option<Arc<str>>,
}

/// One copy in a module's lane.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneItem {
    /// `<taskId>_<taskStatus>`.
    pub id: Arc<str>,
    /// The event.
    pub event: Arc<TaskEvent>,
    /// Made by a sync.
    pub cleanup: bool,
    /// `Started` for those under way, `Idle` for those waiting.
    pub state: StateName,
    /// Since its run started; zero if it has not.
    pub runtime: Duration,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<Arc<str>>,
}

/// One module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleView {
    /// Its name.
    pub name: ModuleName,
    /// The folder name under which it was asked for.
    pub folder: String,
    /// Deadline of a run.
    pub timeout: Duration,
    /// The module's own configuration.
    pub options: Value,
    /// Most runs at once.
    pub concurrency: usize,
    /// Paused by an operator.
    pub paused: bool,
    /// A sync is under way.
    pub syncing: bool,
    /// Copies waiting and under way, in order.
    pub lane: Vec<LaneItem>,
    /// Its presets in order of app ids.
    pub presets: Vec<Arc<Preset>>,
}

/// Numbers for metrics and health.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Events accepted since the start.
    pub accepted: u64,
    /// Deliveries that were known already.
    pub duplicates: u64,
    /// Events refused because the journal is full.
    pub refused_full: u64,
    /// Events refused because the store does not work.
    pub refused_store: u64,
    /// Events that left the list by timeout.
    pub timed_out: u64,
    /// Events accepted and not finished now.
    pub journal: usize,
    /// Limit of `journal`.
    pub journal_limit: usize,
    /// Batches committed.
    pub commits: u64,
    /// Writes committed.
    pub committed_writes: u64,
    /// Time spent waiting for commits.
    pub commit_time: Duration,
    /// The store works.
    pub store_ok: bool,
    /// By module in loading order.
    pub modules: Vec<ModuleStats>,
}

/// Numbers of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleStats {
    /// The module.
    pub name: ModuleName,
    /// Copies waiting.
    pub waiting: usize,
    /// Runs under way.
    pub active: usize,
    /// Paused by an operator.
    pub paused: bool,
    /// Ends by state, since the start.
    pub finished: u64,
    /// Runs that failed for good: dead letters, and clean-up runs, which the next sync makes anew.
    pub failed: u64,
    /// Copies without enabled preset.
    pub nopreset: u64,
    /// Copies whose status the module does not know.
    pub undefined: u64,
    /// Attempts that failed and were tried again.
    pub retries: u64,
    /// Runs cancelled at their deadline.
    pub timeouts: u64,
    /// Dead letters kept now.
    pub dead_letters: usize,
    /// Items of the inventory now.
    pub inventory: usize,
    /// Presets now.
    pub presets: usize,
    /// Syncs that compared.
    pub syncs: u64,
    /// Syncs that failed.
    pub syncs_failed: u64,
    /// Differences that syncs found.
    pub sync_differences: u64,
}
