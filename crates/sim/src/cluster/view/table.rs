//! The text table of tasks, with what each version gets wrong in it (spec section 2.2).

use super::super::Cluster;
use crate::cluster::definition::{AppDef, Network};
use crate::cluster::instance::{Condition, Instance};
use crate::cluster::path::PathId;
use crate::profile::PlainTasks;
use std::fmt::Write as _;

impl Cluster {
    /// `GET /v2/tasks` and `GET /v2/apps/{id}/tasks` as text: one line for each app and service port.
    #[must_use]
    pub fn tasks_text(&self, only: Option<&PathId>, networks: &[String]) -> String {
        let plain = self.options.profile.tasks.plain;
        let mut text = String::new();
        for (_, def) in self.visible_apps().filter(|(_, def)| only.is_none_or(|only| *only == def.id)) {
            let running: Vec<&Instance> =
                self.tasks_of(&def.id).filter(|task| task.condition == Condition::Running).collect();
            let ports = def.service_ports();
            if ports.is_empty() {
                self.write_bare(&mut text, def, &running);
            }
            for (index, port) in ports.iter().enumerate() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{}\t{port}\t", def.id.flat());
                for task in &running {
                    if let Some(endpoint) = self.endpoint(task, index, networks, plain) {
                        let _ = write!(text, "{endpoint}\t");
                    }
                }
                text.push('\n');
            }
        }
        text
    }

    /// An app without ports: only hosts.
    fn write_bare(&self, text: &mut String, def: &AppDef, running: &[&Instance]) {
        let end = if self.options.profile.tasks.plain == PlainTasks::ZeroForMissing { ' ' } else { '\t' };
        let _ = write!(text, "{}\t \t", def.id.flat());
        for (_, host) in running.iter().filter_map(|task| self.agent_names(task)) {
            let _ = write!(text, "{host}{end}");
        }
        text.push('\n');
    }

    /// Where declared port `index` of a task is reached, as far as the version's table tells.
    pub(in crate::cluster) fn endpoint(
        &self,
        task: &Instance,
        index: usize,
        networks: &[String],
        plain: PlainTasks,
    ) -> Option<String> {
        let (_, host) = self.agent_names(task)?;
        if plain == PlainTasks::ZeroForMissing {
            let port = task.host_ports.get(index).copied().unwrap_or(0);
            return Some(format!("{host}:{port}"));
        }
        let mappings = task.def.port_mappings();
        let host_index = match mappings.get(index) {
            Some(mapping) if mapping.host_port.is_none() => {
                if plain == PlainTasks::ZeroForContainers {
                    return Some(format!("{host}:0"));
                }
                let named =
                    |network: &Network| network.name.as_ref().is_some_and(|name| networks.contains(name));
                let asked = networks.iter().any(|name| name == "*") || task.def.networks.iter().any(named);
                let address = task.ip.as_ref().filter(|_| asked)?;
                return Some(format!("{}:{}", address.ip_address, mapping.container_port));
            }
            Some(_) => mappings[..index].iter().filter(|mapping| mapping.host_port.is_some()).count(),
            None => index,
        };
        Some(format!("{host}:{}", task.host_ports.get(host_index)?))
    }
}
