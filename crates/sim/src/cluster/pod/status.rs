//! What readers see of pods: definitions, their versions, and their status.

use super::{Endpoint, PodContainer, PodView, Resources, pod_of};
use crate::cluster::answer::Answer;
use crate::cluster::definition::{AppDef, NetworkMode, Num};
use crate::cluster::instance::{Condition, Instance};
use crate::cluster::path::PathId;
use crate::cluster::{App, Cluster};
use crate::time::Time;
use serde::Serialize;
use std::sync::Arc;

/// A pod with its instances, as `::status` and groups write it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cluster) struct PodStatus<'a> {
    id: &'a PathId,
    spec: PodView<'a>,
    status: &'static str,
    status_since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    instances: Vec<InstanceStatus<'a>>,
    /// Marathon has the key, and has never filled it.
    termination_history: [u8; 0],
    last_updated: Time,
    last_changed: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cluster) struct InstanceStatus<'a> {
    id: &'a str,
    status: &'static str,
    status_since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    conditions: [u8; 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_zone: Option<&'a str>,
    resources: Resources,
    networks: Vec<NetworkStatus<'a>>,
    containers: Vec<ContainerStatus<'a>>,
    spec_reference: String,
    local_volumes: [u8; 0],
    last_updated: Time,
    last_changed: Time,
}

#[derive(Serialize)]
struct NetworkStatus<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    addresses: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus<'a> {
    name: &'a str,
    status: &'static str,
    status_since: Time,
    conditions: Vec<ConditionStatus>,
    container_id: String,
    endpoints: Vec<EndpointStatus<'a>>,
    resources: Resources,
    last_updated: Time,
    last_changed: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionStatus {
    name: &'static str,
    value: &'static str,
    reason: &'static str,
    last_updated: Time,
    last_changed: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointStatus<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_host_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<bool>,
}

/// The health of a container that has a check.
enum Health {
    Unreported,
    Reported(bool),
}

fn sum(all: impl Iterator<Item = Resources>) -> Resources {
    let zero = Resources { cpus: Num(0.0), mem: Num(0.0), disk: Num(0.0), gpus: Num(0.0) };
    all.fold(zero, |sum, next| Resources {
        cpus: Num(sum.cpus.0 + next.cpus.0),
        mem: Num(sum.mem.0 + next.mem.0),
        disk: Num(sum.disk.0 + next.disk.0),
        gpus: Num(sum.gpus.0 + next.gpus.0),
    })
}

/// The word for an instance's condition; running ones are stable if they are healthy.
fn instance_word(instance: &Instance) -> (&'static str, Option<&'static str>) {
    match instance.condition {
        Condition::Scheduled => ("PENDING", None),
        Condition::Provisioned | Condition::Staging | Condition::Starting => ("STAGING", None),
        Condition::Running if instance.checks.is_empty() || instance.healthy() == Some(true) => {
            ("STABLE", None)
        }
        Condition::Running => ("DEGRADED", Some("at least one container is not healthy")),
        Condition::Unreachable | Condition::UnreachableInactive => {
            ("DEGRADED", Some("pod instance has become unreachable"))
        }
        _ => ("TERMINAL", None),
    }
}

impl Cluster {
    fn visible_pods(&self) -> impl Iterator<Item = (&App, &AppDef)> {
        let pods = self.apps.values().filter_map(|app| Some((app, app.visible.as_deref()?)));
        pods.filter(|(_, def)| def.pod.is_some())
    }

    fn visible_pod(&self, id: &PathId) -> Option<(&App, &AppDef)> {
        let app = self.apps.get(id)?;
        Some((app, app.visible.as_deref().filter(|def| def.pod.is_some())?))
    }

    /// `GET /v2/pods`: the bare definitions.
    #[must_use]
    pub fn pods(&self) -> Answer {
        let views: Vec<PodView<'_>> = self.visible_pods().filter_map(|(_, def)| PodView::new(def)).collect();
        Answer::json(200, &views)
    }

    /// `GET /v2/pods/{id}`
    #[must_use]
    pub fn pod(&self, id: &PathId) -> Answer {
        match self.visible_pod(id).and_then(|(_, def)| PodView::new(def)) {
            Some(view) => Answer::json(200, &view),
            None => Answer::missing("Pod", id),
        }
    }

    /// `GET /v2/pods/::status`
    #[must_use]
    pub fn pod_statuses(&self) -> Answer {
        let found = self.visible_pods().filter_map(|(app, def)| self.pod_status_of(app, def));
        Answer::json(200, &found.collect::<Vec<_>>())
    }

    /// `GET /v2/pods/{id}::status`
    #[must_use]
    pub fn pod_status(&self, id: &PathId) -> Answer {
        match self.visible_pod(id).and_then(|(app, def)| self.pod_status_of(app, def)) {
            Some(status) => Answer::json(200, &status),
            None => Answer::missing("Pod", id),
        }
    }

    /// `GET /v2/pods/{id}::versions`
    #[must_use]
    pub fn pod_versions(&self, id: &PathId) -> Answer {
        let Some((app, _)) = self.visible_pod(id) else { return Answer::missing("Pod", id) };
        Answer::json(200, &app.history.iter().rev().map(|def| def.version).collect::<Vec<_>>())
    }

    /// `GET /v2/pods/{id}::versions/{version}`
    #[must_use]
    pub fn pod_version(&self, id: &PathId, version: &str) -> Answer {
        let Some((app, _)) = self.visible_pod(id) else { return Answer::missing("Pod", id) };
        let found = app.history.iter().find(|def| def.version.to_string() == version);
        match found.and_then(|def| PodView::new(def)) {
            Some(view) => Answer::json(200, &view),
            None => Answer::message(404, format!("Pod '{id}' does not exist in version {version}")),
        }
    }

    /// The pods of a group, as groups embed them.
    pub(in crate::cluster) fn pods_in(&self, group: &PathId) -> Vec<PodStatus<'_>> {
        let inside = self.visible_pods().filter(|(_, def)| def.id.parent() == *group);
        inside.filter_map(|(app, def)| self.pod_status_of(app, def)).collect()
    }

    fn pod_status_of<'a>(&'a self, app: &App, def: &'a AppDef) -> Option<PodStatus<'a>> {
        let spec = PodView::new(def)?;
        let instances: Vec<InstanceStatus<'_>> =
            self.instances_of(&def.id).filter_map(|found| self.pod_instance_status(found)).collect();
        let stable = instances.iter().filter(|found| found.status == "STABLE").count();
        let since = instances.iter().map(|found| found.status_since).max().unwrap_or(def.version);
        let status = match stable {
            _ if app.deleted => "TERMINAL",
            stable if stable >= def.instances as usize => "STABLE",
            _ => "DEGRADED",
        };
        Some(PodStatus {
            id: &def.id,
            spec,
            status,
            status_since: since,
            message: None,
            instances,
            termination_history: [],
            last_updated: self.now,
            last_changed: since,
        })
    }

    /// None while it waits for its first offer: such instances are not shown.
    pub(super) fn pod_instance_status<'a>(&'a self, found: &'a Instance) -> Option<InstanceStatus<'a>> {
        let (def, pod) = pod_of(&found.def)?;
        if found.condition == Condition::Scheduled {
            return None;
        }
        let agent = found.agent.and_then(|index| self.agents.get(index));
        let attribute = |name: &str| agent.and_then(|agent| agent.attributes.get(name)).map(String::as_str);
        let (status, message) = instance_word(found);
        let containers: Vec<ContainerStatus<'_>> = pod
            .containers
            .iter()
            .enumerate()
            .map(|(index, container)| self.container_status(found, index, container))
            .collect();
        let since = containers.iter().map(|container| container.last_changed).max().unwrap_or(found.since);
        let taken = pod.containers.iter().map(|container| container.resources);
        Some(InstanceStatus {
            id: &found.id,
            status,
            status_since: since,
            message,
            conditions: [],
            agent_hostname: agent.map(|agent| &*agent.host),
            agent_id: agent.map(|agent| &*agent.id),
            agent_region: attribute("region"),
            agent_zone: attribute("zone"),
            resources: sum(taken.chain([pod.executor_resources])),
            networks: networks(def, found),
            containers,
            spec_reference: format!("/v2/pods{}::versions/{}", def.id, def.version),
            local_volumes: [],
            last_updated: since,
            last_changed: since,
        })
    }

    fn container_status<'a>(
        &'a self,
        instance: &'a Instance,
        index: usize,
        container: &'a PodContainer,
    ) -> ContainerStatus<'a> {
        let task = instance.containers.get(index);
        let condition = task.map_or(instance.condition, |task| task.condition);
        let since = task.map_or(instance.since, |task| task.since);
        let health = self.container_health(instance, index, container);
        let (conditions, changed) = match &health {
            None => (Vec::new(), since),
            Some((health, at)) => {
                let changed = at.unwrap_or(since).max(since);
                (vec![condition_status(health, changed)], changed)
            }
        };
        let healthy = match health {
            Some((Health::Reported(healthy), _)) => Some(healthy),
            Some((Health::Unreported, _)) => Some(false),
            None => None,
        };
        let mut ports = instance
            .def
            .pod
            .as_ref()
            .map(|pod| pod.ports_of(index, &instance.host_ports))
            .unwrap_or_default()
            .iter();
        let endpoint = |endpoint: &'a Endpoint| EndpointStatus {
            name: &endpoint.name,
            allocated_host_port: endpoint.host_port.and_then(|_| ports.next().copied()),
            healthy,
        };
        ContainerStatus {
            name: &container.name,
            status: condition.task_state(),
            status_since: since,
            conditions,
            container_id: self.container_task_id(instance, index),
            endpoints: container.endpoints.iter().map(endpoint).collect(),
            resources: container.resources,
            last_updated: changed,
            last_changed: changed,
        }
    }

    /// What is known of a checked container, and since when.
    fn container_health(
        &self,
        instance: &Instance,
        index: usize,
        container: &PodContainer,
    ) -> Option<(Health, Option<Time>)> {
        container.health_check.as_ref()?;
        let check = instance.def.pod.as_ref()?.check_of_container(index)?;
        let Some(result) = instance.checks.get(check).and_then(|check| check.result.as_ref()) else {
            return Some((Health::Unreported, None));
        };
        let since = if result.alive { result.first_success } else { result.last_failure };
        Some(match result.first_success.or(result.last_failure) {
            None => (Health::Unreported, None),
            Some(_) => (Health::Reported(result.alive), since),
        })
    }
}

fn condition_status(health: &Health, at: Time) -> ConditionStatus {
    let (value, reason) = match health {
        Health::Reported(true) => ("true", "health-reported-by-mesos"),
        Health::Reported(false) => ("false", "health-reported-by-mesos"),
        Health::Unreported => ("false", "health-unreported-by-mesos"),
    };
    ConditionStatus { name: "healthy", value, reason, last_updated: at, last_changed: at }
}

/// Host networks have no name, and the agent's address.
fn networks<'a>(def: &'a Arc<AppDef>, found: &'a Instance) -> Vec<NetworkStatus<'a>> {
    let addresses = found.ip.iter().chain(&found.more_ips);
    let named = def.networks.iter().zip(addresses);
    let status = named.map(|(network, address)| NetworkStatus {
        name: network.name.as_deref().filter(|_| network.mode == NetworkMode::Container),
        addresses: [&address.ip_address],
    });
    status.collect()
}
