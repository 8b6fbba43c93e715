//! The truth, also about what readers of Marathon's API do not see.

use super::Cluster;
use super::instance::{Condition, Instance, IpAddress, PodTask};
use super::path::PathId;
use crate::time::Time;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Truth<'a> {
    now: Time,
    leader: &'a str,
    profile: &'static str,
    agents: usize,
    deployments: usize,
    /// Streams are the shell's; who asks for them passes their number in.
    streams: usize,
    apps: Vec<AppTruth<'a>>,
    /// Of pods, each container.
    tasks: Vec<TaskTruth<'a>>,
    /// Tasks that Marathon has given up, and that may live on at a lost agent.
    ghosts: Vec<String>,
}

#[derive(Serialize)]
struct AppTruth<'a> {
    id: &'a PathId,
    version: Time,
    instances: u32,
    visible: bool,
    deleted: bool,
    pod: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskTruth<'a> {
    id: String,
    instance_id: &'a str,
    app_id: &'a PathId,
    condition: &'static str,
    state: &'static str,
    running: bool,
    dying: bool,
    decommissioned: bool,
    alive: bool,
    healthy: Option<bool>,
    routable: bool,
    host: Option<&'a str>,
    ports: &'a [u16],
    ip_addresses: &'a [IpAddress],
    version: Time,
}

impl Cluster {
    fn truth(&self, streams: usize) -> Truth<'_> {
        let apps = self.apps.iter().map(|(id, app)| AppTruth {
            id,
            version: app.def.version,
            instances: app.def.instances,
            visible: app.visible.is_some(),
            deleted: app.deleted,
            pod: app.def.pod.is_some(),
        });
        Truth {
            now: self.now,
            leader: &self.leader,
            profile: self.options.profile.name,
            agents: self.agents.len(),
            deployments: self.deployments.len(),
            streams,
            apps: apps.collect(),
            tasks: self.instances.values().flat_map(|found| self.task_truths(found)).collect(),
            ghosts: self.ghosts.values().map(|ghost| self.task_id(ghost)).collect(),
        }
    }

    fn task_truths<'a>(&'a self, found: &'a Instance) -> Vec<TaskTruth<'a>> {
        let Some(pod) = &found.def.pod else { return vec![self.task_truth(found)] };
        let of_container = |(index, container): (usize, &'a PodTask)| {
            let condition = container.condition;
            TaskTruth {
                id: self.container_task_id(found, index),
                state: condition.task_state(),
                running: condition == Condition::Running && !found.dying,
                ports: pod.ports_of(index, &found.host_ports),
                ..self.task_truth(found)
            }
        };
        found.containers.iter().enumerate().map(of_container).collect()
    }

    fn task_truth<'a>(&'a self, found: &'a Instance) -> TaskTruth<'a> {
        TaskTruth {
            id: self.task_id(found),
            instance_id: &found.id,
            app_id: &found.app,
            condition: found.condition.name(),
            state: found.condition.task_state(),
            running: found.condition == Condition::Running && !found.dying,
            dying: found.dying,
            decommissioned: found.decommissioned,
            alive: found.answers_probes,
            healthy: found.healthy(),
            routable: found.is_ready(self.now),
            host: found.agent.and_then(|index| self.agents.get(index)).map(|agent| &*agent.host),
            ports: &found.host_ports,
            ip_addresses: found.ip.as_slice(),
            version: found.def.version,
        }
    }

    /// The truth as a value, for tests.
    #[must_use]
    pub fn state(&self) -> Value {
        serde_json::to_value(self.truth(0)).unwrap_or_default()
    }

    /// The truth as JSON text, which is much cheaper for a large cluster: `GET /sim/state`.
    #[must_use]
    pub fn state_json(&self, streams: usize) -> String {
        serde_json::to_string(&self.truth(streams)).unwrap_or_default()
    }

    /// How many apps and instances there are.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.apps.len(), self.instances.len())
    }
}
