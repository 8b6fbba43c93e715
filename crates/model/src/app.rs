//! Apps as one of ten Marathon generations defined them, brought to one form (spec/marathon.md section 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{AppId, DeploymentId, Timestamp};

/// A long-running service of one container per task.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Absolute id.
    pub id: AppId,
    /// The definition's version; unchanged definition means unchanged version. Absent in hand-written definitions.
    pub version: Option<Timestamp>,
    /// When anything but the number of instances last changed; absent before Marathon 0.11.
    pub last_config_change: Option<Timestamp>,
    /// Wanted instances; 0 is a suspended app, which still owns its service ports.
    pub instances: u32,
    /// Labels; values may be any text.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// How its tasks are reached.
    pub network: NetworkMode,
    /// Declared ports in order; the position is the port index.
    pub ports: Vec<PortDeclaration>,
    /// The declared port is also the required agent port.
    pub require_ports: bool,
    /// Health checks in order.
    pub health_checks: Vec<HealthCheck>,
    /// Readiness checks (at most one in practice).
    pub readiness_checks: Vec<ReadinessCheck>,
    /// Deployments that affect this app now.
    pub deployments: Vec<Deployment>,
    /// Time between SIGTERM and SIGKILL, if defined.
    pub kill_grace_seconds: Option<f64>,
}

impl App {
    /// Whether anybody decides about this app's tasks by checks.
    #[must_use]
    pub fn has_health_checks(&self) -> bool {
        !self.health_checks.is_empty()
    }
}

/// How the tasks of an app are reached (spec/marathon.md section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// The agent's own network.
    Host,
    /// Docker's bridge on the agent, reached through mapped host ports.
    Bridge,
    /// One or more container networks with an address per task; names are empty where the generation has none.
    Container {
        /// Names of the networks in the order of the definition.
        networks: Vec<Arc<str>>,
    },
    /// Address per task without port mappings (Marathon 0.14 to 1.4); ports come from `ipAddress.discovery`.
    IpPerTask {
        /// `ipAddress.networkName`, if any.
        network: Option<Arc<str>>,
    },
}

/// The protocols of one declared port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// Carries TCP.
    pub tcp: bool,
    /// Carries UDP.
    pub udp: bool,
}

impl Protocols {
    /// TCP alone, the default.
    pub const TCP: Self = Self { tcp: true, udp: false };

    /// Reads `tcp`, `udp` or `udp,tcp`; anything else counts as TCP, Marathon's default.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let has = |name| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(name));
        let (tcp, udp) = (has("tcp"), has("udp"));
        if tcp || udp { Self { tcp, udp } } else { Self::TCP }
    }
}

/// Whether and how a port is exposed on the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPort {
    /// Not exposed (container networks only).
    None,
    /// Any free port of the offer.
    Dynamic,
    /// Exactly this one.
    Fixed(u16),
}

impl HostPort {
    /// Whether the task's `ports` has an entry for it.
    #[must_use]
    pub fn is_exposed(self) -> bool {
        self != Self::None
    }
}

/// One declared port: a mapping if the app has mappings, else a port definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortDeclaration {
    /// Name, unique within the app.
    pub name: Option<Arc<str>>,
    /// One array element, one number, possibly both protocols.
    pub protocols: Protocols,
    /// The cluster-wide number; `None` where Marathon has not assigned one yet. Duplicates over apps are normal input.
    pub service_port: Option<u16>,
    /// The port inside the container; `None` without mapping, or 0 meaning "as the host port".
    pub container_port: Option<u16>,
    /// Exposure on the agent.
    pub host_port: HostPort,
    /// Labels of the port (`VIP_0` and so on).
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Which of several container networks it belongs to; empty means all.
    pub networks: Vec<Arc<str>>,
}

/// Who runs a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// `HTTP`, `HTTPS`, `TCP`: Marathon's leader; results are forgotten on a leader change.
    Marathon,
    /// `COMMAND`, `MESOS_*`: the agent; results survive a leader change.
    Mesos,
}

/// A health check's definition (spec/marathon.md section 3.4).
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Marathon's name of the protocol, upper case.
    pub protocol: Arc<str>,
    /// Who runs it.
    pub kind: HealthCheckKind,
    /// Path of HTTP checks.
    pub path: Option<Arc<str>>,
    /// Index of the declared port, unless `port` is given.
    pub port_index: Option<usize>,
    /// A fixed port.
    pub port: Option<u16>,
    /// Failures are ignored for this long after the start as long as there was no success; default 300.
    pub grace_seconds: f64,
    /// Default 60.
    pub interval_seconds: f64,
    /// Default 20.
    pub timeout_seconds: f64,
    /// Default 3; 0 never kills (Marathon) or kills at once (Mesos).
    pub max_consecutive_failures: u32,
}

/// A readiness check's definition (spec/marathon.md section 3.5).
#[derive(Debug, Clone, PartialEq)]
pub struct ReadinessCheck {
    /// Name.
    pub name: Arc<str>,
    /// Name of the port it asks.
    pub port_name: Option<Arc<str>>,
    /// Default 30.
    pub interval_seconds: f64,
    /// Default 10.
    pub timeout_seconds: f64,
}

/// A deployment that affects an app.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_read_leniently() {
        assert_eq!(Protocols::parse("tcp"), Protocols::TCP);
        assert_eq!(Protocols::parse("udp,tcp"), Protocols { tcp: true, udp: true });
        assert_eq!(Protocols::parse("UDP"), Protocols { tcp: false, udp: true });
        assert_eq!(Protocols::parse("sctp"), Protocols::TCP);
    }
}
