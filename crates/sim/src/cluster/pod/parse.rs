//! From a posted pod to its definition, or to the answer that says what is wrong with it.

use super::{Endpoint, PodContainer, PodSpec, Resources};
use crate::cluster::answer::Answer;
use crate::cluster::definition::{AppDef, NetworkMode, Num};
use crate::cluster::fields::{Fault, Fields};
use crate::cluster::parse::{self, each};
use crate::cluster::path::PathId;
use crate::profile::Profile;
use crate::time::Time;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Containers in one pod, and ports of each; many times what is in use.
const CONTAINERS_MAX: usize = 64;
const ENDPOINTS_MAX: usize = 64;

/// Reads a whole pod; `id` wins over what the body says.
pub(super) fn definition(
    body: &Map<String, Value>,
    id: &PathId,
    version: Time,
    profile: &Profile,
) -> Result<AppDef, Answer> {
    let mut faults = Vec::new();
    let mut fields = Fields::new(body, "", &mut faults);
    let networks = parse::networks(&mut fields);
    let mode = networks.first().map_or(NetworkMode::Host, |network| network.mode);
    let scheduling = scheduling(&mut fields, profile);
    let spec = PodSpec {
        labels: fields.strings("labels").unwrap_or_default(),
        user: fields.string("user"),
        environment: fields.opaque_object("environment"),
        containers: containers(&mut fields),
        secrets: fields.opaque_object("secrets"),
        volumes: fields.opaque_array("volumes"),
        scheduling,
        executor_resources: resources(&mut fields, "executorResources", (0.1, 32.0, 10.0)),
    };
    let instances = scaling(&mut fields);
    if !faults.is_empty() {
        return Err(Answer::invalid_json(faults));
    }
    let broken = validate(&spec);
    if !broken.is_empty() {
        return Err(Answer::invalid_object(broken));
    }
    // What pods and apps have in common is read, defaulted and validated once.
    let common = common(&spec, body.get("networks"), mode, instances);
    let mut def = parse::definition(common, id, version, profile)?;
    def.networks = if networks.is_empty() { def.networks } else { networks };
    def.pod = Some(Arc::new(spec));
    Ok(def)
}

fn scaling(fields: &mut Fields<'_>) -> Value {
    let Some(scaling) = fields.object("scaling") else { return json!(1) };
    scaling.get("instances").cloned().unwrap_or_else(|| json!(1))
}

/// The pod as if it were an app, without ports of its own.
fn common(
    spec: &PodSpec,
    networks: Option<&Value>,
    mode: NetworkMode,
    instances: Value,
) -> Map<String, Value> {
    let backoff = &spec.scheduling["backoff"];
    let ports = if mode == NetworkMode::Host { "portDefinitions" } else { "container" };
    let none =
        if mode == NetworkMode::Host { json!([]) } else { json!({ "type": "MESOS", "portMappings": [] }) };
    let grace =
        |container: &PodContainer| container.lifecycle.as_ref()?.get("killGracePeriodSeconds")?.as_u64();
    let persistent = |volume: &Value| volume.get("persistent").is_some();
    let resident =
        spec.volumes.as_ref().and_then(Value::as_array).is_some_and(|all| all.iter().any(persistent));
    let entries = [
        ("cmd", json!("pod")),
        ("instances", instances),
        ("networks", networks.cloned().unwrap_or(Value::Null)),
        (ports, none),
        ("backoffSeconds", backoff["backoff"].clone()),
        ("backoffFactor", backoff["backoffFactor"].clone()),
        ("maxLaunchDelaySeconds", backoff["maxLaunchDelay"].clone()),
        ("upgradeStrategy", spec.scheduling["upgrade"].clone()),
        ("killSelection", spec.scheduling["killSelection"].clone()),
        ("unreachableStrategy", spec.scheduling["unreachableStrategy"].clone()),
        ("constraints", constraints(&spec.scheduling)),
        ("taskKillGracePeriodSeconds", json!(spec.containers.iter().filter_map(grace).max())),
        ("residency", if resident { json!({ "taskLostBehavior": "WAIT_FOREVER" }) } else { Value::Null }),
        ("healthChecks", spec.containers.iter().filter_map(check).collect()),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// From objects to the arrays that apps have.
fn constraints(scheduling: &Value) -> Value {
    let written = scheduling["placement"]["constraints"].as_array();
    let array = |constraint: &Value| {
        let parts = ["fieldName", "operator", "value"].map(|key| constraint[key].clone());
        Value::Array(parts.into_iter().filter(|part| !part.is_null()).collect())
    };
    written.into_iter().flatten().map(array).collect()
}

/// A container's check as one that Mesos makes of an app.
fn check(container: &PodContainer) -> Option<Value> {
    let check = container.health_check.as_ref()?;
    let protocol = if check.get("http").is_some() {
        "MESOS_HTTP"
    } else if check.get("tcp").is_some() {
        "MESOS_TCP"
    } else {
        "COMMAND"
    };
    let mut common = json!({ "protocol": protocol, "path": check["http"]["path"] });
    if protocol != "COMMAND" {
        // Which port it is does not matter: what probes find is scripted.
        common["port"] = json!(0);
    }
    for key in
        ["gracePeriodSeconds", "intervalSeconds", "maxConsecutiveFailures", "timeoutSeconds", "delaySeconds"]
    {
        common[key] = check[key].clone();
    }
    Some(common)
}

fn scheduling(fields: &mut Fields<'_>, profile: &Profile) -> Value {
    let given = fields.object("scheduling").cloned().unwrap_or_default();
    let part = |key: &str, defaults: Value| {
        let mut merged = defaults;
        if let (Some(merged), Some(Value::Object(found))) = (merged.as_object_mut(), given.get(key)) {
            merged.extend(
                found.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())),
            );
        }
        merged
    };
    let mut scheduling = json!({
        "backoff": part("backoff", json!({ "backoff": 1, "backoffFactor": 1.15,
            "maxLaunchDelay": profile.max_launch_delay_seconds })),
        "upgrade": part("upgrade", json!({ "minimumHealthCapacity": 1, "maximumOverCapacity": 1 })),
        "killSelection": given.get("killSelection").cloned().unwrap_or_else(|| json!("YOUNGEST_FIRST")),
        "unreachableStrategy": given.get("unreachableStrategy").cloned()
            .unwrap_or_else(|| json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 })),
    });
    let says = |placement: &&Value| {
        let lists =
            ["constraints", "acceptedResourceRoles"].into_iter().filter_map(|key| placement[key].as_array());
        lists.into_iter().any(|list| !list.is_empty())
    };
    if let Some(placement) = given.get("placement").filter(says) {
        scheduling["placement"] = placement.clone();
    }
    scheduling
}

fn resources(fields: &mut Fields<'_>, key: &str, (cpus, mem, disk): (f64, f64, f64)) -> Resources {
    let mut found = Resources { cpus: Num(cpus), mem: Num(mem), disk: Num(disk), gpus: Num(0.0) };
    let path = fields.path_of(key);
    let Some(given) = fields.value(key) else { return found };
    if let Some(mut given) = Fields::of(given, &path, fields.faults()) {
        let mut read = |key: &str, default: Num| Num(given.number(key).unwrap_or(default.0));
        found = Resources {
            cpus: read("cpus", found.cpus),
            mem: read("mem", found.mem),
            disk: read("disk", found.disk),
            gpus: read("gpus", found.gpus),
        };
    }
    found
}

fn containers(fields: &mut Fields<'_>) -> Vec<PodContainer> {
    each(fields, "containers", |container| PodContainer {
        name: container.string("name").unwrap_or_default(),
        exec: container.opaque_object("exec"),
        resources: resources(container, "resources", (0.1, 32.0, 0.0)),
        endpoints: endpoints(container),
        image: container.opaque_object("image"),
        environment: container.opaque_object("environment"),
        user: container.string("user"),
        health_check: health_check(container),
        volume_mounts: container.opaque_array("volumeMounts"),
        artifacts: container.opaque_array("artifacts"),
        labels: container.strings("labels").unwrap_or_default(),
        lifecycle: container.opaque_object("lifecycle"),
    })
    .unwrap_or_default()
}

fn endpoints(container: &mut Fields<'_>) -> Vec<Endpoint> {
    let texts = |port: &mut Fields<'_>, key: &str| -> Vec<String> {
        let found = port.array(key).into_iter().flatten();
        found.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    each(container, "endpoints", |port| {
        let protocol = texts(port, "protocol");
        Endpoint {
            name: port.string("name").unwrap_or_default(),
            container_port: port.port("containerPort"),
            host_port: port.port("hostPort"),
            protocol: if protocol.is_empty() { vec!["tcp".to_owned()] } else { protocol },
            labels: port.strings("labels").unwrap_or_default(),
            network_names: texts(port, "networkNames"),
        }
    })
    .unwrap_or_default()
}

/// The check as written, with the defaults of what is absent.
fn health_check(container: &mut Fields<'_>) -> Option<Value> {
    let given = container.object("healthCheck")?;
    let mut check = Map::new();
    check.extend(given.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    let defaults = [
        ("gracePeriodSeconds", 300),
        ("intervalSeconds", 60),
        ("maxConsecutiveFailures", 3),
        ("timeoutSeconds", 20),
        ("delaySeconds", 15),
    ];
    for (key, default) in defaults {
        check.entry(key).or_insert_with(|| json!(default));
    }
    Some(Value::Object(check))
}

fn legal_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

fn validate(spec: &PodSpec) -> Vec<Fault> {
    let mut broken = Vec::new();
    let mut refuse = |path: String, error: &str| broken.push(Fault { path, error: error.to_owned() });
    if spec.containers.is_empty() {
        refuse("/containers".into(), "must not be empty");
    }
    if spec.containers.len() > CONTAINERS_MAX {
        refuse("/containers".into(), "are too many");
    }
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        let path = format!("/containers({index})");
        if !legal_name(&container.name) {
            refuse(
                format!("{path}/name"),
                "must fully match regular expression '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
            );
        }
        if !names.insert(&container.name) {
            refuse("/containers".into(), "container names are not unique");
        }
        if container.endpoints.len() > ENDPOINTS_MAX {
            refuse(format!("{path}/endpoints"), "are too many");
        }
        for endpoint in &container.endpoints {
            if !legal_name(&endpoint.name) {
                refuse(
                    format!("{path}/endpoints"),
                    "endpoint names have to match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
                );
            }
            if !ports.insert(&endpoint.name) {
                refuse("/containers".into(), "endpoint names are not unique across the pod");
            }
        }
        let Some(check) = &container.health_check else { continue };
        let kinds = ["http", "tcp", "exec"].into_iter().filter(|kind| check.get(kind).is_some()).count();
        if kinds != 1 {
            refuse(format!("{path}/healthCheck"), "exactly one of http, tcp and exec has to be given");
        }
        let named = check["http"]["endpoint"].as_str().or(check["tcp"]["endpoint"].as_str());
        if named.is_some_and(|named| container.endpoints.iter().all(|endpoint| endpoint.name != named)) {
            refuse(format!("{path}/healthCheck"), "the endpoint does not exist in this container");
        }
    }
    broken
}
