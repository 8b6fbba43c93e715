//! Pods: several containers scheduled together (Marathon 1.4 and later; spec/marathon.md sections 2.4 and 3.8).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{AgentId, AppId, InstanceId, NetworkMode, Protocols, TaskId, TaskStatus, Timestamp};

/// A pod with its running instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// Absolute id, in one name space with apps.
    pub id: AppId,
    /// Version of the definition.
    pub version: Option<Timestamp>,
    /// Labels of the pod itself.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Wanted instances.
    pub instances: u32,
    /// How its containers are reached.
    pub network: NetworkMode,
    /// Declared endpoints of all containers, in order.
    pub endpoints: Vec<PodEndpoint>,
    /// What runs.
    pub running: Vec<PodInstance>,
}

/// One declared endpoint of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEndpoint {
    /// The container that declares it.
    pub container: Arc<str>,
    /// Its name, unique within the pod.
    pub name: Arc<str>,
    /// The port inside the container.
    pub container_port: Option<u16>,
    /// Protocols.
    pub protocols: Protocols,
    /// Labels of the endpoint.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

/// One instance of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct PodInstance {
    /// Its id.
    pub id: InstanceId,
    /// The agent's host name, once placed.
    pub host: Option<Arc<str>>,
    /// The agent, once placed.
    pub agent: Option<AgentId>,
    /// The definition's version that it runs.
    pub version: Option<Timestamp>,
    /// Addresses by network name; the pod status, unlike a task, names the network.
    pub addresses: Vec<(Option<Arc<str>>, IpAddr)>,
    /// Containers.
    pub containers: Vec<PodContainer>,
}

/// One container (a Mesos task) of a pod instance.
#[derive(Debug, Clone, PartialEq)]
pub struct PodContainer {
    /// Name in the definition.
    pub name: Arc<str>,
    /// The Mesos task.
    pub task: TaskId,
    /// Mesos state.
    pub status: TaskStatus,
    /// When that state was entered.
    pub since: Option<Timestamp>,
    /// `None` without health check; `Some(false)` until the first report.
    pub healthy: Option<bool>,
    /// Allocated host ports by endpoint name.
    pub host_ports: Vec<(Arc<str>, u16)>,
}
