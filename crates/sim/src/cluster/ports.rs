//! Agents, their free ports and addresses, and the cluster's service ports.

use super::Cluster;
use super::definition::{AppDef, NetworkMode};
use super::instance::IpAddress;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) id: Arc<str>,
    pub(crate) host: Arc<str>,
    /// The address by which host-mode tasks are reported.
    pub(crate) address: Arc<str>,
    used: BTreeSet<u16>,
    /// No port of the range is free: searching again would be in vain.
    full: bool,
    /// The next number of a container's address.
    next_address: u32,
}

impl Agent {
    pub(crate) fn new(id: String, host: String, address: String) -> Agent {
        Agent {
            id: id.into(),
            host: host.into(),
            address: address.into(),
            used: BTreeSet::new(),
            full: false,
            next_address: 2,
        }
    }

    /// Takes the wanted ports, 0 being any within `range` from `start` on; all or none.
    fn take_ports(&mut self, wanted: &[u16], range: (u16, u16), start: u16) -> Option<Vec<u16>> {
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
        self.agents.push(Agent::new(id, host.clone(), host));
    }

    /// Picks an agent with the wanted ports free, beginning with a drawn one.
    pub(super) fn take_offer(&mut self, def: &AppDef) -> Option<(usize, Vec<u16>)> {
        let range = self.options.host_ports;
        // Real ports are found by the shell; here only the agent is chosen.
        let wanted = if self.options.task_sockets { Vec::new() } else { def.wanted_host_ports() };
        let excluded = self.excluded_agents(def);
        let first = self.rng.usize(..self.agents.len().max(1));
        let start = self.rng.u16(range.0..=range.1);
        let count = self.agents.len();
        (0..count).map(|step| (first + step) % count).filter(|index| !excluded.contains(index)).find_map(
            |index| {
                let ports = self.agents.get_mut(index)?.take_ports(&wanted, range, start)?;
                Some((index, ports))
            },
        )
    }

    /// `["hostname", "UNIQUE"]`: agents that have a task of the app. The other constraints are not simulated.
    fn excluded_agents(&self, def: &AppDef) -> BTreeSet<usize> {
        let unique = |constraint: &Value| {
            matches!(constraint[0].as_str(), Some("hostname" | "@hostname")) && constraint[1] == "UNIQUE"
        };
        let constraints = def.constraints.as_ref().and_then(Value::as_array);
        if !constraints.is_some_and(|constraints| constraints.iter().any(unique)) {
            return BTreeSet::new();
        }
        self.instances_of(&def.id).filter_map(|instance| instance.agent).collect()
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

    /// All service ports that apps own, suspended ones included.
    pub(super) fn used_service_ports(&self) -> BTreeSet<u16> {
        self.apps.values().flat_map(|app| app.def.service_ports()).collect()
    }

    /// Gives numbers to service ports that have none: the ones the app had before, else the lowest free ones.
    ///
    /// # Errors
    /// When the range is used up; says so.
    pub(super) fn assign_service_ports(
        &self,
        def: &mut AppDef,
        before: Option<&AppDef>,
        used: &mut BTreeSet<u16>,
    ) -> Result<(), &'static str> {
        let (low, high) = self.options.service_ports;
        let had = before.map(AppDef::service_ports).unwrap_or_default();
        let mut chosen = def.service_ports();
        for index in 0..chosen.len() {
            if chosen[index] != 0 {
                continue;
            }
            let kept = had.get(index).copied().filter(|port| *port != 0 && !chosen.contains(port));
            let Some(port) = kept.or_else(|| lowest_free(low, high, used, &chosen)) else {
                return Err("all service ports are in use");
            };
            chosen[index] = port;
        }
        used.extend(&chosen);
        set_service_ports(def, &chosen);
        Ok(())
    }
}

fn lowest_free(low: u16, high: u16, used: &BTreeSet<u16>, chosen: &[u16]) -> Option<u16> {
    // Walks the used ports in order instead of testing each number: a full cluster owns thousands.
    let mut candidate = low;
    for &port in used.range(low..=high) {
        while candidate < port {
            if !chosen.contains(&candidate) {
                return Some(candidate);
            }
            candidate += 1;
        }
        candidate = port.checked_add(1)?;
    }
    (candidate..=high).find(|port| !chosen.contains(port))
}

fn set_service_ports(def: &mut AppDef, ports: &[u16]) {
    if def.mode() == NetworkMode::Host {
        for (definition, port) in def.port_definitions.iter_mut().flatten().zip(ports) {
            definition.port = *port;
        }
    } else if let Some(mappings) =
        def.container.as_mut().and_then(|container| container.port_mappings.as_mut())
    {
        for (mapping, port) in mappings.iter_mut().zip(ports) {
            mapping.service_port = *port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_gap_is_found() {
        let used = BTreeSet::from([10, 11, 13]);
        assert_eq!(lowest_free(10, 20, &used, &[]), Some(12));
        assert_eq!(lowest_free(10, 20, &used, &[12]), Some(14));
        assert_eq!(lowest_free(10, 13, &used, &[12]), None);
        assert_eq!(lowest_free(65_535, 65_535, &BTreeSet::from([65_535]), &[]), None);
    }

    #[test]
    fn ports_are_taken_all_or_none() {
        let mut agent = Agent::new("S0".into(), "h".into(), "h".into());
        let first = agent.take_ports(&[0, 0], (1, 3), 3).expect("free");
        assert_eq!(first, vec![3, 1]);
        assert_eq!(agent.take_ports(&[0, 0], (1, 3), 1), None);
        assert_eq!(agent.take_ports(&[0], (1, 3), 1), Some(vec![2]));
        agent.release(&first);
        assert_eq!(agent.take_ports(&[3], (1, 3), 1), Some(vec![3]));
    }
}
