//! What outlives the process: per task whether it was ready, its last known health, and whether it is about to go. Without it
//! a restart of ours during a leader change of Marathon's would empty every backend.

use std::time::Duration;

use mconn_model::{AppId, Rule, SourceId, TaskId};

use crate::catalog::Catalog;
use crate::memory::{Leaving, TaskMemory, Unless};
use crate::settings::Settings;
use crate::source::Source;

/// The memory of one task, to be kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The task.
    pub task: TaskId,
    /// Its last definite health.
    pub healthy: Option<bool>,
    /// It was ready once.
    pub proven: bool,
    /// Its kill was announced, or its goal changed: it is about to go.
    pub leaving: Option<Rule>,
}

impl Catalog {
    /// Everything worth keeping, in order of sources and tasks. Tasks of which nothing is known yet are left out.
    pub fn remembered(&self) -> impl Iterator<Item = (&SourceId, Remembered)> {
        self.sources().flat_map(|source| {
            // What was restored and not seen yet is kept too: the source may be away for longer than we live.
            let seen = source.memory.iter().filter_map(|(task, memory)| keep(task, memory));
            let unseen = source.restored.values().cloned();
            seen.chain(unseen).map(|remembered| (&source.id, remembered))
        })
    }

    /// Gives back what was kept. To be called before anything is folded; sources that are not followed any more are
    /// ignored.
    pub fn restore(&mut self, source: &SourceId, remembered: impl IntoIterator<Item = Remembered>) {
        if let Some(source) = self.source_mut(source) {
            source.restored.extend(remembered.into_iter().map(|it| (it.task.clone(), it)));
        }
    }

    /// Whether there is something new to keep since this was asked last.
    pub fn take_memory_changed(&mut self) -> bool {
        let mut changed = false;
        for source in self.sources_mut() {
            changed |= std::mem::take(&mut source.memory_changed);
        }
        changed
    }
}

fn keep(task: &TaskId, memory: &TaskMemory) -> Option<Remembered> {
    let leaving = memory.leaving.map(|leaving| leaving.rule);
    let worth = memory.proven || memory.last.is_some() || leaving.is_some();
    worth.then(|| Remembered { task: task.clone(), healthy: memory.last, proven: memory.proven, leaving })
}

impl Source {
    /// The memory of a task, begun with what was kept of it.
    pub(crate) fn recall(
        &mut self,
        app: &AppId,
        task: &TaskId,
        now: Duration,
        settings: &Settings,
    ) -> &mut TaskMemory {
        let Self { memory, restored, state, rechecks, .. } = self;
        memory.entry(task.clone()).or_insert_with(|| {
            let Some(kept) = restored.remove(task) else { return TaskMemory::default() };
            let until = now + settings.doomed_for;
            let leaving = kept.leaving.map(|rule| {
                let unless = match rule {
                    Rule::GoalChanged => Unless::DeploymentOver,
                    _ => Unless::TimeOver,
                };
                rechecks.insert((until, app.clone(), task.clone()));
                let done = now + settings.explain_within;
                Leaving { rule, event: state.events, at: now, done, until, unless }
            });
            TaskMemory { last: kept.healthy, proven: kept.proven, leaving, ..TaskMemory::default() }
        })
    }
}
