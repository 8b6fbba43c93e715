//! Hints that a task will go: the earliest one drains it at once, and what does not come true is taken back.
//!
//! Only an answer takes a hint back, one that was asked for later and still shows the task as running: at once where the
//! hint was an instance's end; when no deployment of the app is under way any more where it was a goal change; and in any
//! case after some time, because Marathon may show a task whose kill was announced as running until it is dead
//! (spec/marathon.md section 4).

use std::collections::BTreeSet;
use std::time::Duration;

use mconn_model::{
    AppId, Deployment, DeploymentId, DeploymentPhase, InstanceCondition, InstanceId, Rule, TaskId,
    TaskStatus, Timestamp,
};

use crate::events::is_of;
use crate::memory::{Leaving, Unless};
use crate::source::{Source, Step};

/// Deployments under way that are remembered from events; a Marathon runs at most 100 (1.6 and later).
const DEPLOYMENTS_MAX: usize = 1000;
/// Ends of unknown instances that are remembered: an answer takes seconds, so the newest are enough.
const OMENS_MAX: usize = 256;

/// A deployment under way, as events told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deploying {
    /// The last event of it.
    event: u64,
    /// What it changes.
    apps: BTreeSet<AppId>,
    /// What its present step stops, of any version older than this.
    stops: Option<(BTreeSet<AppId>, Timestamp)>,
}

/// What a step stops.
pub(crate) struct Stop<'a> {
    /// Apps and pods.
    pub(crate) apps: &'a [AppId],
    /// When the plan was made.
    pub(crate) version: Option<Timestamp>,
}

impl Deploying {
    /// Keeps those of its apps; whether there are any.
    pub(crate) fn keep_apps(&mut self, keep: impl FnMut(&AppId) -> bool) -> bool {
        self.apps.retain(keep);
        !self.apps.is_empty()
    }
}

impl Source {
    /// Drains tasks by the newest event's hint. An earlier hint stays if it holds for longer.
    pub(crate) fn hint(
        &mut self,
        app: &AppId,
        tasks: &[TaskId],
        rule: Rule,
        unless: Unless,
        step: &mut Step<'_>,
    ) {
        let grace = self.definition(app).app.and_then(|app| app.kill_grace_seconds).unwrap_or(0.0);
        let grace = Duration::try_from_secs_f64(grace).unwrap_or_default().saturating_mul(2);
        let until = step.now.saturating_add(step.settings.doomed_for).saturating_add(grace);
        let done = step.now.saturating_add(step.settings.explain_within).saturating_add(grace);
        let event = self.state.events;
        for task in tasks {
            let memory = self.recall(app, task, step.now, step.settings);
            let hint = Leaving { rule, event, at: step.now, done, until, unless };
            memory.leaving = match memory.leaving {
                Some(known) if known.unless == Unless::TimeOver => match unless {
                    Unless::StillRunning => continue,
                    // Both hold: neither is over before the other.
                    Unless::TimeOver | Unless::DeploymentOver => Some(Leaving {
                        done: done.max(known.until),
                        until: until.max(known.until),
                        event,
                        unless,
                        ..known
                    }),
                },
                _ => Some(hint),
            };
            self.rechecks.insert((until, app.clone(), task.clone()));
            self.memory_changed = true;
            self.rejudge(app, task, step);
        }
    }

    /// The time of hints is over: those about tasks that are not known any more are forgotten, and of the others an answer
    /// has to say whether they came true.
    pub(crate) fn recheck(&mut self, step: &Step<'_>) {
        while self.rechecks.first().is_some_and(|(at, ..)| *at <= step.now) {
            let Some((_, app, task)) = self.rechecks.pop_first() else { break };
            if self.task(&app, &task).is_none() {
                self.memory.remove(&task);
            } else if self.memory.get(&task).is_some_and(|memory| memory.leaving.is_some()) {
                self.refetch.poll(&app, self.state.events, step.now);
            }
        }
    }

    /// Takes back hints that an answer refutes. `true` if the answer may be too early to be believed.
    pub(crate) fn refute_hint(
        &mut self,
        app: &AppId,
        task: &TaskId,
        status: &TaskStatus,
        requested: u64,
        step: &Step<'_>,
    ) -> bool {
        let Some(leaving) = self.memory.get(task).and_then(|memory| memory.leaving) else { return false };
        if leaving.event > requested || *status != TaskStatus::Running {
            return false;
        }
        let refuted = match leaving.unless {
            Unless::TimeOver => false,
            // A goal is not changed back, so what it says is done even if the deployment was cancelled.
            Unless::DeploymentOver if self.is_deploying(app) => false,
            Unless::DeploymentOver if step.now < leaving.done => {
                self.refetch.poll(app, self.state.events, leaving.done);
                false
            }
            Unless::DeploymentOver => true,
            Unless::StillRunning => true,
        };
        if !refuted && step.now < leaving.until {
            return false;
        }
        if step.now.saturating_sub(leaving.at) < step.settings.settle {
            return true;
        }
        if let Some(memory) = self.memory.get_mut(task) {
            memory.leaving = None;
            self.memory_changed = true;
        }
        false
    }

    /// Whether a deployment of the app or pod is known to be under way, by its definition or by events.
    pub(crate) fn is_deploying(&self, app: &AppId) -> bool {
        self.apps
            .get(app)
            .and_then(|work| work.entry.app.as_ref())
            .is_some_and(|app| !app.deployments.is_empty())
            || self.deploying.values().any(|deploying| deploying.apps.contains(app))
    }

    /// An answer shows which deployments of an app are under way: of those that it does not name the end was not heard.
    pub(crate) fn confirm_deployments(&mut self, app: &AppId, named: Option<&[Deployment]>, requested: u64) {
        let Some(named) = named else { return };
        self.deploying.retain(|id, deploying| {
            let named = named.iter().any(|deployment| deployment.id == *id);
            if deploying.event <= requested && !named {
                deploying.apps.remove(app);
            }
            !deploying.apps.is_empty()
        });
    }

    /// Notes what an event says of a deployment, and drains the apps that it stops.
    pub(crate) fn note_deployment(
        &mut self,
        id: Option<&DeploymentId>,
        phase: DeploymentPhase,
        affected: &[AppId],
        stop: Stop<'_>,
        step: &mut Step<'_>,
    ) {
        match (phase, id) {
            (DeploymentPhase::StepBegan | DeploymentPhase::StepEnded, Some(id)) => {
                if self.deploying.len() < DEPLOYMENTS_MAX || self.deploying.contains_key(id) {
                    let began = (phase == DeploymentPhase::StepBegan).then_some(stop.version).flatten();
                    let deploying = Deploying {
                        event: self.state.events,
                        apps: affected.iter().cloned().collect(),
                        stops: began.map(|version| (stop.apps.iter().cloned().collect(), version)),
                    };
                    self.deploying.insert(id.clone(), deploying);
                }
            }
            (DeploymentPhase::Succeeded | DeploymentPhase::Failed, Some(id)) => {
                self.deploying.remove(id);
            }
            (_, None) => {}
        }
        if phase == DeploymentPhase::StepBegan {
            // A step that stops an app kills its tasks at once, and they die even if it is cancelled later.
            for app in stop.apps {
                let Some(work) = self.apps.get_mut(app) else { continue };
                work.stopped = self.state.events;
                let tasks: Vec<TaskId> = work.entry.tasks.iter().map(|entry| entry.task.id.clone()).collect();
                self.hint(app, &tasks, Rule::AppStopping, Unless::TimeOver, step);
            }
        }
    }

    /// Whether a task of that version, of which nothing was known until now, is being stopped with its app.
    pub(crate) fn is_stopped(&self, app: &AppId, version: Option<Timestamp>) -> bool {
        self.deploying
            .values()
            .filter_map(|deploying| deploying.stops.as_ref())
            .any(|(apps, made)| apps.contains(app) && version.is_some_and(|version| version < *made))
    }

    /// An instance is ending of which no task is known: an answer under way may show it as running.
    pub(crate) fn note_omen(&mut self, instance: InstanceId) {
        if self.omens.len() >= OMENS_MAX {
            self.omens.pop_front();
        }
        self.omens.push_back((self.state.events, instance));
    }

    /// A task is shown for the first time, by an answer that was asked for before an event told of its end, or while its
    /// app is being stopped.
    pub(crate) fn fulfil_omens(
        &mut self,
        app: &AppId,
        task: &TaskId,
        version: Option<Timestamp>,
        requested: u64,
        step: &mut Step<'_>,
    ) {
        let (stopped, tasks) = (self.apps.get(app).map(|work| work.stopped), std::slice::from_ref(task));
        let ends = |(event, instance): &(u64, InstanceId)| *event > requested && is_of(task, instance);
        if stopped.is_some_and(|event| event > requested) || self.is_stopped(app, version) {
            self.hint(app, tasks, Rule::AppStopping, Unless::TimeOver, step);
        } else if self.omens.iter().any(ends) {
            self.hint(app, tasks, Rule::KillAnnounced, Unless::StillRunning, step);
        }
    }

    /// Whether an `instance_changed_event` announces that the instance's goal has changed: it repeats a condition, and no
    /// status event has led up to it (spec/marathon.md section 6.4, scale down).
    pub(crate) fn is_goal_change(
        &mut self,
        app: &AppId,
        tasks: &[TaskId],
        condition: &InstanceCondition,
        known: bool,
        step: &Step<'_>,
    ) -> bool {
        use InstanceCondition as C;
        let (now, explain_within) = (step.now, step.settings.explain_within);
        let (mut repeated, mut due) = (false, false);
        for task in tasks {
            let running = self.task(app, task).is_some_and(|entry| entry.task.status == TaskStatus::Running);
            let before =
                matches!(condition, C::Scheduled | C::Provisioned | C::Created | C::Staging | C::Starting);
            // Late, or of the task before it: says nothing about what comes next.
            if running && before {
                continue;
            }
            let memory = self.memory.entry(task.clone()).or_default();
            let settled = memory.running_since.is_some_and(|since| now >= since + explain_within);
            let spoken = &mut memory.spoken;
            due |= spoken.due.take().is_some_and(|until| until > now);
            // What an answer showed is as good, if nothing can be on its way any more.
            repeated |= match &spoken.last {
                Some(last) if last == condition => true,
                Some(_) => known && settled,
                None => known,
            };
            spoken.last = Some(condition.clone());
        }
        repeated && !due
    }
}
