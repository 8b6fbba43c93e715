//! Judging one task: what is known and remembered of it becomes facts, the facts a verdict.

use std::time::Duration;

use mconn_model::{App, AppId, AppTask, Endpoint, Rule, SourceId, TaskEntry, TaskStatus, VerdictKind};

use crate::endpoints::{self, Resolved};
use crate::memory::TaskMemory;
use crate::settings::Settings;
use crate::source::{Definition, Work};
use crate::verdict::{self, Facts};

/// Everything a verdict is made from beside the task and its memory.
pub(crate) struct Circumstances<'a> {
    pub(crate) source: &'a SourceId,
    pub(crate) app: &'a AppId,
    /// The definition that the task was started with, as far as it is known.
    pub(crate) definition: &'a Definition,
    /// The newest one.
    pub(crate) newest: &'a Definition,
    /// Whether it is certain that `definition` is the one. If not, the task may have to fulfil what either asks for.
    pub(crate) certain: bool,
    /// A deployment of the app is known to be under way.
    pub(crate) deploying: bool,
    pub(crate) now: Duration,
    pub(crate) settings: &'a Settings,
}

impl Circumstances<'_> {
    fn is_deploying(&self) -> bool {
        self.deploying || self.newest.app.as_ref().is_some_and(|app| !app.deployments.is_empty())
    }

    /// The definitions that the task may have been started with.
    fn possible(&self) -> impl Iterator<Item = &App> {
        // Once no deployment is under way any more, what was not replaced is what it was before.
        let newest = self.newest.app.as_deref().filter(|_| !self.certain && self.is_deploying());
        self.definition.app.as_deref().into_iter().chain(newest)
    }
}

/// The entry of a task, with the verdict of [`verdict::verdict`]; what it proves is remembered. Its `since` is the
/// caller's to say.
pub(crate) fn judge(mut task: AppTask, memory: &mut TaskMemory, at: &Circumstances<'_>) -> TaskEntry {
    let resolved = match at.definition {
        _ if task.status.is_terminal() => Resolved::default(),
        Definition { app: Some(app), .. } => endpoints::of_app(app, &task),
        Definition { pod: Some(pod), .. } => endpoints::of_pod(pod, memory.place.as_deref(), &task),
        _ => Resolved { unresolved: vec!["the definition is not known yet".into()], ..Resolved::default() },
    };
    if task.status == TaskStatus::Running {
        memory.running_since.get_or_insert(at.now);
    }
    let mut facts = Facts {
        defined: is_defined(&task, memory, at.newest),
        checks: at.possible().map(|app| app.health_checks.len()).max().unwrap_or(task.health.len()),
        told: memory.told.map(|(healthy, _)| healthy),
        last: memory.last,
        proven: memory.proven,
        admitted: memory.admitted,
        leaving: leaving(memory, at),
        readiness_pending: readiness_pending(&task, memory, at),
        has_address: resolved.has_address,
        unreachable: at.settings.unreachable,
    };
    if let Some(known) = verdict::health(&task, &facts) {
        memory.last = Some(known);
        facts.last = memory.last;
    }
    let verdict = verdict::verdict(&task, &facts);
    if verdict.kind == VerdictKind::Routable {
        memory.proven = true;
        // A result of a deployment that is over says nothing about the next one.
        task.ready = task.ready.filter(|ready| *ready);
    }
    let endpoint = |port: endpoints::Reached| Endpoint {
        source: at.source.clone(),
        app: at.app.clone(),
        task: task.id.clone(),
        port_index: port.index,
        port_name: port.name,
        service_port: port.service_port,
        transport: port.transport,
        protocols: port.protocols,
        verdict,
    };
    let endpoints = resolved.reached.into_iter().map(endpoint).collect();
    let since = mconn_model::Timestamp::from_millis(0);
    TaskEntry { endpoints, verdict, since, unresolved: resolved.unresolved, task }
}

/// A task that was started with a newer version than the definition that we know may have checks that we do not know of:
/// definitions become visible later than deployments begin, and their events may be lost (spec/marathon.md section 6.5).
fn is_defined(task: &AppTask, memory: &TaskMemory, definition: &Definition) -> bool {
    let known = definition.app.is_some() || definition.pod.is_some();
    known && (!definition.is_older_than(task) || memory.confirmed || memory.proven)
}

fn leaving(memory: &TaskMemory, at: &Circumstances<'_>) -> Option<Rule> {
    let hint = memory.leaving.map(|hint| hint.rule);
    hint.or_else(|| (at.newest.wanted() == Some(0)).then_some(Rule::ScaledToZero))
}

/// Readiness is told by answers alone, and only while a deployment runs (spec/marathon.md section 3.5). A result counts
/// whenever there is one. Without one a task that was ready before stays so, and a new one waits until an answer says
/// either that no deployment is under way, or that there has been no result for so long that none will come.
fn readiness_pending(task: &AppTask, memory: &TaskMemory, at: &Circumstances<'_>) -> bool {
    if at.possible().all(|app| app.readiness_checks.is_empty()) {
        return false;
    }
    let deploying = at.is_deploying();
    match task.ready {
        Some(ready) => deploying && !ready,
        None if memory.proven || memory.readiness_waived => false,
        None => deploying || !memory.confirmed,
    }
}

impl Work {
    /// Whether any task waits for its readiness check, so that the app has to be asked for again.
    pub(crate) fn awaits_readiness(&self) -> bool {
        let checked = self.entry.app.as_ref().is_some_and(|app| !app.readiness_checks.is_empty());
        checked && self.entry.tasks.iter().any(|task| task.verdict.rule == Rule::ReadinessPending)
    }
}
