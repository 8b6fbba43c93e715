//! The definitions that an app had before. During an update most of its traffic is served by tasks of the version before,
//! and these keep the ports and the checks that they were started with: judged by the newest definition they would lose
//! their endpoints, or wait for checks that nobody makes of them.

use std::sync::Arc;

use mconn_model::{App, AppTask, TaskEntry, Timestamp};

/// So many are kept; a task of a still older one is judged by the oldest of them.
const OLDER_MAX: usize = 8;

/// Definitions before the newest one, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Older(Vec<Arc<App>>);

/// Since when a definition is what it is. Scaling makes a new version of the same one (spec/marathon.md section 3.7).
fn since(app: &App) -> Option<Timestamp> {
    app.last_config_change.or(app.version)
}

impl Older {
    /// Keeps the definition that is replaced, as long as there are tasks of it.
    pub(crate) fn superseded(
        &mut self,
        old: Option<&Arc<App>>,
        new: Option<&Arc<App>>,
        tasks: &[Arc<TaskEntry>],
    ) {
        let Some(newest) = new.and_then(|app| since(app)) else {
            self.0.clear();
            return;
        };
        if let Some(old) = old.filter(|old| since(old).is_some_and(|at| at < newest)) {
            self.0.retain(|kept| since(kept) != since(old));
            self.0.push(old.clone());
        }
        // A rollback has a version of its own, so what is kept is always older than the newest.
        let oldest = tasks.iter().filter_map(|task| task.task.version).min();
        let needed = |next: Option<&Arc<App>>| {
            let end = next.and_then(|app| since(app)).unwrap_or(newest);
            oldest.is_some_and(|oldest| oldest < end)
        };
        while !self.0.is_empty() && (self.0.len() > OLDER_MAX || !needed(self.0.get(1))) {
            self.0.remove(0);
        }
    }

    /// The definition that the task was started with; `None` if that is the newest one, or not known.
    pub(crate) fn of(&self, task: &AppTask, newest: Option<&Arc<App>>) -> Option<Arc<App>> {
        let started_with = task.version?;
        if self.0.is_empty() || since(newest?)? <= started_with {
            return None;
        }
        let is_before = |app: &&Arc<App>| since(app).is_some_and(|at| at <= started_with);
        self.0.iter().rev().find(is_before).or(self.0.first()).cloned()
    }
}
