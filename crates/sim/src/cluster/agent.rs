//! Agents: what they have to give, and their going and coming back (spec/marathon.md 6.4, "Agent partition").
//!
//! Mesos tells Marathon that an agent cannot be reached; the tasks live on unseen. What Marathon has given up on in the
//! meantime is kept here as a *ghost*: if its agent comes back, Marathon does not know the task any more and kills it.

use super::answer::Answer;
use super::definition::NetworkMode;
use super::event::Body;
use super::instance::{Condition, Instance, InstanceId, IpAddress, Lost};
use super::step::Effect;
use super::{Cluster, Timer};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What happens to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentFate {
    /// It cannot be reached; its tasks live on.
    Lose,
    /// It can be reached again, or takes tasks again.
    Return,
    /// It is gone for good, with its tasks.
    Remove,
    /// It takes no new tasks, and its present ones are moved elsewhere.
    Drain,
}

impl AgentFate {
    /// The fate that the control API and scenarios call `name`.
    pub(crate) fn by_name(name: &str) -> Option<AgentFate> {
        Some(match name {
            "lost" => AgentFate::Lose,
            "return" => AgentFate::Return,
            "gone" => AgentFate::Remove,
            "drain" => AgentFate::Drain,
            _ => return None,
        })
    }
}

/// Whether an agent takes tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentState {
    Up,
    Draining,
    Lost,
    Gone,
}

/// An agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) id: Arc<str>,
    pub(crate) host: Arc<str>,
    /// The address by which host-mode tasks are reported.
    pub(crate) address: Arc<str>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) state: AgentState,
    used: BTreeSet<u16>,
    /// No port of the range is free: searching again would be in vain.
    full: bool,
    /// The next number of a container's address.
    next_address: u32,
}

#[derive(Serialize)]
struct AgentView<'a> {
    id: &'a str,
    host: &'a str,
    state: AgentState,
    attributes: &'a BTreeMap<String, String>,
    tasks: usize,
    ghosts: usize,
}

impl Agent {
    pub(crate) fn new(id: String, host: String, attributes: BTreeMap<String, String>) -> Agent {
        let host: Arc<str> = host.into();
        Agent {
            id: id.into(),
            address: host.clone(),
            host,
            attributes,
            state: AgentState::Up,
            used: BTreeSet::new(),
            full: false,
            next_address: 2,
        }
    }

    /// Takes the wanted ports, 0 being any within `range` from `start` on; all or none.
    pub(super) fn take_ports(&mut self, wanted: &[u16], range: (u16, u16), start: u16) -> Option<Vec<u16>> {
        if self.full && wanted.contains(&0) {
            return None;
        }
        let used = &mut self.used;
        let mut taken: Vec<u16> = Vec::with_capacity(wanted.len());
        for &port in wanted {
            let found = if port == 0 {
                (start..=range.1)
                    .chain(range.0..start)
                    .find(|port| !used.contains(port) && !wanted.contains(port))
            } else {
                (!used.contains(&port)).then_some(port)
            };
            let Some(found) = found else {
                self.full = taken.is_empty() && wanted.iter().all(|&port| port == 0);
                for port in &taken {
                    used.remove(port);
                }
                return None;
            };
            used.insert(found);
            taken.push(found);
        }
        Some(taken)
    }

    fn release(&mut self, ports: &[u16]) {
        self.full = false;
        for port in ports {
            self.used.remove(port);
        }
    }

    fn take_address(&mut self, prefix: &str) -> IpAddress {
        let number = self.next_address;
        // .0 and .255 are no hosts, .1 is the gateway.
        self.next_address = if number >= 254 { 2 } else { number + 1 };
        IpAddress { ip_address: format!("{prefix}.{number}"), protocol: "IPv4" }
    }
}

impl Cluster {
    pub(super) fn add_agent(&mut self) {
        let index = self.agents.len();
        let host = if self.options.task_sockets {
            "127.0.0.1".to_owned()
        } else {
            format!("10.0.{}.{}", index / 200, 21 + index % 200)
        };
        let id = format!("{}-S{index}", self.cluster_id);
        let attributes = self.options.agent_attributes.iter();
        let of_this = attributes.filter_map(|(name, values)| {
            let value = values.get(index % values.len().max(1))?;
            Some((name.clone(), value.clone()))
        });
        let agent = Agent::new(id, host, of_this.collect());
        self.agents.push(agent);
    }

    /// The address of a new task at the agent.
    pub(super) fn take_address(&mut self, agent: usize, mode: NetworkMode) -> Option<IpAddress> {
        let prefix = format!("9.0.{}", (agent + 1) % 256);
        let agent = self.agents.get_mut(agent)?;
        Some(match mode {
            NetworkMode::Host => IpAddress { ip_address: agent.address.to_string(), protocol: "IPv4" },
            NetworkMode::Bridge => agent.take_address("172.17.0"),
            NetworkMode::Container => agent.take_address(&prefix),
        })
    }

    pub(super) fn release_ports(&mut self, agent: Option<usize>, ports: &[u16]) {
        if let Some(agent) = agent.and_then(|index| self.agents.get_mut(index)) {
            agent.release(ports);
        }
    }

    /// The agent with this id or, where names are not shared, this host name.
    fn agent_named(&self, name: &str) -> Option<usize> {
        let by_id = self.agents.iter().position(|agent| *agent.id == *name);
        by_id.or_else(|| self.agents.iter().position(|agent| *agent.host == *name))
    }

    /// `GET /sim/agents`
    #[must_use]
    pub fn agents(&self) -> Answer {
        let count = |instances: &BTreeMap<InstanceId, Instance>, index| {
            let here = |found: &&Instance| found.agent == Some(index) && found.condition.has_task();
            instances.values().filter(here).count()
        };
        let views = self.agents.iter().enumerate().map(|(index, agent)| AgentView {
            id: &agent.id,
            host: &agent.host,
            state: agent.state,
            attributes: &agent.attributes,
            tasks: count(&self.instances, index),
            ghosts: count(&self.ghosts, index),
        });
        let views: Vec<AgentView<'_>> = views.collect();
        Answer::json(200, &json!({ "agents": views }))
    }

    /// The ids of the agents that can, or cannot, be reached.
    pub(crate) fn agent_ids(&self, reachable: bool) -> Vec<String> {
        let wanted = |agent: &&Agent| match agent.state {
            AgentState::Up | AgentState::Draining => reachable,
            AgentState::Lost => !reachable,
            AgentState::Gone => false,
        };
        self.agents.iter().filter(wanted).map(|agent| agent.id.to_string()).collect()
    }

    pub(super) fn change_agent(&mut self, name: &str, fate: AgentFate) -> Answer {
        let Some(index) = self.agent_named(name) else {
            return Answer::message(404, format!("Agent '{name}' does not exist"));
        };
        let state = self.agents[index].state;
        let next = match (state, fate) {
            (AgentState::Gone, _) => {
                return Answer::message(422, format!("agent '{name}' is gone for good"));
            }
            (AgentState::Lost, AgentFate::Drain) => {
                return Answer::message(
                    422,
                    format!("agent '{name}' cannot be reached, so it cannot be drained"),
                );
            }
            (_, AgentFate::Lose) => AgentState::Lost,
            (_, AgentFate::Return) => AgentState::Up,
            (_, AgentFate::Remove) => AgentState::Gone,
            (_, AgentFate::Drain) => AgentState::Draining,
        };
        self.agents[index].state = next;
        match fate {
            AgentFate::Lose => self.for_each_at(index, Cluster::lose),
            AgentFate::Drain => self.for_each_at(index, |cluster, id| cluster.kill(id, false)),
            AgentFate::Remove => self.remove_agent(index),
            AgentFate::Return if state == AgentState::Lost => self.agent_is_back(index),
            AgentFate::Return => {}
        }
        Answer::json(200, &json!({}))
    }

    fn for_each_at(&mut self, agent: usize, mut act: impl FnMut(&mut Cluster, &InstanceId)) {
        let here = |found: &&Instance| found.agent == Some(agent) && found.condition.has_task();
        let ids: Vec<InstanceId> =
            self.instances.values().filter(here).map(|found| found.id.clone()).collect();
        for id in &ids {
            act(self, id);
        }
    }

    fn ghosts_at(&self, agent: usize) -> Vec<InstanceId> {
        let here = self.ghosts.values().filter(|ghost| ghost.agent == Some(agent));
        here.map(|ghost| ghost.id.clone()).collect()
    }

    fn remove_agent(&mut self, index: usize) {
        let partition_aware = self.options.profile.partition_aware;
        self.for_each_at(index, |cluster, id| {
            let state = if partition_aware { "TASK_GONE" } else { "TASK_LOST" };
            cluster.end_as(id, Condition::Gone, state, "Agent has been removed");
        });
        for id in self.ghosts_at(index) {
            self.lay_ghost(&id, Condition::Gone);
        }
    }

    fn agent_is_back(&mut self, index: usize) {
        self.for_each_at(index, |cluster, id| {
            cluster.come_back(id);
        });
        for id in self.ghosts_at(index) {
            self.ghost_is_back(&id);
        }
    }

    /// The instance's agent is cut off. The task may live on, but nobody knows.
    pub(super) fn lose(&mut self, id: &InstanceId) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        if !instance.condition.has_task() || instance.lost.is_some() {
            self.instances.insert(id.clone(), instance);
            return;
        }
        self.dirty.insert(instance.app.clone());
        if !self.options.profile.partition_aware {
            self.lose_for_good(instance);
            return;
        }
        let lost = Lost {
            from: instance.condition,
            decommissioned: instance.decommissioned,
            since: self.now,
            dying: instance.dying,
        };
        instance.lost = Some(lost);
        instance.condition = Condition::Unreachable;
        self.freeze_health(&mut instance);
        self.tell_status(&mut instance, Condition::Unreachable, "Agent is unreachable");
        self.emit_instance(&instance, Condition::Unreachable);
        let after = instance.def.unreachable_after();
        let incarnation = instance.incarnation;
        self.instances.insert(id.clone(), instance);
        if let Some((inactive, expunge)) = after {
            let inactive = self.scaled(Duration::from_secs(inactive));
            let expunge = self.scaled(Duration::from_secs(expunge));
            self.set_timer(inactive, Timer::Inactive(id.clone(), incarnation));
            self.set_timer(expunge.max(inactive), Timer::Expunge(id.clone(), incarnation));
        }
    }

    /// Versions that know no unreachable tasks drop what is lost, and start another.
    fn lose_for_good(&mut self, instance: Instance) {
        self.emit_status(&instance, "TASK_LOST", "Agent is unreachable");
        self.emit_instance(&instance, Condition::Gone);
        let next = self.target(&instance.app).map(|app| app.def.clone());
        let replaced = !instance.decommissioned;
        self.make_ghost(instance);
        if let Some(def) = next.filter(|_| replaced) {
            self.launch(&def);
        }
    }

    /// The instance if it has been unreachable since at least `after`: a partition before this one does not count.
    fn overdue(&self, id: &InstanceId, incarnation: u32, expunge: bool) -> Option<Instance> {
        let instance = self.instances.get(id).filter(|found| found.incarnation == incarnation)?;
        let since = instance.lost?.since;
        let (inactive_after, expunge_after) = instance.def.unreachable_after()?;
        let after = if expunge { expunge_after.max(inactive_after) } else { inactive_after };
        let due = since.after(self.scaled(Duration::from_secs(after)));
        (due <= self.now).then(|| instance.clone())
    }

    /// Long enough without a sign: a replacement is started.
    pub(super) fn inactive(&mut self, id: &InstanceId, incarnation: u32) {
        let Some(mut instance) = self.overdue(id, incarnation, false) else { return };
        if instance.condition != Condition::Unreachable {
            return;
        }
        instance.condition = Condition::UnreachableInactive;
        self.tell_status(&mut instance, Condition::Unreachable, "Agent is unreachable");
        self.emit_instance(&instance, Condition::UnreachableInactive);
        let replacement =
            self.target(&instance.app).map(|app| app.def.clone()).filter(|_| !instance.decommissioned);
        // From here on it no longer counts as one of the app's instances.
        instance.decommissioned = true;
        self.dirty.insert(instance.app.clone());
        self.instances.insert(id.clone(), instance);
        if let Some(def) = replacement {
            self.launch(&def);
        }
    }

    /// Given up for ever; no event tells.
    pub(super) fn expunge(&mut self, id: &InstanceId, incarnation: u32) {
        if self.overdue(id, incarnation, true).is_some() {
            self.give_up(id);
        }
    }

    /// Forgets an unreachable instance. Its task may still be there.
    pub(super) fn give_up(&mut self, id: &InstanceId) {
        if let Some(instance) = self.remove_instance(id) {
            self.make_ghost(instance);
        }
    }

    fn make_ghost(&mut self, instance: Instance) {
        self.by_app_forget(&instance.app, &instance.id);
        self.ghosts.insert(instance.id.clone(), instance);
    }

    /// A task that was out of reach is seen again: the same task, at the same address.
    pub(super) fn come_back(&mut self, id: &InstanceId) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        let Some(lost) = instance.lost.take() else {
            self.instances.insert(id.clone(), instance);
            return;
        };
        instance.decommissioned = lost.decommissioned;
        let app = instance.app.clone();
        let runs = instance.started_at.is_some();
        instance.condition = if runs { Condition::Running } else { Condition::Staging };
        if lost.dying {
            instance.condition = lost.from;
            self.instances.insert(id.clone(), instance);
            self.end(id, Condition::Killed, "Command terminated with signal Terminated");
            return;
        }
        let condition = instance.condition;
        self.tell_status(&mut instance, condition, "");
        self.emit_instance(&instance, condition);
        if runs {
            self.resume_health(&mut instance);
            self.instances.insert(id.clone(), instance);
        } else {
            self.instances.insert(id.clone(), instance);
            self.start_task(id);
        }
        self.dirty.insert(app.clone());
        // If there is a replacement, there is one too many until somebody counts.
        let period = self.scaled(self.options.timeline.scale_check);
        self.set_timer(period, Timer::ScaleCheck(app));
    }

    /// Marathon does not know this task any more, and kills it.
    fn ghost_is_back(&mut self, id: &InstanceId) {
        let span = self.options.timeline.kill;
        let delay = self.draw_scaled(span);
        self.set_timer(delay, Timer::Ghost(id.clone()));
    }

    /// A task nobody knew is dead.
    pub(super) fn lay_ghost(&mut self, id: &InstanceId, condition: Condition) {
        let Some(ghost) = self.ghosts.remove(id) else { return };
        self.effects.push(Effect::TaskEnded { task: self.task_id(&ghost) });
        self.release_ports(ghost.agent, &ghost.host_ports);
        let events = self.options.profile.events;
        if events.instances {
            self.emit(&Body::UnknownInstanceTerminated {
                instance_id: &ghost.id,
                run_spec_id: &ghost.app,
                condition: condition.name(),
            });
        } else if events.unknown_terminated {
            self.emit(&Body::UnknownTaskTerminated {
                task_id: &self.task_id(&ghost),
                run_spec_id: &ghost.app,
                status: condition.task_state(),
            });
        }
    }

    /// `POST /sim/tasks/{id}/return`: one task, whatever its agent.
    pub(super) fn return_task(&mut self, task: &str) -> Answer {
        let lost = self.instance_of_task(task).filter(|found| found.lost.is_some());
        if let Some(id) = lost.map(|found| found.id.clone()) {
            self.come_back(&id);
            return Answer::json(200, &json!({}));
        }
        let ghost =
            self.ghosts.values().find(|ghost| self.is_task_of(task, ghost)).map(|ghost| ghost.id.clone());
        match ghost {
            Some(id) => {
                self.ghost_is_back(&id);
                Answer::json(200, &json!({}))
            }
            None => Answer::message(404, format!("Task '{task}' is not lost")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_all_or_none() {
        let mut agent = Agent::new("S0".into(), "h".into(), BTreeMap::new());
        let first = agent.take_ports(&[0, 0], (1, 3), 3).expect("free");
        assert_eq!(first, vec![3, 1]);
        assert_eq!(agent.take_ports(&[0, 0], (1, 3), 1), None);
        assert_eq!(agent.take_ports(&[0], (1, 3), 1), Some(vec![2]));
        agent.release(&first);
        assert_eq!(agent.take_ports(&[3], (1, 3), 1), Some(vec![3]));
    }
}
