//! The cluster's service ports.

use super::Cluster;
use super::definition::{AppDef, NetworkMode};
use std::collections::BTreeSet;

impl Cluster {
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
}
