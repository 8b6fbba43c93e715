//! Definitions as versions before 1.5 write them: nulls instead of missing keys, ports and networks in several places.
//!
//! The order of the keys is that of the recordings: up to 1.1 the ports come in the middle, from 1.3 on last.

use crate::cluster::definition::{AppDef, HealthCheck, NetworkMode, PortMapping, StrategyJson};
use crate::profile::{AppShape, Bare, IpPerTask, Roles};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

/// A definition in the form of a version.
#[derive(Clone, Copy)]
pub(crate) struct AppJson<'a> {
    pub(crate) def: &'a AppDef,
    pub(crate) shape: &'a AppShape,
}

impl Serialize for AppJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.shape.canonical {
            return self.def.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        self.head(&mut map)?;
        // 1.3 is the version that brought `gpus` and moved the ports.
        if !self.shape.gpus {
            self.ports(&mut map)?;
        }
        self.middle(&mut map)?;
        if self.shape.gpus {
            self.ports(&mut map)?;
        }
        if self.shape.version_info {
            map.serialize_entry("versionInfo", &self.def.version_info)?;
        }
        map.end()
    }
}

impl AppJson<'_> {
    fn head<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (def, shape) = (self.def, self.shape);
        map.serialize_entry("id", &def.id)?;
        map.serialize_entry("cmd", &def.cmd)?;
        map.serialize_entry("args", &def.args)?;
        map.serialize_entry("user", &def.user)?;
        map.serialize_entry("env", &or_object(def.env.as_ref()))?;
        map.serialize_entry("instances", &def.instances)?;
        map.serialize_entry("cpus", &def.cpus)?;
        map.serialize_entry("mem", &def.mem)?;
        map.serialize_entry("disk", &def.disk)?;
        if shape.gpus {
            map.serialize_entry("gpus", &def.gpus)?;
        }
        map.serialize_entry("executor", &def.executor)?;
        map.serialize_entry("constraints", &or_array(def.constraints.as_ref()))?;
        let fetch = def.fetch.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let uris: Vec<&str> = fetch.iter().filter_map(|fetch| fetch.get("uri")?.as_str()).collect();
        map.serialize_entry("uris", &uris)?;
        if shape.fetch {
            map.serialize_entry("fetch", fetch)?;
        }
        map.serialize_entry("storeUrls", &[0_u8; 0])
    }

    fn middle<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (def, shape) = (self.def, self.shape);
        map.serialize_entry("backoffSeconds", &def.backoff_seconds)?;
        map.serialize_entry("backoffFactor", &def.backoff_factor)?;
        map.serialize_entry("maxLaunchDelaySeconds", &def.max_launch_delay_seconds)?;
        map.serialize_entry("container", &self.container())?;
        let checks: Vec<_> = def.health_checks.iter().map(|check| HealthCheckJson { check, shape }).collect();
        map.serialize_entry("healthChecks", &checks)?;
        if shape.readiness_checks {
            map.serialize_entry("readinessChecks", &or_array(def.readiness_checks.as_ref()))?;
        }
        map.serialize_entry("dependencies", &def.dependencies)?;
        map.serialize_entry("upgradeStrategy", &UpgradeJson(def))?;
        map.serialize_entry("labels", &def.labels)?;
        match (shape.roles, &def.accepted_resource_roles) {
            (Roles::Unknown, _) | (Roles::IfGiven, None) => {}
            (_, roles) => map.serialize_entry("acceptedResourceRoles", roles)?,
        }
        if shape.ip_per_task != IpPerTask::Unknown {
            map.serialize_entry("ipAddress", &self.ip_address())?;
        }
        map.serialize_entry("version", &def.version)?;
        if shape.fetch {
            map.serialize_entry("residency", &def.residency)?;
        }
        if shape.gpus {
            map.serialize_entry("secrets", &or_object(def.secrets.as_ref()))?;
            map.serialize_entry("taskKillGracePeriodSeconds", &def.task_kill_grace_period_seconds)?;
        }
        if shape.strategies {
            map.serialize_entry("unreachableStrategy", &StrategyJson(&def.unreachable_strategy))?;
            map.serialize_entry("killSelection", &def.kill_selection)?;
        }
        Ok(())
    }

    /// `ports` and `portDefinitions`, which repeat what is declared elsewhere.
    fn ports<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let (def, shape) = (self.def, self.shape);
        let own_address = def.mode() == NetworkMode::Container;
        if !(own_address && shape.strategies) {
            let ports = if own_address && !self.is_docker() { Vec::new() } else { def.service_ports() };
            map.serialize_entry("ports", &ports)?;
            if shape.fetch {
                map.serialize_entry("portDefinitions", &self.port_definitions(&ports))?;
            }
        }
        map.serialize_entry("requirePorts", &def.require_ports)
    }

    fn port_definitions(&self, ports: &[u16]) -> Vec<DefinitionJson<'_>> {
        match &self.def.port_definitions {
            Some(definitions) => definitions
                .iter()
                .map(|port| DefinitionJson {
                    port: port.port,
                    protocol: &port.protocol,
                    name: port.name.as_deref(),
                    labels: json!(port.labels),
                })
                .collect(),
            None => ports
                .iter()
                .map(|&port| DefinitionJson { port, protocol: "tcp", name: None, labels: json!({}) })
                .collect(),
        }
    }

    fn is_docker(&self) -> bool {
        self.def.container.as_ref().is_some_and(|container| container.docker.is_some())
    }

    fn container(&self) -> Option<ContainerJson<'_>> {
        let container = self.def.container.as_ref()?;
        let docker = container.docker.as_ref().and_then(Value::as_object);
        // A container that holds nothing but the ports of `ipAddress` was never posted.
        if docker.is_none() && container.volumes.is_empty() {
            return None;
        }
        let docker = docker.map(|docker| DockerJson { docker, app: *self });
        Some(ContainerJson { kind: &container.kind, volumes: &container.volumes, docker })
    }

    /// The addresses of tasks that have their own.
    fn ip_address(&self) -> Option<IpAddressJson<'_>> {
        let network = self.def.networks.first().filter(|network| network.mode == NetworkMode::Container)?;
        let mappings = if self.is_docker() { &[] } else { self.def.port_mappings() };
        let ports = mappings.iter().map(|mapping| DiscoveryPort {
            number: mapping.container_port,
            name: mapping.name.as_deref(),
            protocol: &mapping.protocol,
            labels: json!(mapping.labels),
        });
        Some(IpAddressJson {
            groups: [],
            labels: json!(network.labels),
            discovery: Discovery { ports: ports.collect() },
            network_name: network
                .name
                .as_deref()
                .filter(|name| self.shape.ip_per_task == IpPerTask::Named && *name != "default"),
        })
    }
}

fn or_array(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or_else(|| json!([]))
}

fn or_object(value: Option<&Value>) -> Value {
    value.cloned().unwrap_or_else(|| json!({}))
}

/// The older order of its two keys.
struct UpgradeJson<'a>(&'a AppDef);

impl Serialize for UpgradeJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let strategy = &self.0.upgrade_strategy;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("minimumHealthCapacity", &strategy.minimum_health_capacity)?;
        map.serialize_entry("maximumOverCapacity", &strategy.maximum_over_capacity)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct DefinitionJson<'a> {
    port: u16,
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    labels: Value,
}

#[derive(serde::Serialize)]
struct ContainerJson<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    volumes: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    docker: Option<DockerJson<'a>>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct IpAddressJson<'a> {
    groups: [u8; 0],
    labels: Value,
    discovery: Discovery<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_name: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct Discovery<'a> {
    ports: Vec<DiscoveryPort<'a>>,
}

#[derive(serde::Serialize)]
struct DiscoveryPort<'a> {
    number: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    protocol: &'a str,
    labels: Value,
}

/// `container.docker` with the network and the ports inside.
struct DockerJson<'a> {
    docker: &'a Map<String, Value>,
    app: AppJson<'a>,
}

impl Serialize for DockerJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 4] = ["image", "privileged", "parameters", "forcePullImage"];
        let mut map = serializer.serialize_map(None)?;
        if let Some(image) = self.docker.get(FIRST[0]) {
            map.serialize_entry(FIRST[0], image)?;
        }
        let network = match self.app.def.mode() {
            NetworkMode::Host => "HOST",
            NetworkMode::Bridge => "BRIDGE",
            NetworkMode::Container => "USER",
        };
        map.serialize_entry("network", network)?;
        let mappings = self.app.def.port_mappings();
        match self.app.shape.bare_mappings {
            Bare::Omitted if mappings.is_empty() => {}
            Bare::Null if mappings.is_empty() => map.serialize_entry("portMappings", &Value::Null)?,
            _ => {
                let named = self.app.shape.readiness_checks;
                let mappings: Vec<_> =
                    mappings.iter().map(|mapping| MappingJson { mapping, named }).collect();
                map.serialize_entry("portMappings", &mappings)?;
            }
        }
        for key in &FIRST[1..] {
            if let Some(value) = self.docker.get(*key) {
                map.serialize_entry(key, value)?;
            }
        }
        for (key, value) in self.docker.iter().filter(|(key, _)| !FIRST.contains(&key.as_str())) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct MappingJson<'a> {
    mapping: &'a PortMapping,
    /// Whether there are names and labels.
    named: bool,
}

impl Serialize for MappingJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mapping = self.mapping;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("containerPort", &mapping.container_port)?;
        if let Some(port) = mapping.host_port {
            map.serialize_entry("hostPort", &port)?;
        }
        map.serialize_entry("servicePort", &mapping.service_port)?;
        map.serialize_entry("protocol", &mapping.protocol)?;
        if self.named {
            if let Some(name) = &mapping.name {
                map.serialize_entry("name", name)?;
            }
            map.serialize_entry("labels", &mapping.labels)?;
        }
        map.end()
    }
}

/// A health check in the form of a version.
#[derive(Clone, Copy)]
pub(crate) struct HealthCheckJson<'a> {
    pub(crate) check: &'a HealthCheck,
    pub(crate) shape: &'a AppShape,
}

impl Serialize for HealthCheckJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (check, shape) = (self.check, self.shape);
        if shape.canonical {
            return check.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        // 1.4 writes the times first, versions before it the target.
        if shape.strategies {
            times(check, &mut map)?;
            target(check, &mut map)?;
        } else {
            target(check, &mut map)?;
            times(check, &mut map)?;
        }
        if let Some(command) = &check.command {
            map.serialize_entry("command", command)?;
        }
        map.serialize_entry("ignoreHttp1xx", &check.ignore_http1xx)?;
        if shape.strategies && check.protocol.starts_with("MESOS_") {
            map.serialize_entry("delaySeconds", &check.delay_seconds)?;
        }
        map.end()
    }
}

fn target<M: SerializeMap>(check: &HealthCheck, map: &mut M) -> Result<(), M::Error> {
    if let Some(path) = &check.path {
        map.serialize_entry("path", path)?;
    }
    map.serialize_entry("protocol", &check.protocol)?;
    match (check.port_index, check.port) {
        (Some(index), _) => map.serialize_entry("portIndex", &index),
        (None, Some(port)) => map.serialize_entry("port", &port),
        (None, None) => Ok(()),
    }
}

fn times<M: SerializeMap>(check: &HealthCheck, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("gracePeriodSeconds", &check.grace_period_seconds)?;
    map.serialize_entry("intervalSeconds", &check.interval_seconds)?;
    map.serialize_entry("timeoutSeconds", &check.timeout_seconds)?;
    map.serialize_entry("maxConsecutiveFailures", &check.max_consecutive_failures)
}
