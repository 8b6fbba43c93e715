//! An app's definition in the canonical form of 1.5 and later. The order of the fields is the order they are written in.

use super::path::PathId;
use super::pod::PodSpec;
use crate::time::Time;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A number that is written as an integer when it is one, as Marathon does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Num(pub f64);

impl Serialize for Num {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^53: beyond it a double is no exact integer.
        if self.0.fract() == 0.0 && self.0.abs() < 9_007_199_254_740_992.0 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// How the tasks of an app are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NetworkMode {
    /// On the agent's own address.
    #[serde(rename = "host")]
    Host,
    /// Behind the agent's bridge.
    #[serde(rename = "container/bridge")]
    Bridge,
    /// On an address of their own.
    #[serde(rename = "container")]
    Container,
}

/// One network of an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// The container network's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How tasks are reached.
    pub mode: NetworkMode,
    /// Labels of the network.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A declared port of a container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port inside the container; 0 is the host port's number.
    pub container_port: u16,
    /// The port on the agent: absent is none, 0 any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Labels of the port.
    pub labels: BTreeMap<String, String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// The port for load balancers.
    pub service_port: u16,
    /// Which of several container networks it belongs to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}

/// A declared port of an app on the host's network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PortDefinition {
    /// Labels of the port.
    pub labels: BTreeMap<String, String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The service port, and with `requirePorts` the host port too.
    pub port: u16,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
}

/// The container of an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// `DOCKER` or `MESOS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The image and its switches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Value>,
    /// The volumes, as posted.
    pub volumes: Vec<Value>,
    /// The declared ports; only in the container modes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_mappings: Option<Vec<PortMapping>>,
}

/// One health check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Failures within this time after the start do not count until there was a success.
    pub grace_period_seconds: u32,
    /// Whether 1xx answers are ignored.
    pub ignore_http1xx: bool,
    /// The time between probes.
    pub interval_seconds: u32,
    /// The count of failures after which the next one kills.
    pub max_consecutive_failures: u32,
    /// The path of an HTTP probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A fixed port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The index of a declared port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_index: Option<u32>,
    /// `HTTP`, `TCP`, `MESOS_HTTP`, `COMMAND`, ...
    pub protocol: String,
    /// `IPv4` or `IPv6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    /// When a probe is given up.
    pub timeout_seconds: u32,
    /// When Mesos begins to probe.
    pub delay_seconds: u32,
    /// The command of a `COMMAND` check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Value>,
}

impl HealthCheck {
    /// Whether Marathon itself probes, so that results die with the leader.
    #[must_use]
    pub fn by_marathon(&self) -> bool {
        matches!(self.protocol.as_str(), "HTTP" | "HTTPS" | "TCP")
    }
}

/// How far an update may go below and above the wanted number of instances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// The share that may be there on top.
    pub maximum_over_capacity: Num,
    /// The share that has to stay healthy.
    pub minimum_health_capacity: Num,
}

/// When an app was last scaled and last changed otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// The version of the last change of `instances`.
    pub last_scaling_at: Time,
    /// The version of the last change of anything else: tasks from before it are outdated.
    pub last_config_change_at: Time,
}

/// An app as `/v2/apps` writes it, without runtime data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are Marathon's, named and ordered as in its API reference")]
pub struct AppDef {
    pub id: PathId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_resource_roles: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    pub backoff_factor: Num,
    pub backoff_seconds: Num,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    pub cpus: Num,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<PathId>,
    pub disk: Num,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Value>,
    pub executor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_resources: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    pub instances: u32,
    pub labels: BTreeMap<String, String>,
    pub max_launch_delay_seconds: Num,
    pub mem: Num,
    pub gpus: Num,
    pub networks: Vec<Network>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_definitions: Option<Vec<PortDefinition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_checks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Value>,
    pub require_ports: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_kill_grace_period_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<Value>,
    pub upgrade_strategy: UpgradeStrategy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub version: Time,
    pub version_info: VersionInfo,
    pub kill_selection: String,
    #[serde(serialize_with = "write_strategy")]
    pub unreachable_strategy: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<Value>,
    /// The containers, when this is no app but a pod: all else is what the two have in common.
    #[serde(skip)]
    pub pod: Option<Arc<PodSpec>>,
}

/// `unreachableStrategy` in Marathon's order; what else somebody has put into it is not written.
pub(crate) struct StrategyJson<'a>(pub(crate) &'a Value);

impl Serialize for StrategyJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(strategy) = self.0.as_object() else { return self.0.serialize(serializer) };
        let mut map = serializer.serialize_map(None)?;
        for key in ["inactiveAfterSeconds", "expungeAfterSeconds"] {
            if let Some(seconds) = strategy.get(key) {
                map.serialize_entry(key, seconds)?;
            }
        }
        map.end()
    }
}

fn write_strategy<S: Serializer>(strategy: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    StrategyJson(strategy).serialize(serializer)
}

impl AppDef {
    /// The mode all networks of the app share.
    #[must_use]
    pub fn mode(&self) -> NetworkMode {
        self.networks.first().map_or(NetworkMode::Host, |network| network.mode)
    }

    /// The container's declared ports.
    #[must_use]
    pub fn port_mappings(&self) -> &[PortMapping] {
        self.container.as_ref().and_then(|container| container.port_mappings.as_deref()).unwrap_or_default()
    }

    /// The service ports in the order of declaration.
    #[must_use]
    pub fn service_ports(&self) -> Vec<u16> {
        match self.mode() {
            NetworkMode::Host => self.port_definitions.iter().flatten().map(|port| port.port).collect(),
            _ => self.port_mappings().iter().map(|port| port.service_port).collect(),
        }
    }

    /// What has to be free at an agent, in the order of declaration: 0 is any port, another number that port.
    #[must_use]
    pub fn wanted_host_ports(&self) -> Vec<u16> {
        if let Some(pod) = &self.pod {
            return pod.wanted_host_ports();
        }
        match self.mode() {
            NetworkMode::Host => {
                let wanted = |port: &PortDefinition| if self.require_ports { port.port } else { 0 };
                self.port_definitions.iter().flatten().map(wanted).collect()
            }
            _ => self.port_mappings().iter().filter_map(|port| port.host_port).collect(),
        }
    }

    /// Whether there is a readiness check.
    #[must_use]
    pub fn has_readiness_check(&self) -> bool {
        matches!(&self.readiness_checks, Some(Value::Array(checks)) if !checks.is_empty())
    }

    /// Whether the two differ in more than version and number of instances: tasks have to be replaced.
    #[must_use]
    pub fn differs_in_config(&self, other: &AppDef) -> bool {
        let mut aligned = other.clone();
        aligned.instances = self.instances;
        aligned.version = self.version;
        aligned.version_info = self.version_info;
        *self != aligned
    }

    /// `unreachableStrategy` as (inactive after, expunge after) in seconds; none when it is disabled.
    #[must_use]
    pub fn unreachable_after(&self) -> Option<(u64, u64)> {
        let strategy = self.unreachable_strategy.as_object()?;
        let seconds = |key: &str| strategy.get(key).and_then(Value::as_u64).unwrap_or(0);
        Some((seconds("inactiveAfterSeconds"), seconds("expungeAfterSeconds")))
    }
}
