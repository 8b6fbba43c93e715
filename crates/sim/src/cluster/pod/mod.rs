//! Pods: several containers that are scheduled together (spec/marathon.md 2.4 and 3.8).
//!
//! For everything but its containers a pod is what an app is: it shares the name space, deployments, offers, back-off,
//! kills and partitions. So it is an [`AppDef`](super::AppDef) with a [`PodSpec`] in it, and what is different is here:
//! `parse` reads it, `write` is the API's writes, `life` moves the single containers, `status` is what readers see.

mod life;
mod parse;
mod status;
mod write;

pub(super) use status::PodStatus;
pub(super) use write::PodWrite;

use super::definition::{AppDef, Network, Num};
use super::path::PathId;
use crate::time::Time;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a container, or the executor, takes of an agent. Nothing runs short of it here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resources {
    /// Shares of processors.
    pub cpus: Num,
    /// Memory, MiB.
    pub mem: Num,
    /// Disk, MiB.
    pub disk: Num,
    /// Graphics processors.
    pub gpus: Num,
}

/// A declared port of a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Unique in the pod.
    pub name: String,
    /// The port inside the container; absent or 0 is the host port's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// The port on the agent: absent is none, 0 any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// `tcp`, `udp` or both.
    pub protocol: Vec<String>,
    /// Labels of the port.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Which of several container networks it belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}

/// One container of a pod, in the order its fields are written in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are Marathon's, named as in its API reference")]
pub struct PodContainer {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Value>,
    pub resources: Resources,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Value>,
}

/// What a pod has and an app has not. Version and number of instances are those of the definition around it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are Marathon's, named as in its API reference")]
pub struct PodSpec {
    pub labels: BTreeMap<String, String>,
    pub user: Option<String>,
    pub environment: Option<Value>,
    pub containers: Vec<PodContainer>,
    pub secrets: Option<Value>,
    pub volumes: Option<Value>,
    pub scheduling: Value,
    pub executor_resources: Resources,
}

impl PodSpec {
    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.containers.iter().flat_map(|container| &container.endpoints)
    }

    pub(super) fn wanted_host_ports(&self) -> Vec<u16> {
        self.endpoints().filter_map(|endpoint| endpoint.host_port).collect()
    }

    /// Which of an instance's host ports belong to a container.
    pub(super) fn ports_of<'a>(&self, container: usize, ports: &'a [u16]) -> &'a [u16] {
        let count =
            |found: &PodContainer| found.endpoints.iter().filter(|port| port.host_port.is_some()).count();
        let before: usize = self.containers.iter().take(container).map(count).sum();
        let own = self.containers.get(container).map_or(0, count);
        ports.get(before..before + own).unwrap_or_default()
    }

    /// The index of the container that the pod's health check `check` belongs to.
    pub(super) fn container_of_check(&self, check: usize) -> Option<usize> {
        let checked = self.containers.iter().enumerate().filter(|(_, found)| found.health_check.is_some());
        checked.map(|(index, _)| index).nth(check)
    }

    /// The index of the check of a container.
    pub(super) fn check_of_container(&self, container: usize) -> Option<usize> {
        self.containers.get(container)?.health_check.as_ref()?;
        Some(self.containers.iter().take(container).filter(|found| found.health_check.is_some()).count())
    }
}

/// A definition as `/v2/pods` writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodView<'a> {
    id: &'a PathId,
    labels: &'a BTreeMap<String, String>,
    version: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    environment: Value,
    containers: &'a [PodContainer],
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<&'a Value>,
    networks: &'a [Network],
    scaling: Value,
    scheduling: &'a Value,
    executor_resources: Value,
}

impl<'a> PodView<'a> {
    /// None if this is the definition of an app.
    pub(super) fn new(def: &'a AppDef) -> Option<PodView<'a>> {
        let pod = def.pod.as_ref()?;
        Some(PodView {
            id: &def.id,
            labels: &pod.labels,
            version: def.version,
            user: pod.user.as_deref(),
            environment: pod.environment.clone().unwrap_or_else(|| json!({})),
            containers: &pod.containers,
            secrets: pod.secrets.as_ref(),
            volumes: pod.volumes.as_ref(),
            networks: &def.networks,
            scaling: json!({ "kind": "fixed", "instances": def.instances }),
            scheduling: &pod.scheduling,
            // Executors have no graphics processors, not even none.
            executor_resources: json!({ "cpus": pod.executor_resources.cpus, "mem": pod.executor_resources.mem,
                "disk": pod.executor_resources.disk }),
        })
    }
}

/// The definition and what it has of a pod; none for apps.
fn pod_of(def: &Arc<AppDef>) -> Option<(&Arc<AppDef>, &PodSpec)> {
    Some((def, def.pod.as_deref()?))
}
