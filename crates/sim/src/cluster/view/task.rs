//! Tasks as each version writes them.

use super::super::Cluster;
use crate::cluster::health::CheckResult;
use crate::cluster::instance::{Condition, Instance, IpAddress};
use crate::cluster::path::PathId;
use crate::profile::TaskShape;
use crate::time::Time;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A task in the form of a version.
pub(in crate::cluster) struct TaskView<'a> {
    shape: &'a TaskShape,
    app_id: &'a PathId,
    health_check_results: Vec<ResultView<'a>>,
    host: &'a str,
    id: String,
    ip_addresses: &'a [IpAddress],
    ports: &'a [u16],
    service_ports: Vec<u16>,
    slave_id: &'a str,
    state: &'static str,
    staged_at: Option<Time>,
    started_at: Option<Time>,
    version: Time,
    /// Its agent's region and zone.
    domain: Option<(String, String)>,
    role: Option<&'a str>,
}

/// What one check found, about the task or the instance of this name.
struct ResultView<'a> {
    shape: &'a TaskShape,
    result: CheckResult,
    subject: String,
}

impl Cluster {
    /// The region and zone of an agent: one region, three zones.
    fn fault_domain(&self, agent: usize) -> Option<(String, String)> {
        self.agents.get(agent)?;
        Some(("eu".to_owned(), format!("eu-{}", agent % 3 + 1)))
    }

    pub(in crate::cluster) fn task_view<'a>(
        &'a self,
        task: &'a Instance,
        service_ports: bool,
    ) -> TaskView<'a> {
        let shape = &self.options.profile.tasks;
        let agent = task.agent.and_then(|index| self.agents.get(index));
        let results = task.checks.iter().filter_map(|check| check.shown(self.now));
        let inactive = task.condition == Condition::UnreachableInactive;
        let id = self.task_id(task);
        let subject = if shape.health_by_instance { &*task.id } else { &id };
        TaskView {
            shape,
            app_id: &task.app,
            health_check_results: results
                .map(|result| ResultView { shape, result, subject: subject.to_owned() })
                .collect(),
            host: agent.map_or("", |agent| &agent.host),
            ip_addresses: task.ip.as_slice(),
            ports: if inactive { &[] } else { &task.host_ports },
            service_ports: if service_ports { task.def.service_ports() } else { Vec::new() },
            slave_id: agent.map_or("", |agent| &agent.id),
            state: task.condition.task_state(),
            staged_at: task.staged_at,
            started_at: task.started_at.filter(|_| !inactive),
            version: task.def.version,
            domain: task.agent.filter(|_| shape.fault_domain).and_then(|index| self.fault_domain(index)),
            role: task.def.role.as_deref().filter(|_| shape.role),
            id,
        }
    }
}

impl Serialize for TaskView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.shape.schema_order {
            self.by_schema(&mut map)?;
        } else {
            self.by_hand(&mut map)?;
        }
        map.end()
    }
}

impl TaskView<'_> {
    /// 1.6 on: all lists, in the order of the schema.
    fn by_schema<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("appId", self.app_id)?;
        map.serialize_entry("healthCheckResults", &self.health_check_results)?;
        map.serialize_entry("host", self.host)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("ipAddresses", self.ip_addresses)?;
        map.serialize_entry("ports", self.ports)?;
        map.serialize_entry("servicePorts", &self.service_ports)?;
        map.serialize_entry("slaveId", self.slave_id)?;
        map.serialize_entry("state", self.state)?;
        optional(map, "stagedAt", self.staged_at.as_ref())?;
        optional(map, "startedAt", self.started_at.as_ref())?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("localVolumes", &[0_u8; 0])?;
        if let Some((region, zone)) = &self.domain {
            map.serialize_entry("region", region)?;
            map.serialize_entry("zone", zone)?;
        }
        optional(map, "role", self.role.as_ref())
    }

    /// Up to 1.5: empty lists are left out, and so is what the version does not know.
    fn by_hand<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let shape = self.shape;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("host", self.host)?;
        if shape.ip_addresses && !self.ip_addresses.is_empty() {
            map.serialize_entry("ipAddresses", self.ip_addresses)?;
        }
        if shape.state {
            map.serialize_entry("state", self.state)?;
        }
        map.serialize_entry("ports", self.ports)?;
        if shape.null_start {
            map.serialize_entry("startedAt", &self.started_at)?;
        } else {
            optional(map, "startedAt", self.started_at.as_ref())?;
        }
        optional(map, "stagedAt", self.staged_at.as_ref())?;
        map.serialize_entry("version", &self.version)?;
        if shape.slave_id {
            map.serialize_entry("slaveId", self.slave_id)?;
        }
        map.serialize_entry("appId", self.app_id)?;
        if !self.service_ports.is_empty() {
            map.serialize_entry("servicePorts", &self.service_ports)?;
        }
        if !self.health_check_results.is_empty() {
            map.serialize_entry("healthCheckResults", &self.health_check_results)?;
        }
        Ok(())
    }
}

impl Serialize for ResultView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (shape, result) = (self.shape, &self.result);
        let mut map = serializer.serialize_map(None)?;
        let time = |map: &mut S::SerializeMap, key: &str, time: Option<Time>| match time {
            None if !shape.null_times => Ok(()),
            time => map.serialize_entry(key, &time),
        };
        map.serialize_entry("alive", &result.alive)?;
        map.serialize_entry("consecutiveFailures", &result.consecutive_failures)?;
        time(&mut map, "firstSuccess", result.first_success)?;
        time(&mut map, "lastFailure", result.last_failure)?;
        time(&mut map, "lastSuccess", result.last_success)?;
        if !shape.health_by_instance {
            map.serialize_entry("taskId", &self.subject)?;
            return map.end();
        }
        match result.last_failure_cause {
            None if !shape.null_times => {}
            cause => map.serialize_entry("lastFailureCause", &cause)?,
        }
        map.serialize_entry("instanceId", &self.subject)?;
        map.end()
    }
}

fn optional<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}
