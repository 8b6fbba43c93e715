//! How an app is reached, and its declared ports, in all generations (spec/marathon.md sections 3.1, 3.2, 5).

use mconn_model::{HostPort, NetworkMode, PortDeclaration, Protocols};
use serde::Deserialize;

use super::lenient::{List, Number, Object, Text, Texts};

/// The parts of an app that say how it is reached. The lifetimes are those of the body.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerDto<'a> {
    #[serde(borrow)]
    docker: Object<DockerDto<'a>>,
    #[serde(borrow)]
    port_mappings: List<Object<PortDto<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DockerDto<'a> {
    #[serde(borrow)]
    network: Text<'a>,
    #[serde(borrow)]
    port_mappings: List<Object<PortDto<'a>>>,
}

/// A mapping, a port definition, or a discovery port: they differ in which number they have.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PortDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    protocol: Text<'a>,
    container_port: Number,
    /// Absent or null is a value of its own.
    host_port: Number,
    service_port: Number,
    port: Number,
    number: Number,
    labels: Texts,
    #[serde(borrow)]
    network_names: List<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NetworkDto<'a> {
    #[serde(borrow)]
    mode: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct IpAddressDto<'a> {
    #[serde(borrow)]
    network_name: Text<'a>,
    #[serde(borrow)]
    discovery: Object<DiscoveryDto<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DiscoveryDto<'a> {
    #[serde(borrow)]
    ports: List<Object<PortDto<'a>>>,
}

/// Everything about networks that an app's document may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReachDto<'a> {
    #[serde(borrow)]
    container: Object<ContainerDto<'a>>,
    #[serde(borrow)]
    networks: List<Object<NetworkDto<'a>>>,
    #[serde(borrow)]
    ip_address: Object<IpAddressDto<'a>>,
    #[serde(borrow)]
    port_definitions: List<Object<PortDto<'a>>>,
    ports: List<Number>,
    require_ports: super::Flag,
}

type Ports<'a> = [Object<PortDto<'a>>];

impl ReachDto<'_> {
    pub(super) fn require_ports(&self) -> bool {
        self.require_ports.0.unwrap_or(false)
    }

    /// `container.portMappings` (1.5 and later) or `container.docker.portMappings`.
    fn mappings(&self) -> &Ports<'_> {
        let Some(container) = &self.container.0 else { return &[] };
        if !container.port_mappings.0.is_empty() {
            return &container.port_mappings.0;
        }
        container.docker.0.as_ref().map_or(&[], |docker| &docker.port_mappings.0)
    }

    fn docker_network(&self) -> Option<&str> {
        self.container.0.as_ref()?.docker.0.as_ref()?.network.get()
    }

    pub(super) fn network(&self) -> NetworkMode {
        if !self.networks.0.is_empty() {
            return network_mode(&self.networks);
        }
        let named = self.ip_address.0.as_ref().and_then(|ip| ip.network_name.shared());
        match self.docker_network() {
            Some("HOST") => NetworkMode::Host,
            Some("BRIDGE") => NetworkMode::Bridge,
            Some("USER") => NetworkMode::Container { networks: named.into_iter().collect() },
            _ if self.ip_address.0.is_some() && self.mappings().is_empty() => {
                NetworkMode::IpPerTask { network: named }
            }
            _ if self.ip_address.0.is_some() => {
                NetworkMode::Container { networks: named.into_iter().collect() }
            }
            // A definition as a user writes it: mappings make no sense on the agent's network.
            _ if !self.mappings().is_empty() => NetworkMode::Bridge,
            _ => NetworkMode::Host,
        }
    }

    /// Declared ports: the mappings if there are any, else the definitions (0.14 and later), else the plain numbers.
    pub(super) fn declared(&self, network: &NetworkMode) -> Vec<PortDeclaration> {
        if !self.mappings().is_empty() {
            return self.mappings().iter().map(|port| mapped(port.0.as_ref(), network)).collect();
        }
        if matches!(network, NetworkMode::IpPerTask { .. } | NetworkMode::Container { .. })
            && let Some(ip) = &self.ip_address.0
        {
            let ports = ip.discovery.0.as_ref().map_or(&[][..], |discovery| &discovery.ports.0);
            let service = |index| self.definition(index).and_then(|port| port.service_port);
            return (0..)
                .zip(ports)
                .map(|(index, port)| discovered(port.0.as_ref(), service(index)))
                .collect();
        }
        (0..).map_while(|index| self.definition(index)).collect()
    }

    /// The port definition at an index, from whichever list the generation fills.
    fn definition(&self, index: usize) -> Option<PortDeclaration> {
        let (number, dto) = if self.port_definitions.0.is_empty() {
            (self.ports.0.get(index)?, None)
        } else {
            let dto = self.port_definitions.0.get(index)?.0.as_ref();
            (dto.map_or(&Number::NONE, |dto| &dto.port), dto)
        };
        let service_port = number.port();
        let host_port = match service_port {
            Some(port) if self.require_ports() => HostPort::Fixed(port),
            _ => HostPort::Dynamic,
        };
        Some(PortDeclaration { service_port, host_port, ..common(dto) })
    }
}

/// The mode of 1.5's `networks`; mixed modes are invalid, so the first that says something decides.
pub(super) fn network_mode(networks: &List<Object<NetworkDto<'_>>>) -> NetworkMode {
    let each = || networks.0.iter().filter_map(|network| network.0.as_ref());
    match each().find_map(|network| network.mode.get()) {
        Some("host") => NetworkMode::Host,
        Some("container/bridge") => NetworkMode::Bridge,
        _ => {
            NetworkMode::Container { networks: each().filter_map(|network| network.name.shared()).collect() }
        }
    }
}

fn common(dto: Option<&PortDto<'_>>) -> PortDeclaration {
    let empty = PortDto::default();
    let dto = dto.unwrap_or(&empty);
    PortDeclaration {
        name: dto.name.shared(),
        protocols: dto.protocol.get().map_or(Protocols::TCP, Protocols::parse),
        service_port: None,
        container_port: None,
        host_port: HostPort::None,
        labels: dto.labels.0.clone(),
        networks: dto.network_names.0.iter().filter_map(Text::shared).collect(),
    }
}

/// In bridge mode an absent host port means any; on container networks it means none.
fn mapped(dto: Option<&PortDto<'_>>, network: &NetworkMode) -> PortDeclaration {
    let host_port = match dto.and_then(|dto| dto.host_port.whole::<u16>()) {
        Some(0) => HostPort::Dynamic,
        Some(port) => HostPort::Fixed(port),
        None if matches!(network, NetworkMode::Container { .. } | NetworkMode::IpPerTask { .. }) => {
            HostPort::None
        }
        None => HostPort::Dynamic,
    };
    PortDeclaration {
        service_port: dto.and_then(|dto| dto.service_port.port()),
        container_port: dto.and_then(|dto| dto.container_port.port()),
        host_port,
        ..common(dto)
    }
}

fn discovered(dto: Option<&PortDto<'_>>, service_port: Option<u16>) -> PortDeclaration {
    PortDeclaration { service_port, container_port: dto.and_then(|dto| dto.number.port()), ..common(dto) }
}
