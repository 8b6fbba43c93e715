//! Fields of older versions, turned into the canonical ones before a definition is read.
//!
//! 1.5 and later still take `uris`, `ports`, `ipAddress`, `container.docker.network` and
//! `container.docker.portMappings`, but never write them. Values of a wrong type are left alone: reading the result
//! reports them.

use super::fields::Fault;
use crate::profile::{AppShape, IpPerTask, Roles};
use serde_json::{Map, Value, json};

/// Fields that came with some version, and whether this one knows them.
fn known_fields(shape: &AppShape) -> [(&'static str, bool); 18] {
    [
        ("acceptedResourceRoles", shape.roles != Roles::Unknown),
        ("ipAddress", shape.ip_per_task != IpPerTask::Unknown),
        ("fetch", shape.fetch),
        ("portDefinitions", shape.fetch),
        ("residency", shape.fetch),
        ("readinessChecks", shape.readiness_checks),
        ("gpus", shape.gpus),
        ("secrets", shape.gpus),
        ("taskKillGracePeriodSeconds", shape.gpus),
        ("killSelection", shape.strategies),
        ("unreachableStrategy", shape.strategies),
        ("networks", shape.canonical),
        ("tty", shape.generic_checks),
        ("check", shape.generic_checks),
        ("executorResources", shape.generic_checks),
        ("role", shape.role),
        ("resourceLimits", shape.resource_limits),
        // Of all versions: what clients read and send back is not theirs to set.
        ("versionInfo", false),
    ]
}

/// Takes away what the version does not know: it ignores such fields.
///
/// # Errors
/// What it cannot ignore.
pub(crate) fn drop_unknown(app: &mut Map<String, Value>, shape: &AppShape) -> Result<(), Fault> {
    for (field, known) in known_fields(shape) {
        if !known {
            app.remove(field);
        }
    }
    if shape.canonical {
        return Ok(());
    }
    let Some(Value::Object(container)) = app.get_mut("container") else { return Ok(()) };
    container.remove("portMappings");
    let Some(Value::Object(docker)) = container.get_mut("docker") else { return Ok(()) };
    let mappings = docker.get_mut("portMappings").and_then(Value::as_array_mut).into_iter().flatten();
    for mapping in mappings.filter_map(Value::as_object_mut).filter(|_| !shape.readiness_checks) {
        mapping.remove("name");
        mapping.remove("labels");
    }
    if shape.ip_per_task != IpPerTask::Named && docker.get("network").is_some_and(|mode| mode == "USER") {
        let error = "error.unknown.enum.literal".to_owned();
        return Err(Fault { path: "/container/docker/network".into(), error });
    }
    Ok(())
}

/// Replaces old fields in a whole definition or a part of one. Nulls mean "not given" and go away.
pub(crate) fn to_canonical(app: &mut Map<String, Value>) {
    app.retain(|_, value| !value.is_null());
    downloads(app);
    docker_network(app);
    ip_address(app);
    ports(app);
    app.remove("versionInfo");
}

fn downloads(app: &mut Map<String, Value>) {
    let uris = app.remove("uris");
    app.remove("storeUrls");
    if let Some(Value::Array(uris)) = uris
        && app.get("fetch").is_none_or(|fetch| fetch.as_array().is_some_and(Vec::is_empty))
    {
        let fetch = uris.into_iter().filter(Value::is_string).map(|uri| json!({ "uri": uri })).collect();
        app.insert("fetch".into(), Value::Array(fetch));
    }
}

fn docker_network(app: &mut Map<String, Value>) {
    let network_name = app.get("ipAddress").and_then(|ip| ip.get("networkName")).cloned();
    let Some(Value::Object(container)) = app.get_mut("container") else { return };
    container.retain(|_, value| !value.is_null());
    let Some(Value::Object(docker)) = container.get_mut("docker") else { return };
    docker.retain(|_, value| !value.is_null());
    let network = docker.remove("network");
    let mappings = docker.remove("portMappings");
    if let Some(mappings) = mappings
        && !container.contains_key("portMappings")
    {
        container.insert("portMappings".into(), mappings);
    }
    if app.contains_key("networks") {
        return;
    }
    let networks = match network.as_ref().and_then(Value::as_str) {
        Some("BRIDGE") => json!([{ "mode": "container/bridge" }]),
        Some("HOST") => json!([{ "mode": "host" }]),
        Some("USER") => match network_name {
            Some(name) => json!([{ "mode": "container", "name": name }]),
            None => json!([{ "mode": "container" }]),
        },
        _ => return,
    };
    app.insert("networks".into(), networks);
}

fn ip_address(app: &mut Map<String, Value>) {
    let Some(Value::Object(ip)) = app.remove("ipAddress") else { return };
    if app.contains_key("networks") {
        return;
    }
    let mut network = Map::from_iter([("mode".to_owned(), json!("container"))]);
    network.insert("name".into(), ip.get("networkName").cloned().unwrap_or_else(|| json!("default")));
    if let Some(labels) = ip.get("labels").filter(|labels| labels.is_object()) {
        network.insert("labels".into(), labels.clone());
    }
    app.insert("networks".into(), Value::Array(vec![Value::Object(network)]));
    let Some(Value::Array(found)) = ip.get("discovery").and_then(|discovery| discovery.get("ports")) else {
        return;
    };
    let mappings: Vec<Value> = found
        .iter()
        .filter_map(Value::as_object)
        .map(|port| {
            let mut mapping = port.clone();
            let number = mapping.remove("number").unwrap_or_else(|| json!(0));
            mapping.insert("containerPort".into(), number);
            Value::Object(mapping)
        })
        .collect();
    let container = app.entry("container").or_insert_with(|| json!({ "type": "MESOS" }));
    if let Some(container) = container.as_object_mut() {
        container.entry("portMappings").or_insert(Value::Array(mappings));
    }
}

fn ports(app: &mut Map<String, Value>) {
    if let Some(Value::Array(ports)) = app.remove("ports")
        && !app.contains_key("portDefinitions")
    {
        let definitions = ports.into_iter().map(|port| json!({ "port": port, "protocol": "tcp" })).collect();
        app.insert("portDefinitions".into(), Value::Array(definitions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(app: Value) -> Value {
        let Value::Object(mut map) = app else { panic!("an object") };
        to_canonical(&mut map);
        Value::Object(map)
    }

    #[test]
    fn bridge_mappings_move_to_the_container() {
        let converted = canonical(
            json!({"id": "/a", "ports": [10], "container": {"type": "DOCKER", "docker":
            {"image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80, "hostPort": null}, {"containerPort": 81}]}}}),
        );
        assert_eq!(converted["networks"], json!([{"mode": "container/bridge"}]));
        assert_eq!(converted["container"]["docker"], json!({"image": "i"}));
        assert_eq!(converted["container"]["portMappings"][1], json!({"containerPort": 81}));
    }

    #[test]
    fn user_network_takes_the_name_of_ip_address() {
        let converted = canonical(json!({"ipAddress": {"networkName": "dcos"},
            "container": {"docker": {"network": "USER", "portMappings": [{"containerPort": 80}]}}}));
        assert_eq!(converted["networks"], json!([{"mode": "container", "name": "dcos"}]));
        assert_eq!(converted["container"]["portMappings"], json!([{"containerPort": 80}]));
        assert!(converted.get("ipAddress").is_none());
    }

    #[test]
    fn ports_and_uris_become_definitions_and_fetch() {
        let converted = canonical(json!({"ports": [0, 8080], "uris": ["http://x/y"], "cmd": null}));
        assert_eq!(converted["portDefinitions"][1], json!({"port": 8080, "protocol": "tcp"}));
        assert_eq!(converted["fetch"], json!([{"uri": "http://x/y"}]));
        assert!(converted.get("cmd").is_none());
    }

    #[test]
    fn discovery_ports_become_mappings() {
        let converted =
            canonical(json!({"ipAddress": {"discovery": {"ports": [{"number": 80, "name": "http"}]}}}));
        assert_eq!(converted["container"]["portMappings"], json!([{"containerPort": 80, "name": "http"}]));
        assert_eq!(converted["networks"][0]["mode"], "container");
    }
}
