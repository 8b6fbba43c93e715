//! The way of an instance from Scheduled to Running.

use super::definition::AppDef;
use super::instance::{Condition, Instance, InstanceId};
use super::path::PathId;
use super::step::Effect;
use super::{Cluster, Timer};
use crate::time::Time;
use std::sync::Arc;

/// `--task_launch_timeout`
const LAUNCH_TIME: std::time::Duration = std::time::Duration::from_secs(300);

impl Cluster {
    /// Adds an instance of the app, to be started as soon as there is an offer.
    pub(super) fn launch(&mut self, def: &Arc<AppDef>) {
        let id = self.new_instance_id(def);
        let instance = Instance::new(id.clone(), def, self.now);
        self.by_app.entry(def.id.clone()).or_default().insert(id.clone());
        self.schedule(instance);
    }

    /// Puts an instance without a task in line for its next one.
    pub(super) fn schedule(&mut self, mut instance: Instance) {
        instance.forget_task();
        instance.incarnation += 1;
        instance.condition = Condition::Scheduled;
        instance.since = self.now;
        instance.answers_probes = self.starts_healthy(&instance.app);
        instance.containers = self.waiting_containers(&instance.def);
        if self.options.profile.scheduled_condition {
            self.emit_instance(&instance, Condition::Scheduled);
        }
        let span = self.options.timeline.offer;
        let offer = self.draw_scaled(span);
        let held_back =
            self.apps.get(&instance.app).map_or(0, |app| app.launch_after.since(self.now).as_millis());
        let delay = offer + std::time::Duration::from_millis(held_back as u64);
        self.set_timer(delay, Timer::Offer(instance.id.clone(), instance.incarnation));
        self.dirty.insert(instance.app.clone());
        self.instances.insert(instance.id.clone(), instance);
    }

    /// The instance if it is still at `incarnation` and in `condition`.
    fn awaited(&self, id: &InstanceId, incarnation: u32, condition: Condition) -> Option<&Instance> {
        let instance = self.instances.get(id)?;
        (instance.incarnation == incarnation && instance.condition == condition).then_some(instance)
    }

    /// An agent offers what the instance needs, or nobody does and it waits for the next round.
    pub(super) fn offer(&mut self, id: &InstanceId, incarnation: u32) {
        let Some(instance) = self.awaited(id, incarnation, Condition::Scheduled) else { return };
        let held_back = self.apps.get(&instance.app).is_some_and(|app| app.launch_after > self.now);
        let def = instance.def.clone();
        let task = self.task_id(instance);
        let offer = if held_back { None } else { self.take_offer(&def) };
        let Some((agent, ports)) = offer else {
            self.retry_offer(id, incarnation);
            return;
        };
        if let Some(instance) = self.instances.get_mut(id) {
            instance.agent = Some(agent);
        }
        let wanted = def.wanted_host_ports();
        if self.options.task_sockets && !wanted.is_empty() {
            self.effects.push(Effect::BindPorts { task, wanted });
        } else {
            self.stage(id, ports);
        }
    }

    fn retry_offer(&mut self, id: &InstanceId, incarnation: u32) {
        let delay = self.scaled(self.options.timeline.offer_retry).max(std::time::Duration::from_millis(1));
        self.set_timer(delay, Timer::Offer(id.clone(), incarnation));
    }

    /// The shell has found real ports for a task, or has not.
    pub(super) fn ports_bound(&mut self, task: &str, ports: Option<Vec<u16>>) {
        let waiting =
            |instance: &&Instance| instance.condition == Condition::Scheduled && instance.agent.is_some();
        let Some(instance) = self.instance_of_task(task).filter(waiting) else {
            // It was given up while the shell was looking for ports.
            self.effects.push(Effect::TaskEnded { task: task.to_owned() });
            return;
        };
        let (id, incarnation) = (instance.id.clone(), instance.incarnation);
        match ports {
            Some(ports) => self.stage(&id, ports),
            None => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.agent = None;
                }
                self.retry_offer(&id, incarnation);
            }
        }
    }

    /// The task is sent to its agent.
    fn stage(&mut self, id: &InstanceId, ports: Vec<u16>) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        instance.host_ports = ports;
        instance.staged_at = Some(self.now);
        instance.condition = Condition::Provisioned;
        self.emit_instance(&instance, Condition::Provisioned);
        instance.condition = Condition::Staging;
        self.tell_status(&mut instance, Condition::Staging, "");
        self.emit_instance(&instance, Condition::Staging);
        self.instances.insert(id.clone(), instance);
        self.start_task(id);
    }

    /// The agent starts what it was sent.
    pub(super) fn start_task(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let (app, incarnation) = (instance.app.clone(), instance.incarnation);
        if !instance.containers.is_empty() {
            self.start_containers(id);
            return;
        }
        let start = self.start_delay(&app);
        if self.options.profile.starting_updates {
            self.set_timer(start / 2, Timer::Starting(id.clone(), incarnation));
        }
        self.set_timer(start, Timer::Running(id.clone(), incarnation));
        self.watch_launch(id, incarnation, start);
    }

    /// A task that will not run in time is killed then. Others need no timer for it.
    pub(super) fn watch_launch(&mut self, id: &InstanceId, incarnation: u32, start: std::time::Duration) {
        let limit = self.scaled(LAUNCH_TIME);
        if start > limit {
            self.set_timer(limit, Timer::Overdue(id.clone(), incarnation));
        }
    }

    pub(super) fn overdue_launch(&mut self, id: &InstanceId, incarnation: u32) {
        let waits = |condition| self.awaited(id, incarnation, condition).is_some();
        if waits(Condition::Staging) || waits(Condition::Starting) {
            self.kill(id, false);
        }
    }

    pub(super) fn starting(&mut self, id: &InstanceId, incarnation: u32) {
        if self.awaited(id, incarnation, Condition::Staging).is_none_or(|instance| instance.dying) {
            return;
        }
        let Some(mut instance) = self.instances.remove(id) else { return };
        instance.condition = Condition::Starting;
        self.emit_status(&instance, Condition::Starting.task_state(), "");
        self.emit_instance(&instance, Condition::Starting);
        self.instances.insert(id.clone(), instance);
    }

    pub(super) fn running(&mut self, id: &InstanceId, incarnation: u32) {
        let started = |condition| self.awaited(id, incarnation, condition).filter(|instance| !instance.dying);
        if started(Condition::Starting).or_else(|| started(Condition::Staging)).is_none() {
            return;
        }
        let Some(mut instance) = self.instances.remove(id) else { return };
        instance.condition = Condition::Running;
        instance.started_at = Some(self.now);
        self.address(&mut instance);
        self.effects.push(Effect::TaskRunning { task: self.task_id(&instance) });
        // Containers have been told one by one.
        if instance.containers.is_empty() {
            self.emit_status(&instance, Condition::Running.task_state(), "");
        }
        self.emit_instance(&instance, Condition::Running);
        self.begin_health(&mut instance);
        if instance.def.has_readiness_check() {
            let ready_at = self.readiness_at(&instance.app);
            instance.ready_at = Some(ready_at);
            if ready_at != Time::NEVER {
                self.set_timer(ready_at.since(self.now), Timer::Look(instance.app.clone()));
            }
        }
        self.begin_behaviour(&mut instance);
        if instance.def.health_checks.is_empty()
            && let Some(app) = self.apps.get_mut(&instance.app)
        {
            app.backoff = std::time::Duration::ZERO;
        }
        self.dirty.insert(instance.app.clone());
        self.instances.insert(id.clone(), instance);
    }

    /// Gives a task its address, unless that comes later.
    pub(super) fn address(&mut self, instance: &mut Instance) {
        let Some(agent) = instance.agent.filter(|_| instance.ip.is_none()) else { return };
        if !self.address_is_late(&instance.app) {
            instance.ip = self.take_address(agent, instance.def.mode());
            self.more_addresses(instance, agent);
        }
    }

    /// Removes an instance for good.
    pub(super) fn remove_instance(&mut self, id: &InstanceId) -> Option<Instance> {
        let instance = self.instances.remove(id)?;
        self.by_app_forget(&instance.app, id);
        Some(instance)
    }

    pub(super) fn by_app_forget(&mut self, app: &PathId, id: &InstanceId) {
        if let Some(ids) = self.by_app.get_mut(app) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_app.remove(app);
            }
        }
        self.dirty.insert(app.clone());
    }
}
