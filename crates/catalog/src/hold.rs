//! Holding a mass disappearance: a listing that suddenly lacks a large share of what is known, without any event that
//! explains it, is more often a Marathon in trouble than a cluster in ruins (spec/marathon.md section 11, trap 21). What it
//! lacks stays as it is, for a limited time and visibly: a list that shrank because access was taken away, or because
//! somebody deleted everything while nobody listened, has to be believed in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use mconn_model::{AppEntry, AppId, Held, TaskStatus};

use crate::effects::Notice;
use crate::source::{Source, Step};

/// What a listing lacks without explanation.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// Apps and pods that it lacks, or some of whose tasks.
    pub(crate) of: BTreeSet<AppId>,
    pub(crate) apps: usize,
    pub(crate) tasks: usize,
}

impl Missing {
    /// An app or pod that is not listed at all.
    pub(crate) fn add_app(&mut self, entry: &AppEntry) {
        self.apps += 1;
        self.tasks += live(entry);
        self.of.insert(entry.id.clone());
    }

    /// Tasks of a listed app that have no successors.
    pub(crate) fn add_tasks(&mut self, app: &AppId, tasks: usize) {
        if tasks > 0 {
            self.tasks += tasks;
            self.of.insert(app.clone());
        }
    }
}

/// Tasks that would be missed.
pub(crate) fn live(entry: &AppEntry) -> usize {
    entry.tasks.iter().filter(|task| is_live(&task.task.status)).count()
}

pub(crate) fn is_live(status: &TaskStatus) -> bool {
    matches!(status, TaskStatus::Running | TaskStatus::Unreachable | TaskStatus::Killing)
}

impl Source {
    /// Whether what a listing lacks is held. `true` means that nothing of it may be removed.
    pub(crate) fn holds(&mut self, missing: &Missing, step: &mut Step<'_>) -> bool {
        let tasks = self.apps.values().map(|work| live(&work.entry)).sum::<usize>();
        let share = usize::from(step.settings.hold_share.min(100));
        let over = |missing: usize, of: usize| missing * 100 > share * of;
        let mass = step.settings.hold_for > Duration::ZERO
            && missing.apps + missing.tasks >= step.settings.hold_min
            && (over(missing.apps, self.apps.len()) || over(missing.tasks, tasks));
        let source = || self.id.clone();
        let (since, until) = match (mass, self.hold) {
            (false, None) => return false,
            (false, Some(_)) => {
                step.effects.notices.push(Notice::HoldEnded { source: source(), believed: false });
                self.release();
                return false;
            }
            (true, Some((_, until))) if until <= step.now => {
                step.effects.notices.push(Notice::HoldEnded { source: source(), believed: true });
                self.release();
                return false;
            }
            (true, Some(span)) => span,
            (true, None) => {
                let until = step.now + step.settings.hold_for;
                step.effects.notices.push(Notice::Held {
                    source: source(),
                    apps: missing.apps,
                    tasks: missing.tasks,
                    known: (self.apps.len(), tasks),
                    wait: step.settings.hold_for,
                });
                (step.now, until)
            }
        };
        self.hold = Some((since, until));
        self.refetch.want_reconcile(until.min(step.now + step.settings.hold_ask));
        let (since, until) = (step.epoch.after(since), step.epoch.after(until));
        self.state.held = Some(Held { apps: missing.apps, tasks: missing.tasks, since, until });
        self.changed = true;
        true
    }

    fn release(&mut self) {
        self.hold = None;
        self.state.held = None;
        self.changed = true;
    }
}
