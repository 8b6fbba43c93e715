//! The end of tasks: killed, failed, finished, unreachable, and what follows.

use super::answer::Answer;
use super::change::Proposal;
use super::event::Body;
use super::instance::{Condition, Instance, InstanceId};
use super::path::PathId;
use super::step::{Effect, KillTarget, Ticket};
use super::view::TaskFailure;
use super::{Cluster, Timer};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

impl Cluster {
    /// Sends SIGTERM. A decommissioned instance goes for good, any other gets a new task.
    pub(super) fn kill(&mut self, id: &InstanceId, decommission: bool) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        let newly = decommission && !instance.decommissioned;
        instance.decommissioned |= decommission;
        self.dirty.insert(instance.app.clone());
        if !instance.condition.has_task() {
            self.instances.insert(id.clone(), instance);
            if decommission {
                self.drop_scheduled(id);
            }
            return;
        }
        if newly && self.options.profile.goal_events {
            self.emit_instance(&instance, instance.condition);
        }
        if instance.lost.is_some() {
            self.kill_lost(instance);
            return;
        }
        if !instance.dying {
            instance.dying = true;
            if self.options.task_killing {
                instance.condition = Condition::Killing;
                self.tell_status(&mut instance, Condition::Killing, "");
                self.emit_instance(&instance, Condition::Killing);
            }
            let delay = self.kill_delay(&instance);
            self.end_containers(&instance, delay);
            self.set_timer(delay, Timer::Killed(id.clone(), instance.incarnation));
        }
        self.instances.insert(id.clone(), instance);
    }

    /// No kill reaches a lost agent: the instance is given up, and replaced unless it was to go.
    fn kill_lost(&mut self, instance: Instance) {
        let id = instance.id.clone();
        let next = self.target(&instance.app).map(|app| app.def.clone());
        let replaced = !instance.decommissioned;
        self.instances.insert(id.clone(), instance);
        self.give_up(&id);
        if let Some(def) = next.filter(|_| replaced) {
            self.launch(&def);
        }
    }

    /// An instance that waits for its first task is simply gone.
    fn drop_scheduled(&mut self, id: &InstanceId) {
        if let Some(instance) = self.remove_instance(id) {
            if instance.agent.is_some() {
                self.effects.push(Effect::TaskEnded { task: self.task_id(&instance) });
            }
            // Where nobody was told that it waits, nobody is told that it does not.
            if self.options.profile.scheduled_condition {
                self.emit_instance(&instance, Condition::Killed);
            }
        }
    }

    pub(super) fn killed(&mut self, id: &InstanceId, incarnation: u32) {
        if self
            .instances
            .get(id)
            .is_some_and(|instance| instance.incarnation == incarnation && instance.dying)
        {
            self.end(id, Condition::Killed, "Command terminated with signal Terminated");
        }
    }

    /// The task is over: tells so, frees what it had, and starts the next one unless the instance goes too.
    pub(super) fn end(&mut self, id: &InstanceId, condition: Condition, message: &str) {
        self.end_as(id, condition, condition.task_state(), message);
    }

    /// As `end`, with the state in Mesos' words, which may be those of an old version.
    pub(super) fn end_as(&mut self, id: &InstanceId, condition: Condition, state: &str, message: &str) {
        if self.instances.get(id).is_none_or(|instance| !instance.condition.has_task()) {
            return;
        }
        let Some(mut instance) = self.remove_instance(id) else { return };
        instance.condition = condition;
        if instance.containers.is_empty() {
            self.emit_status(&instance, state, message);
        } else {
            self.tell_last_containers(&mut instance, state, message);
        }
        self.emit_instance(&instance, condition);
        self.effects.push(Effect::TaskEnded { task: self.task_id(&instance) });
        self.release_ports(instance.agent, &instance.host_ports);
        let by_itself = matches!(condition, Condition::Failed | Condition::Finished | Condition::Lost);
        if by_itself {
            self.note_failure(&instance, message);
        }
        let next = self.target(&instance.app).map(|app| app.def.clone());
        if let Some(def) = next.filter(|_| !instance.decommissioned) {
            self.replace(instance, def);
        }
    }

    /// The next task of the same instance, or an instance of its own where the version knows no incarnations.
    fn replace(&mut self, mut instance: Instance, def: Arc<super::AppDef>) {
        if self.options.profile.task_ids == crate::profile::TaskIds::AppUuid {
            self.launch(&def);
            return;
        }
        instance.def = def;
        self.by_app.entry(instance.app.clone()).or_default().insert(instance.id.clone());
        self.schedule(instance);
    }

    /// Remembers the failure and lengthens the delay of the next launch.
    fn note_failure(&mut self, instance: &Instance, message: &str) {
        let now = self.now;
        let def = &instance.def;
        let (agent, host) = self.agent_names(instance).unzip();
        let failure = TaskFailure {
            app_id: instance.app.clone(),
            host: host.as_deref().unwrap_or_default().to_owned(),
            message: message.to_owned(),
            state: instance.condition.task_state(),
            task_id: self.task_id(instance),
            timestamp: now,
            version: def.version,
            slave_id: agent.filter(|_| self.options.profile.tasks.slave_id).map(|agent| agent.to_string()),
        };
        let seconds = |number: f64| Duration::try_from_secs_f64(number).unwrap_or(Duration::ZERO);
        let (base, limit) = (seconds(def.backoff_seconds.0), seconds(def.max_launch_delay_seconds.0));
        let factor = def.backoff_factor.0;
        let Some(app) = self.apps.get_mut(&instance.app) else { return };
        app.last_failure = Some(failure);
        app.backoff = if app.backoff.is_zero() {
            base.min(limit)
        } else {
            seconds((app.backoff.as_secs_f64() * factor).min(limit.as_secs_f64()))
        };
        let backoff = app.backoff;
        let launch_after = now.after(self.scaled(backoff));
        if let Some(app) = self.apps.get_mut(&instance.app) {
            app.launch_after = launch_after;
        }
    }

    /// `DELETE .../tasks` and `POST /v2/tasks/delete`.
    pub(super) fn kill_tasks(
        &mut self,
        ticket: Ticket,
        target: &KillTarget,
        scale: bool,
        wipe: bool,
        force: bool,
    ) -> Result<Option<Answer>, Answer> {
        if scale && wipe {
            return Err(Answer::message(400, "You cannot use scale and wipe at the same time."));
        }
        let victims = self.victims(target)?;
        if scale {
            return self.kill_and_scale(ticket, &victims, force);
        }
        let views: Vec<_> = victims.iter().map(|victim| self.task_view(victim, false)).collect();
        let answer = match (target, views.first()) {
            (KillTarget::Task { .. }, Some(task)) => Answer::json(200, &json!({ "task": task })),
            _ => Answer::json(200, &json!({ "tasks": views })),
        };
        for victim in &victims {
            self.kill(&victim.id, false);
        }
        Ok(Some(answer))
    }

    fn victims(&self, target: &KillTarget) -> Result<Vec<Instance>, Answer> {
        let visible =
            |app: &PathId| self.target(app).is_some_and(|app| app.visible.is_some() && app.def.pod.is_none());
        match target {
            KillTarget::App { app, host } => {
                if !visible(app) {
                    return Err(Answer::missing("App", app));
                }
                let at_host = |instance: &&Instance| {
                    let name = self.agent_names(instance).map(|(_, name)| name);
                    host.as_ref().is_none_or(|host| name.is_some_and(|name| *name == **host))
                };
                Ok(self
                    .instances_of(app)
                    .filter(|found| found.condition.has_task())
                    .filter(at_host)
                    .cloned()
                    .collect())
            }
            KillTarget::Task { app, task } => {
                if !visible(app) {
                    return Err(Answer::missing("App", app));
                }
                let found = self
                    .instance_of_task(task)
                    .filter(|found| found.app == *app && found.condition.has_task());
                found.map(|found| vec![found.clone()]).ok_or_else(|| Answer::missing_task(task))
            }
            KillTarget::Ids(ids) => {
                if let Some(bad) = ids.iter().find(|id| !id.contains('.')) {
                    return Err(Answer::message(400, format!("Invalid task id '{bad}'.")));
                }
                let live = |found: &&Instance| found.condition.has_task() && visible(&found.app);
                Ok(ids.iter().filter_map(|id| self.instance_of_task(id)).filter(live).cloned().collect())
            }
        }
    }

    fn kill_and_scale(
        &mut self,
        ticket: Ticket,
        victims: &[Instance],
        force: bool,
    ) -> Result<Option<Answer>, Answer> {
        let mut kills: BTreeMap<PathId, Vec<InstanceId>> = BTreeMap::new();
        for victim in victims {
            kills.entry(victim.app.clone()).or_default().push(victim.id.clone());
        }
        let version = self.next_version();
        let mut proposal = Proposal::new(version, force);
        for (app, ids) in &kills {
            let Some(current) = self.target(app) else { continue };
            let mut def = (*current.def).clone();
            def.instances = def.instances.saturating_sub(ids.len() as u32);
            proposal.set(self.stamp(def, version));
        }
        proposal.kills = kills;
        self.propose(ticket, proposal).map(|()| None)
    }

    /// `app_terminated_event`
    pub(super) fn tell_terminated(&mut self, app: &PathId) {
        self.emit(&Body::AppTerminated { app_id: app });
    }
}
