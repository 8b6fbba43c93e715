//! Limits and times of the queue.

use std::sync::Arc;
use std::time::Duration;

use mconn_module::Module;

/// Limits and times of the queue. [`Settings::default`] has the values of a node that is told nothing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most events that may be accepted and not yet finished; more are refused. 100,000: some 60 MB.
    pub journal_limit: usize,
    /// How long an event may be the oldest one before it leaves the main queue's list. Its copies in the lanes stay.
    /// 10 minutes (MCONN_QUEUE_TIMEOUT).
    pub queue_timeout: Duration,
    /// How often a failed run is tried again. 3.
    pub retries: u32,
    /// Pause before the first retry; it doubles with each. 1 second.
    pub retry_backoff: Duration,
    /// Longest pause before a retry. 1 minute.
    pub retry_backoff_max: Duration,
    /// Most dead letters kept per module; the oldest goes. 10,000.
    pub dead_letter_limit: usize,
    /// How many event ids are remembered after their events have finished, to know a repeated delivery. 20,000: some
    /// 4 MB, and minutes of repeats at the busiest Marathon. Ids of open events are remembered as long as those are.
    pub remembered_ids: usize,
    /// Time between automatic syncs. 10 minutes (MCONN_MODULE_SYNC_TIME).
    pub sync_interval: Duration,
    /// A sync that would remove more than this share of an inventory at once is held until the next one agrees. 0.5.
    pub sync_guard_share: f64,
    /// At or below this many removals a sync is never held. 500.
    pub sync_guard_items: usize,
    /// A second sync follows the one at the start after so much time, or later, when each module is through with what was
    /// found in the store. Far more than what was held back takes to arrive once this node works. 10 seconds.
    pub second_sync: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            journal_limit: 100_000,
            queue_timeout: Duration::from_secs(600),
            retries: 3,
            retry_backoff: Duration::from_secs(1),
            retry_backoff_max: Duration::from_secs(60),
            dead_letter_limit: 10_000,
            remembered_ids: 20_000,
            sync_interval: Duration::from_secs(600),
            sync_guard_share: 0.5,
            sync_guard_items: 500,
            second_sync: Duration::from_secs(10),
            seed: 0,
        }
    }
}

/// A module and how many of its runs may be under way at once.
#[derive(Clone)]
pub struct ModuleSetup {
    /// The module.
    pub module: Arc<dyn Module>,
    /// At least 1; order per task is kept whatever the number.
    pub concurrency: usize,
    /// The folder name under which it was asked for, shown by `/v1/module/list`.
    pub folder: String,
}

impl std::fmt::Debug for ModuleSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModuleSetup")
            .field("module", self.module.name())
            .field("concurrency", &self.concurrency)
            .field("folder", &self.folder)
            .finish()
    }
}
