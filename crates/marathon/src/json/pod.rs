//! Pods: definitions and their status (spec/marathon.md sections 2.4 and 3.8).

use mconn_model::{
    AgentId, InstanceId, Pod, PodContainer, PodEndpoint, PodInstance, Protocols, TaskId, TaskStatus,
    Timestamp,
};
use serde::Deserialize;

use super::app::{app_id, timestamp};
use super::lenient::{Flag, List, Number, Object, RawList, Text, Texts};
use super::network::{NetworkDto, network_mode};
use super::{Notes, object};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    spec: Object<DefinitionDto<'a>>,
    #[serde(borrow)]
    instances: RawList<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DefinitionDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    labels: Texts,
    #[serde(borrow)]
    networks: List<Object<NetworkDto<'a>>>,
    scaling: Object<ScalingDto>,
    #[serde(borrow)]
    containers: List<Object<ContainerDto<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ScalingDto {
    instances: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    endpoints: List<Object<EndpointDto<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    container_port: Number,
    #[serde(borrow)]
    protocol: List<Text<'a>>,
    labels: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct InstanceDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    agent_hostname: Text<'a>,
    #[serde(borrow)]
    agent_id: Text<'a>,
    /// `/v2/pods/web::versions/2026-01-05T10:00:00.000Z`
    #[serde(borrow)]
    spec_reference: Text<'a>,
    #[serde(borrow)]
    networks: List<Object<AddressesDto<'a>>>,
    #[serde(borrow)]
    containers: RawList<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AddressesDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    addresses: List<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatusDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    status_since: Text<'a>,
    #[serde(borrow)]
    container_id: Text<'a>,
    #[serde(borrow)]
    conditions: List<Object<ConditionDto<'a>>>,
    #[serde(borrow)]
    endpoints: List<Object<EndpointStatusDto<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConditionDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    value: Flag,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointStatusDto<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    allocated_host_port: Number,
    healthy: Flag,
}

/// Decodes one pod: a status (which embeds the definition as `spec`) or a bare definition.
///
/// # Errors
/// A text, when it is no object or has no usable id.
pub(super) fn decode_pod(raw: &str, base: &str, place: &str, notes: &mut Notes) -> Result<Pod, String> {
    let status: StatusDto<'_> = object(raw)?;
    let definition = match status.spec.0 {
        Some(spec) => spec,
        None => object(raw)?,
    };
    let id = app_id(if status.id.get().is_some() { &status.id } else { &definition.id }, base)?;
    let place = format!("{place} {id}: instances");
    let containers = || definition.containers.0.iter().filter_map(|container| container.0.as_ref());
    Ok(Pod {
        version: timestamp(&definition.version),
        instances: definition.scaling.0.as_ref().and_then(|scaling| scaling.instances.whole()).unwrap_or(1),
        network: network_mode(&definition.networks),
        endpoints: containers().flat_map(endpoints).collect(),
        running: notes.each(&place, &status.instances, instance),
        labels: definition.labels.0,
        id,
    })
}

fn endpoints<'c>(container: &'c ContainerDto<'_>) -> impl Iterator<Item = PodEndpoint> + 'c {
    let of = container.name.shared().unwrap_or_default();
    container.endpoints.0.iter().filter_map(|endpoint| endpoint.0.as_ref()).map(move |endpoint| {
        let protocols: Vec<&str> = endpoint.protocol.0.iter().filter_map(Text::get).collect();
        PodEndpoint {
            container: of.clone(),
            name: endpoint.name.shared().unwrap_or_default(),
            container_port: endpoint.container_port.port(),
            protocols: Protocols::parse(&protocols.join(",")),
            labels: endpoint.labels.0.clone(),
        }
    })
}

fn instance(raw: &str, place: &str, notes: &mut Notes) -> Result<PodInstance, String> {
    let dto: InstanceDto<'_> = object(raw)?;
    let id = InstanceId::new(dto.id.get().unwrap_or_default()).map_err(|error| error.to_string())?;
    let networks = dto.networks.0.iter().filter_map(|network| network.0.as_ref());
    Ok(PodInstance {
        id,
        host: dto.agent_hostname.shared(),
        agent: dto.agent_id.get().and_then(|id| AgentId::new(id).ok()),
        version: dto
            .spec_reference
            .get()
            .and_then(|path| Timestamp::parse(path.split_once("::versions/")?.1)),
        addresses: networks
            .flat_map(|network| {
                let addresses = network.addresses.0.iter().filter_map(|address| address.get()?.parse().ok());
                addresses.map(|address| (network.name.shared(), address))
            })
            .collect(),
        containers: notes.each(&format!("{place}: containers"), &dto.containers, |raw, _, _| container(raw)),
    })
}

fn container(raw: &str) -> Result<PodContainer, String> {
    let dto: ContainerStatusDto<'_> = object(raw)?;
    let task = TaskId::new(dto.container_id.get().unwrap_or_default()).map_err(|error| error.to_string())?;
    let endpoints = || dto.endpoints.0.iter().filter_map(|endpoint| endpoint.0.as_ref());
    let conditions = || dto.conditions.0.iter().filter_map(|condition| condition.0.as_ref());
    // The condition speaks for the whole container; without it the endpoints do, all of which must be healthy.
    let by_condition =
        conditions().find(|condition| condition.name.get() == Some("healthy")).map(|c| c.value);
    let by_endpoints =
        || endpoints().filter_map(|endpoint| endpoint.healthy.0).reduce(|all, healthy| all && healthy);
    Ok(PodContainer {
        name: dto.name.shared().unwrap_or_default(),
        task,
        status: TaskStatus::parse(dto.status.get().unwrap_or("TASK_STAGING")),
        since: timestamp(&dto.status_since),
        healthy: by_condition.and_then(|value| value.0).or_else(by_endpoints),
        host_ports: endpoints()
            .filter_map(|endpoint| Some((endpoint.name.shared()?, endpoint.allocated_host_port.port()?)))
            .collect(),
    })
}
