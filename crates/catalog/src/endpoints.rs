//! Where the declared ports of a task are reached (spec/marathon.md section 5), over all generations and network modes.
//!
//! A port that cannot be resolved is skipped and explained; it never takes its app's other ports with it.

use std::net::IpAddr;
use std::sync::Arc;

use mconn_model::{
    App, AppTask, HostPort, IpAddress, NetworkMode, Pod, PodContainer, PodInstance, Protocols, Transport,
};

/// A declared port with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reached {
    pub(crate) index: usize,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) service_port: Option<u16>,
    pub(crate) protocols: Protocols,
    pub(crate) transport: Transport,
}

/// All that could and could not be resolved for a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Resolved {
    pub(crate) reached: Vec<Reached>,
    pub(crate) unresolved: Vec<Arc<str>>,
    /// Whether the task itself has an address, even without ports (DNS still has a use for it).
    pub(crate) has_address: bool,
}

/// What a pod's status says about one container and a task event does not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodPlace {
    container: Arc<str>,
    host_ports: Vec<(Arc<str>, u16)>,
    addresses: Vec<(Option<Arc<str>>, IpAddr)>,
}

impl PodPlace {
    pub(crate) fn new(instance: &PodInstance, container: &PodContainer) -> Self {
        Self {
            container: container.name.clone(),
            host_ports: container.host_ports.clone(),
            addresses: instance.addresses.clone(),
        }
    }
}

/// Resolves the ports of an app's task.
pub(crate) fn of_app(app: &App, task: &AppTask) -> Resolved {
    let mut out = Resolved::default();
    let exposed = |index: usize| match app.network {
        NetworkMode::Host => true,
        NetworkMode::IpPerTask { .. } => false,
        NetworkMode::Bridge | NetworkMode::Container { .. } => app.ports[index].host_port.is_exposed(),
    };
    let on_agent_alone = matches!(app.network, NetworkMode::Host | NetworkMode::Bridge);
    let container = if on_agent_alone { None } else { pick(&task.addresses) };
    let mut host_index = 0;
    for (index, port) in app.ports.iter().enumerate() {
        let place = if exposed(index) {
            let number = task.ports.get(host_index).copied();
            host_index += 1;
            on_host(task.host.as_ref(), number)
        } else if on_agent_alone {
            Err("is not exposed on the agent")
        } else {
            in_container(container, port.container_port)
        };
        match place {
            Ok(transport) => out.reached.push(Reached {
                index,
                name: port.name.clone(),
                service_port: port.service_port,
                protocols: port.protocols,
                transport,
            }),
            Err(why) => out.unresolved.push(explain(index, port.name.as_deref(), port.host_port, why)),
        }
    }
    if task.ports.len() > host_index {
        let text = format!("the task has {} host ports, {host_index} are declared", task.ports.len());
        out.unresolved.push(text.into());
    }
    // Without ports, or with ports that fail for another reason, the task still has the address of its network.
    out.has_address =
        if on_agent_alone { task.host.is_some() } else { container.is_some() || !out.reached.is_empty() };
    out
}

/// Resolves the endpoints of one container of a pod.
pub(crate) fn of_pod(pod: &Pod, place: Option<&PodPlace>, task: &AppTask) -> Resolved {
    let mut out = Resolved::default();
    let Some(place) = place else {
        out.unresolved.push("the pod's status has not been read since this container appeared".into());
        return out;
    };
    let container = match &pod.network {
        NetworkMode::Host | NetworkMode::Bridge => None,
        NetworkMode::Container { networks } => {
            pick_named(&place.addresses, networks.first(), &task.addresses)
        }
        NetworkMode::IpPerTask { network } => pick_named(&place.addresses, network.as_ref(), &task.addresses),
    };
    let mut declared = 0;
    for (index, endpoint) in pod.endpoints.iter().enumerate().filter(|(_, e)| e.container == place.container)
    {
        declared += 1;
        let allocated =
            place.host_ports.iter().find(|(name, _)| *name == endpoint.name).map(|(_, port)| *port);
        let transport = match (allocated, &pod.network) {
            (Some(port), _) => on_host(task.host.as_ref(), Some(port)),
            (None, NetworkMode::Host | NetworkMode::Bridge) => Err("has no host port"),
            (None, _) => in_container(container, endpoint.container_port),
        };
        match transport {
            Ok(transport) => out.reached.push(Reached {
                index,
                name: Some(endpoint.name.clone()),
                service_port: None,
                protocols: endpoint.protocols,
                transport,
            }),
            Err(why) => out.unresolved.push(explain(index, Some(&endpoint.name), HostPort::Dynamic, why)),
        }
    }
    out.has_address =
        !out.reached.is_empty() || container.is_some() || (declared == 0 && task.host.is_some());
    out
}

fn on_host(host: Option<&Arc<str>>, port: Option<u16>) -> Result<Transport, &'static str> {
    let host = host.ok_or("has no agent yet")?;
    match port {
        None => Err("has no host port"),
        Some(0) => Err("has host port 0"),
        Some(port) => Ok(Transport::Host { host: host.clone(), port }),
    }
}

fn in_container(address: Option<IpAddr>, port: Option<u16>) -> Result<Transport, &'static str> {
    let address = address.ok_or("has no container address yet")?;
    match port {
        None | Some(0) => Err("has no known container port"),
        Some(port) => Ok(Transport::Container { address, port }),
    }
}

/// The first IPv4 address, else the first. Marathon takes the first of all, but which family comes first is chance.
fn pick(addresses: &[IpAddress]) -> Option<IpAddr> {
    let mut all = addresses.iter().map(|address| address.0);
    all.clone().find(IpAddr::is_ipv4).or_else(|| all.next())
}

/// As [`pick`], from the pod's own network if its addresses are named.
fn pick_named(
    named: &[(Option<Arc<str>>, IpAddr)],
    network: Option<&Arc<str>>,
    unnamed: &[IpAddress],
) -> Option<IpAddr> {
    let of = |wanted: Option<&Arc<str>>| -> Vec<IpAddress> {
        let fits = |name: &Option<Arc<str>>| wanted.is_none() || name.as_ref() == wanted;
        named.iter().filter(|(name, _)| fits(name)).map(|(_, address)| IpAddress(*address)).collect()
    };
    pick(&of(network)).or_else(|| pick(&of(None))).or_else(|| pick(unnamed))
}

fn explain(index: usize, name: Option<&str>, host_port: HostPort, why: &str) -> Arc<str> {
    let mut text = format!("port {index}");
    if let Some(name) = name {
        text.push_str(&format!(" ({name})"));
    }
    if let HostPort::Fixed(port) = host_port {
        text.push_str(&format!(" with host port {port}"));
    }
    format!("{text} {why}").into()
}
