//! The panic threshold: when so few tasks of an app are healthy that the check itself is in doubt, all that were ready once
//! are served. Counted per app and kept in step with every change, so that a threshold costs nothing per event.

use mconn_model::{AppId, Cause, Rule, TaskEntry, VerdictKind};

use crate::effects::Notice;
use crate::source::{Source, Step};

/// How an app's running tasks stand, by the verdicts before panic is weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Tasks that are routable by themselves.
    pub(crate) healthy: usize,
    /// Tasks that only a failing check keeps from it.
    pub(crate) failing: usize,
}

impl Tally {
    /// Counts a task in (`true`) or out.
    pub(crate) fn count(&mut self, entry: &TaskEntry, add: bool) {
        let slot = match entry.verdict.rule {
            Rule::Unhealthy | Rule::Panic => &mut self.failing,
            rule if rule.kind() == VerdictKind::Routable => &mut self.healthy,
            _ => return,
        };
        *slot = if add { *slot + 1 } else { slot.saturating_sub(1) };
    }

    /// Whether fewer than `percent` of a hundred are healthy.
    fn is_panic(self, percent: u8) -> bool {
        self.failing > 0 && self.healthy * 100 < usize::from(percent) * (self.healthy + self.failing)
    }
}

impl Source {
    /// What a failing task that was ready once is to be called while its app is in panic.
    pub(crate) fn overrule(&self, app: &AppId, entry: &mut TaskEntry) {
        let panic = self.apps.get(app).is_some_and(|work| work.panic);
        if panic && entry.verdict.rule == Rule::Unhealthy && self.was_ready(entry) {
            set_rule(entry, Rule::Panic);
        }
    }

    /// A failing task that was ready once, as far as we or Marathon's own results remember.
    fn was_ready(&self, entry: &TaskEntry) -> bool {
        let results = &entry.task.health;
        self.memory.get(&entry.task.id).is_some_and(|memory| memory.proven)
            || (!results.is_empty() && results.iter().all(|result| result.succeeded_once))
    }

    /// Enters or leaves panic after a change of the app's tasks.
    pub(crate) fn weigh_panic(&mut self, app: &AppId, step: &mut Step<'_>) {
        let Some(work) = self.apps.get_mut(app) else { return };
        let panic = work.tally.is_panic(step.settings.panic_below);
        if panic == work.panic {
            return;
        }
        work.panic = panic;
        let Tally { healthy, failing } = work.tally;
        let of = healthy + failing;
        let (from, to) = if panic { (Rule::Unhealthy, Rule::Panic) } else { (Rule::Panic, Rule::Unhealthy) };
        let tasks = work.entry.tasks.iter().filter(|task| task.verdict.rule == from);
        let turned: Vec<TaskEntry> = tasks.map(|task| TaskEntry::clone(task)).collect();
        for mut entry in turned {
            if to == Rule::Panic && !self.was_ready(&entry) {
                continue;
            }
            set_rule(&mut entry, to);
            entry.since = step.at();
            let cause = std::mem::replace(&mut step.cause, Cause::Panic);
            self.set_entry(app, entry, step);
            step.cause = cause;
        }
        let (source, app) = (self.id.clone(), app.clone());
        step.effects.notices.push(if panic {
            Notice::PanicBegan { source, app, healthy, of }
        } else {
            Notice::PanicEnded { source, app, healthy, of }
        });
    }
}

fn set_rule(entry: &mut TaskEntry, rule: Rule) {
    entry.verdict = rule.into();
    for endpoint in &mut entry.endpoints {
        endpoint.verdict = entry.verdict;
    }
}
