//! Folding one event (spec/marathon.md section 6.6): what it says for certain is applied at once, and the rest is asked
//! for. Nothing here looks at more than one app, save a group's first few.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{
    App, AppId, AppTask, Cause, ClusterEvent, DeploymentPhase, EventTimestamp, InstanceCondition, InstanceId,
    IpAddress, Rule, StatusUpdate, TaskId, TaskStatus, Timestamp,
};

use crate::effects::Why;
use crate::hints::Stop;
use crate::memory::{Grave, Unless};
use crate::source::{AWAITED_MAX, Definition, STIRRED_MAX, Source, Step};

impl Source {
    /// Folds one event of this source.
    pub(crate) fn fold_event(&mut self, event: ClusterEvent, step: &mut Step<'_>) {
        self.state.events += 1;
        if let Some(cause) = cause_of(&event) {
            step.cause = cause;
        }
        match event {
            ClusterEvent::Status(update) => self.fold_status(update, step),
            ClusterEvent::InstanceChanged { instance, app, condition, version: _, at } => {
                let mut tasks = self.tasks_of(&app, Some(&instance), None);
                if ends(&condition) || condition == InstanceCondition::Killing {
                    self.note_omen(instance);
                }
                // The end of a task before this one, told late.
                tasks.retain(|id| !leaves(&condition) || !self.is_before_start(&app, id, at));
                self.fold_instance(&app, &tasks, &condition, step);
            }
            ClusterEvent::HealthChanged { app, instance, task, healthy, whole, at } => {
                let mut tasks = self.tasks_of(&app, instance.as_ref(), task.as_ref());
                // Good news from before the task began to run is about the one before it.
                let waits = |id: &TaskId| {
                    let status = self.task(&app, id).map(|entry| &entry.task.status);
                    matches!(status, Some(TaskStatus::Staging | TaskStatus::Starting))
                };
                tasks
                    .retain(|id| healthy != Some(true) || !(waits(id) || self.is_before_start(&app, id, at)));
                self.fold_health(&app, &tasks, healthy, whole, step);
            }
            ClusterEvent::UnhealthyKill { app, task, instance } => {
                self.suspects.explain(&app);
                let tasks = self.tasks_of(&app, instance.as_ref(), task.as_ref());
                self.hint(&app, &tasks, Rule::KillAnnounced, Unless::TimeOver, step);
                self.mark_living(&app, step);
            }
            ClusterEvent::AppDefinition { app } => self.fold_definition(*app, step),
            ClusterEvent::PodChanged { pod } => {
                let due = step.now + step.settings.coalesce;
                match pod {
                    Some(pod) => {
                        self.suspects.explain(&pod);
                        self.refetch.mark(&pod, true, self.state.events, due);
                    }
                    None => self.refetch.want_listing(self.state.events, due),
                }
            }
            ClusterEvent::GroupChanged { group, version } => self.fold_group(&group, version, step),
            ClusterEvent::Deployment { id, phase, affected, stopping, version } => {
                self.note_deployment(id.as_ref(), phase, &affected, Stop { apps: &stopping, version }, step);
                self.fold_deployment(phase, &affected, step);
            }
            ClusterEvent::AppTerminated { app } => self.fold_terminated(&app, step),
            ClusterEvent::UnknownTerminated { app, task, instance } => {
                self.suspects.explain(&app);
                let known = self.tasks_of(&app, instance.as_ref(), task.as_ref());
                for task in &known {
                    self.bury_task(task, true, step.now);
                    self.remove_task(&app, task, step);
                }
                // Of what we did not know either, no answer would tell more.
                if !known.is_empty() {
                    self.mark_living(&app, step);
                }
            }
            event @ (ClusterEvent::SchedulerRegistered | ClusterEvent::SchedulerDisconnected) => {
                if event == ClusterEvent::SchedulerRegistered {
                    step.effects.resyncs.insert(self.id.clone(), Why::SchedulerRegistered);
                }
                self.trusted = false;
                let (first, last) = step.settings.reconcile;
                let delay = first + last.saturating_sub(first).mul_f64(step.rng.f64());
                self.refetch.want_reconcile(step.now + delay);
            }
            ClusterEvent::Ignored { event_type: _ } => {}
        }
    }

    /// Marks an app dirty, unless we know it to be gone: its tasks' ends, which come later, are not worth a request
    /// (trap 12). One that we never saw may be in the listing that is on its way. If a gone one is back in a listing that
    /// was requested before this event, the later grave makes us ask again.
    fn mark_living(&mut self, app: &AppId, step: &Step<'_>) {
        if self.is_living(app, step) {
            self.mark(app, None, step);
        } else {
            self.dead_apps.bury(app, Grave { event: self.state.events, at: step.now, certain: false });
        }
    }

    fn is_living(&self, app: &AppId, step: &Step<'_>) -> bool {
        self.apps.contains_key(app) || self.dead_apps.get(app, step.now).is_none()
    }

    fn fold_status(&mut self, update: StatusUpdate, step: &mut Step<'_>) {
        let StatusUpdate { event, agent, addresses, version, message: _ } = update;
        step.effects.task_events.push(event.clone());
        let told_at = event.timestamp.as_ref().and_then(instant);
        let (app, id, status) = (event.app, event.task, event.status);
        self.suspects.explain(&app);
        if status.is_terminal() {
            self.bury_task(&id, status != TaskStatus::Lost, step.now);
            self.remove_task(&app, &id, step);
            return self.mark_living(&app, step);
        }
        if !matches!(status, TaskStatus::Killing | TaskStatus::Unreachable | TaskStatus::Unknown) {
            self.end_earlier_incarnations(&app, &id, step);
        }
        if let Some(grave) = self.dead_tasks.get(&id, step.now) {
            if grave.certain {
                return self.mark_living(&app, step);
            }
            self.dead_tasks.dig(&id);
        }
        let known = self.task(&app, &id).map(|entry| entry.task.clone());
        let leaving = matches!(status, TaskStatus::Killing | TaskStatus::Unreachable | TaskStatus::Unknown);
        let mut task = match known {
            // A late or repeated event must not bring a task back from its way out.
            Some(task) if goes_back(&task.status, &status) => return self.mark_living(&app, step),
            // Late, by Marathon's own clock: an answer decides whether the agent is really back.
            Some(task) if task.status == TaskStatus::Unreachable && self.is_late(&id, told_at) => {
                return self.mark_living(&app, step);
            }
            Some(task) => task,
            None if leaving && !self.is_living(&app, step) => return self.mark_living(&app, step),
            None => bare_task(&app, &id),
        };
        let appears = self.task(&app, &id).is_none();
        let changed = task.status != status;
        let returned = task.status == TaskStatus::Unreachable && changed;
        task.status = status;
        task.host = event.host.or(task.host);
        task.agent = agent.or(task.agent);
        task.version = version.or(task.version);
        if !event.ports.is_empty() {
            task.ports = event.ports;
        }
        // The first TASK_RUNNING often has none and a second one brings them (trap 29).
        if !addresses.is_empty() {
            task.addresses = addresses.into_iter().map(IpAddress).collect();
        }
        let number = self.state.events;
        let memory = self.recall(&app, &id, step.now, step.settings);
        memory.event = number;
        memory.told_at = told_at;
        // An answer may have been ahead of this event; long after it, a repeated state is followed by nothing.
        let new = memory.running_since.is_none_or(|at| step.now < at + step.settings.explain_within);
        let spoken = &mut memory.spoken;
        let said = spoken.last.as_ref().is_some_and(|last| shows(&task.status, last));
        if returned || (!said && (changed || new)) {
            spoken.due = Some(step.now + step.settings.explain_within);
        }
        self.put_task(&app, task, step);
        if appears && self.is_stopped(&app, version) {
            self.hint(&app, std::slice::from_ref(&id), Rule::AppStopping, Unless::TimeOver, step);
        }
        self.mark(&app, Some(&id), step);
    }

    /// Whether something was said before the task began to run, by the source's own clock.
    fn is_before_start(&self, app: &AppId, task: &TaskId, at: Option<Timestamp>) -> bool {
        let Some(entry) = self.task(app, task) else { return false };
        matches!((at, entry.task.started_at), (Some(at), Some(started)) if at < started)
            || self.is_late(task, at)
    }

    /// Whether an event of that time is older than the last one about the task's state.
    fn is_late(&self, task: &TaskId, told_at: Option<Timestamp>) -> bool {
        let last = self.memory.get(task).and_then(|memory| memory.told_at);
        matches!((told_at, last), (Some(at), Some(last)) if at < last)
    }

    /// A task of an instance that was launched again (`._app.2` after `._app.1`, 1.8 and later): the one before has ended,
    /// even if the event that said so was lost.
    fn end_earlier_incarnations(&mut self, app: &AppId, id: &TaskId, step: &mut Step<'_>) {
        if self.task(app, id).is_some() {
            return;
        }
        let Some(work) = self.apps.get(app).filter(|_| id.as_str().contains(".instance-")) else { return };
        let earlier = work.entry.tasks.iter().map(|entry| &entry.task.id).filter(|known| succeeds(id, known));
        let earlier: Vec<TaskId> = earlier.cloned().collect();
        for task in earlier {
            self.bury_task(&task, true, step.now);
            self.remove_task(app, &task, step);
        }
    }

    fn fold_instance(
        &mut self,
        app: &AppId,
        tasks: &[TaskId],
        condition: &InstanceCondition,
        step: &mut Step<'_>,
    ) {
        use InstanceCondition as C;
        self.suspects.explain(app);
        let shown =
            |id: &TaskId| self.task(app, id).is_some_and(|entry| shows(&entry.task.status, condition));
        let known = !tasks.is_empty() && tasks.iter().all(shown);
        let goal_changed = self.is_goal_change(app, tasks, condition, known, step);
        if goal_changed && self.is_deploying(app) {
            step.cause = Cause::Goal;
            self.hint(app, tasks, Rule::GoalChanged, Unless::DeploymentOver, step);
            return self.mark(app, None, step);
        }
        match condition {
            // The instance's event after its task's own.
            _ if known => return,
            C::Killing => self.hint(app, tasks, Rule::KillAnnounced, Unless::StillRunning, step),
            C::Unreachable | C::UnreachableInactive => self.lose_sight(app, tasks, step),
            _ if ends(condition) => {
                // Empty: the status event came first and removed it.
                if !tasks.is_empty() {
                    self.hint(app, tasks, Rule::KillAnnounced, Unless::StillRunning, step);
                    self.mark_living(app, step);
                }
                return;
            }
            _ => {}
        }
        self.mark(app, None, step);
    }

    /// An instance's agent cannot be reached; the event of its tasks may be lost or still be coming.
    fn lose_sight(&mut self, app: &AppId, tasks: &[TaskId], step: &mut Step<'_>) {
        for id in tasks {
            let Some(entry) = self.task(app, id) else { continue };
            let mut task = entry.task.clone();
            if task.status != TaskStatus::Running {
                continue;
            }
            task.status = TaskStatus::Unreachable;
            let number = self.state.events;
            self.recall(app, id, step.now, step.settings).event = number;
            self.put_task(app, task, step);
        }
    }

    fn fold_health(
        &mut self,
        app: &AppId,
        tasks: &[TaskId],
        healthy: Option<bool>,
        whole: bool,
        step: &mut Step<'_>,
    ) {
        self.suspects.explain(app);
        let newest = self.definition(app);
        for id in tasks {
            // One of several checks may have flipped: bad news is true for the task as a whole, good news is not, nor is
            // it while we do not know how many there are.
            let task = self.task(app, id).map(|entry| &entry.task);
            let known = task.filter(|task| !newest.is_older_than(task));
            let checks = known
                .and_then(|task| self.definition_of(app, task, &newest).0.app)
                .map(|app| app.health_checks.len());
            let several = !whole && checks.is_none_or(|checks| checks > 1);
            let number = self.state.events;
            let memory = self.recall(app, id, step.now, step.settings);
            match healthy {
                Some(true) if several => continue,
                Some(healthy) => memory.told = Some((healthy, number)),
                None => memory.told = None,
            }
            self.rejudge(app, id, step);
        }
        self.mark_living(app, step);
    }

    fn fold_definition(&mut self, mut app: App, step: &mut Step<'_>) {
        let id = app.id.clone();
        self.suspects.explain(&id);
        // A copy, or late: every change makes a newer version, a rollback too.
        if self.definition(&id).version().is_some_and(|known| app.version.is_some_and(|told| told < known)) {
            return self.mark(&id, None, step);
        }
        // The event carries the definition alone; what runs is asked for.
        if app.deployments.is_empty()
            && let Some(known) = self.definition(&id).app
        {
            app.deployments.clone_from(&known.deployments);
        }
        self.put_definition(&id, Definition { app: Some(Arc::new(app)), pod: None }, step);
        if let Some(work) = self.apps.get_mut(&id) {
            work.defined = self.state.events;
        }
        if let Some(version) = self.definition(&id).app.and_then(|app| app.version) {
            self.written = Some((version, step.now));
            self.refetch.explain_group(version);
        }
        self.mark(&id, None, step);
    }

    fn fold_group(&mut self, group: &Arc<str>, version: Option<Timestamp>, step: &Step<'_>) {
        self.suspects.explain_group(group);
        if self.stirred.len() >= STIRRED_MAX {
            self.stirred.clear();
            self.stirred.push(("/".into(), self.state.events));
        } else {
            self.stirred.push((group.clone(), self.state.events));
        }
        let below = format!("{}/", group.trim_end_matches('/'));
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        let few = step.settings.singles_max;
        let known: Vec<(AppId, bool)> = self
            .apps
            .range::<str, _>(from)
            .take_while(|(id, _)| id.as_str().starts_with(&below))
            .take(few + 1)
            .map(|(id, work)| (id.clone(), work.entry.app.is_some()))
            .collect();
        let awaited =
            self.awaited.range::<str, _>(from).next().is_some_and(|id| id.as_str().starts_with(&below));
        // What is new below the group can be seen in a listing alone.
        if awaited || known.is_empty() || known.len() > few || known.iter().any(|(_, app)| !app) {
            // One app was written, and is asked for alone: its own event says so before this one or after it.
            let written = |(written, at): (Timestamp, Duration)| {
                Some(written) == version && step.now <= at + step.settings.coalesce
            };
            if !self.written.is_some_and(written) {
                let due = step.now + step.settings.coalesce;
                self.refetch.want_group_listing(version, self.state.events, due);
            }
        } else {
            for (id, _) in &known {
                self.mark(id, None, step);
            }
        }
    }

    fn fold_deployment(&mut self, phase: DeploymentPhase, affected: &[AppId], step: &Step<'_>) {
        let over = matches!(phase, DeploymentPhase::Succeeded | DeploymentPhase::Failed);
        for app in affected {
            self.suspects.explain(app);
            if over {
                self.awaited.remove(app);
            }
            if self.apps.contains_key(app) {
                self.mark(app, None, step);
                continue;
            }
            // Its definition may become visible only later (trap 9); the group's event then asks again.
            if !over && self.awaited.len() < AWAITED_MAX {
                self.awaited.insert(app.clone());
            }
            if self.dead_apps.get(app, step.now).is_none() {
                self.mark(app, None, step);
            }
        }
    }

    fn fold_terminated(&mut self, app: &AppId, step: &mut Step<'_>) {
        self.suspects.explain(app);
        self.awaited.remove(app);
        self.refetch.forget(app);
        if let Some(entry) = self.remove_app(app, step) {
            for task in &entry.tasks {
                self.bury_task(&task.task.id, true, step.now);
            }
        }
        self.dead_apps.bury(app, Grave { event: self.state.events, at: step.now, certain: true });
    }

    /// The known tasks of an app that an event means.
    fn tasks_of(&self, app: &AppId, instance: Option<&InstanceId>, task: Option<&TaskId>) -> Vec<TaskId> {
        if let Some(task) = task {
            // Its instance may run another one by now.
            return self.task(app, task).map(|entry| entry.task.id.clone()).into_iter().collect();
        }
        let (Some(instance), Some(work)) = (instance, self.apps.get(app)) else { return Vec::new() };
        let all = work.entry.tasks.iter().filter(|entry| belongs(&entry.task, instance));
        all.map(|entry| entry.task.id.clone()).collect()
    }
}

/// Whether a task is of an instance. Tasks known from events alone do not name theirs, so the ids are compared:
/// `web.instance-<uuid>._app.1`, `web.instance-<uuid>.container`, and `web.<uuid>` of `web.marathon-<uuid>`
/// (spec/marathon.md section 4).
fn belongs(task: &AppTask, instance: &InstanceId) -> bool {
    if let Some(named) = &task.instance {
        return named == instance;
    }
    is_of(&task.id, instance)
}

/// The same by the ids alone.
pub(crate) fn is_of(task: &TaskId, instance: &InstanceId) -> bool {
    let (task, instance) = (task.as_str(), instance.as_str());
    if let Some(rest) = task.strip_prefix(instance) {
        return rest.is_empty() || rest.starts_with('.');
    }
    let Some((app, uuid)) = instance.rsplit_once(".marathon-") else { return false };
    let of_app = task.strip_prefix(app).and_then(|rest| rest.strip_prefix('.'));
    of_app
        .and_then(|rest| rest.strip_prefix(uuid))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn bare_task(app: &AppId, id: &TaskId) -> AppTask {
    AppTask {
        id: id.clone(),
        app: app.clone(),
        instance: None,
        host: None,
        agent: None,
        status: TaskStatus::Staging,
        ports: Vec::new(),
        service_ports: Vec::new(),
        addresses: Vec::new(),
        staged_at: None,
        started_at: None,
        version: None,
        health: Vec::new(),
        ready: None,
    }
}

/// The time that Marathon wrote into an event.
fn instant(timestamp: &EventTimestamp) -> Option<Timestamp> {
    match timestamp {
        EventTimestamp::Text(text) => Timestamp::parse(text),
        EventTimestamp::Millis(millis) => Some(Timestamp::from_millis(*millis)),
    }
}

/// Whether an instance in this condition has no running task.
fn ends(condition: &InstanceCondition) -> bool {
    use InstanceCondition as C;
    matches!(condition, C::Finished | C::Failed | C::Killed | C::Error | C::Gone | C::Dropped)
}

/// Whether an instance in this condition has no task that can be reached, or soon has none.
fn leaves(condition: &InstanceCondition) -> bool {
    use InstanceCondition as C;
    ends(condition) || matches!(condition, C::Killing | C::Unreachable | C::UnreachableInactive)
}

/// Whether `new` is a later incarnation of the same container of the same instance as `old`.
fn succeeds(new: &TaskId, old: &TaskId) -> bool {
    let split = |id: &'_ TaskId| -> Option<(usize, u32)> {
        let (head, number) = id.as_str().rsplit_once('.')?;
        Some((head.len(), number.parse().ok()?))
    };
    match (split(new), split(old)) {
        (Some((head, new_number)), Some((old_head, old_number))) => {
            head == old_head && new_number > old_number && new.as_str()[..head] == old.as_str()[..head]
        }
        _ => false,
    }
}

fn cause_of(event: &ClusterEvent) -> Option<Cause> {
    Some(match event {
        ClusterEvent::Status(update) => Cause::Status(update.status().clone()),
        ClusterEvent::InstanceChanged { condition, .. } => Cause::Instance(condition.clone()),
        ClusterEvent::HealthChanged { healthy, .. } => Cause::Health(*healthy),
        ClusterEvent::UnhealthyKill { .. } => Cause::UnhealthyKill,
        ClusterEvent::AppDefinition { .. } => Cause::Definition,
        ClusterEvent::Deployment { .. } => Cause::Deployment,
        ClusterEvent::AppTerminated { .. } => Cause::Terminated,
        ClusterEvent::UnknownTerminated { .. } => Cause::UnknownTerminated,
        // They change no verdict by themselves.
        ClusterEvent::PodChanged { .. }
        | ClusterEvent::GroupChanged { .. }
        | ClusterEvent::SchedulerRegistered
        | ClusterEvent::SchedulerDisconnected
        | ClusterEvent::Ignored { .. } => return None,
    })
}

/// Steps of a task's life that only go forward. Unreachable tasks come back (trap 26), so that state has no step.
fn step_of(status: &TaskStatus) -> Option<u8> {
    match status {
        TaskStatus::Staging => Some(0),
        TaskStatus::Starting => Some(1),
        TaskStatus::Running => Some(2),
        TaskStatus::Killing => Some(3),
        TaskStatus::Lost => None,
        other if other.is_terminal() => Some(4),
        _ => None,
    }
}

fn goes_back(from: &TaskStatus, to: &TaskStatus) -> bool {
    matches!((step_of(from), step_of(to)), (Some(from), Some(to)) if to < from)
}

fn shows(status: &TaskStatus, condition: &InstanceCondition) -> bool {
    matches!(
        (status, condition),
        (TaskStatus::Staging, InstanceCondition::Staging)
            | (TaskStatus::Starting, InstanceCondition::Starting)
            | (TaskStatus::Running, InstanceCondition::Running)
            | (TaskStatus::Killing, InstanceCondition::Killing)
            | (TaskStatus::Unreachable, InstanceCondition::Unreachable)
    )
}
