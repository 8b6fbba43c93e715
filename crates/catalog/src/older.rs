//! The definitions that an app or pod had before. During an update most of its traffic is served by tasks of the version before,
//! and these keep the ports and the checks that they were started with: judged by the newest definition they would lose
//! their endpoints, or wait for checks that nobody makes of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use mconn_model::{AppTask, TaskEntry, Timestamp};

use crate::source::Definition;

/// So many definitions are kept, and so many versions of each.
const OLDER_MAX: usize = 8;
const VERSIONS_MAX: usize = 64;

/// Definitions before the newest one, oldest first, and under which versions each was seen: scaling makes a new version of
/// the same definition (spec/marathon.md section 3.7).
#[derive(Debug, Clone, Default)]
pub(crate) struct Older {
    kept: Vec<(Definition, BTreeSet<Timestamp>)>,
    /// Versions of the newest one.
    versions: BTreeSet<Timestamp>,
}

/// Since when a definition is what it is. Of pods it is not told which versions are scalings.
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
            *self = Self::default();
            return;
        };
        if since(old) != Some(newest) {
            let versions = std::mem::take(&mut self.versions);
            if since(old).is_some_and(|at| at < newest) {
                self.kept.push((old.clone(), versions));
            }
        }
        if self.versions.len() >= VERSIONS_MAX {
            self.versions.pop_first();
        }
        self.versions.extend(new.version());
        let versions = tasks.iter().filter_map(|task| task.task.version).filter(|version| *version < newest);
        let used: BTreeSet<usize> = versions.filter_map(|version| self.find(version)).collect();
        // The last one is kept in any case: not all of its tasks may have been seen yet.
        let (mut at, last) = (0.., self.kept.len().saturating_sub(1));
        self.kept.retain(|_| at.next().is_some_and(|at| at == last || used.contains(&at)));
        if self.kept.len() > OLDER_MAX {
            self.kept.remove(0);
        }
    }

    /// The definition that the task was started with, and whether that is certain; `None` if it is the newest one, or
    /// older than all that are known. A version that was not seen may be a scaling of the one before it, or may have been
    /// anything.
    pub(crate) fn of(&self, task: &AppTask, newest: &Definition) -> Option<(&Definition, bool)> {
        let started_with = task.version?;
        if self.kept.is_empty() || since(newest)? <= started_with {
            return None;
        }
        let (definition, versions) = self.kept.get(self.find(started_with)?)?;
        Some((definition, versions.contains(&started_with)))
    }

    /// The one that was seen under that version, else the last one before it.
    fn find(&self, version: Timestamp) -> Option<usize> {
        let exact = self.kept.iter().position(|(_, versions)| versions.contains(&version));
        exact.or_else(|| self.kept.iter().rposition(|(kept, _)| since(kept).is_some_and(|at| at <= version)))
    }
}
