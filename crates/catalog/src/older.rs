//! The definitions that an app or pod had before. During an update most of its traffic is served by tasks of the version before,
//! and these keep the ports and the checks that they were started with: judged by the newest definition they would lose
//! their endpoints, or wait for checks that nobody makes of them.

use std::sync::Arc;

use mconn_model::{AppTask, TaskEntry, Timestamp};

use crate::source::Definition;

/// So many are kept; a task of a still older one is judged by the oldest of them.
const OLDER_MAX: usize = 8;

/// Definitions before the newest one, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Older(Vec<Definition>);

/// Since when a definition is what it is. Scaling makes a new version of the same one (spec/marathon.md section 3.7); of
/// pods it is not told which.
fn since(definition: &Definition) -> Option<Timestamp> {
    match definition {
        Definition { app: Some(app), .. } => app.last_config_change.or(app.version),
        Definition { pod: Some(pod), .. } => pod.version,
        _ => None,
    }
}

impl Older {
    /// Keeps the definition that is replaced, as long as there are tasks of it.
    pub(crate) fn superseded(&mut self, old: &Definition, new: &Definition, tasks: &[Arc<TaskEntry>]) {
        let Some(newest) = since(new) else {
            self.0.clear();
            return;
        };
        if since(old).is_some_and(|at| at < newest) {
            self.0.retain(|kept| since(kept) != since(old));
            self.0.push(old.clone());
        }
        // A rollback has a version of its own, so what is kept is always older than the newest.
        let oldest = tasks.iter().filter_map(|task| task.task.version).min();
        let needed = |next: Option<&Definition>| {
            let end = next.and_then(since).unwrap_or(newest);
            oldest.is_some_and(|oldest| oldest < end)
        };
        while !self.0.is_empty() && (self.0.len() > OLDER_MAX || !needed(self.0.get(1))) {
            self.0.remove(0);
        }
    }

    /// The definition that the task was started with; `None` if that is the newest one, or not known.
    pub(crate) fn of(&self, task: &AppTask, newest: &Definition) -> Option<&Definition> {
        let started_with = task.version?;
        if self.0.is_empty() || since(newest)? <= started_with {
            return None;
        }
        let is_before = |kept: &&Definition| since(kept).is_some_and(|at| at <= started_with);
        self.0.iter().rev().find(is_before).or(self.0.first())
    }
}
