//! What a sync found, and what a module wants done about it.

use mconn_model::{TaskEvent, TaskStatus};

/// Differences between Marathon's running tasks and a module's inventory, for apps with an enabled preset
/// (spec/mconn.md section 12).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncDifference {
    /// Run in Marathon, and are not in the inventory. Status is `TASK_RUNNING`.
    pub missing: Vec<TaskEvent>,
    /// Are in the inventory, and do not run in Marathon. As they were stored.
    pub wrong: Vec<TaskEvent>,
}

impl SyncDifference {
    /// Whether inventory and Marathon agree.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.wrong.is_empty()
    }

    /// The usual answer: add what is missing, remove what is wrong.
    #[must_use]
    pub fn as_cleanup_tasks(&self) -> Vec<CleanupTask> {
        let missing = self.missing.iter().map(|event| CleanupTask { event: event.clone() });
        let wrong = self
            .wrong
            .iter()
            .map(|event| CleanupTask { event: TaskEvent { status: TaskStatus::Killed, ..event.clone() } });
        missing.chain(wrong).collect()
    }
}

/// An event that a sync makes up. It goes in front of the module's lane and is not in the journal: should it be lost,
/// the next sync finds the same difference again.
#[derive(Debug, Clone, PartialEq)]
pub struct CleanupTask {
    /// What the module is handed.
    pub event: TaskEvent,
}
