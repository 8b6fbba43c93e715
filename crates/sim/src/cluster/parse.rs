//! From a posted JSON object to an [`AppDef`], or to the answer that says what is wrong with it.

use super::answer::Answer;
use super::convert::{drop_unknown, to_canonical};
use super::definition::{
    AppDef, Container, HealthCheck, Network, NetworkMode, Num, PortDefinition, PortMapping, UpgradeStrategy,
    VersionInfo,
};
use super::fields::{Fault, Fields};
use super::path::PathId;
use crate::profile::{AppShape, Profile};
use crate::time::Time;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Ports one app may declare; the sum of what the largest published definitions use, many times over.
const MAX_PORTS: usize = 256;
/// Instances of one app. Above it a typing error is likelier than a wish.
const MAX_INSTANCES: u32 = 100_000;

/// Reads a whole definition as the version does; `id` wins over what the body says.
pub(crate) fn definition(
    mut body: Map<String, Value>,
    id: &PathId,
    version: Time,
    profile: &Profile,
) -> Result<AppDef, Answer> {
    drop_unknown(&mut body, &profile.apps).map_err(|fault| Answer::invalid_json(vec![fault]))?;
    canonical(body, id, version, profile)
}

/// Reads a whole definition in any form, whatever the version would take.
pub(crate) fn canonical(
    mut body: Map<String, Value>,
    id: &PathId,
    version: Time,
    profile: &Profile,
) -> Result<AppDef, Answer> {
    to_canonical(&mut body);
    let mut faults = Vec::new();
    let app = read(&mut Fields::new(&body, "", &mut faults), id, version, profile);
    if !faults.is_empty() {
        return Err(Answer::invalid_json(faults));
    }
    let broken = validate(&app, &profile.apps);
    if broken.is_empty() { Ok(app) } else { Err(Answer::invalid_object(broken)) }
}

/// Lays the fields of `update` over `current` and reads the result.
pub(crate) fn updated(
    current: &AppDef,
    mut update: Map<String, Value>,
    version: Time,
    profile: &Profile,
) -> Result<AppDef, Answer> {
    drop_unknown(&mut update, &profile.apps).map_err(|fault| Answer::invalid_json(vec![fault]))?;
    to_canonical(&mut update);
    let Ok(Value::Object(mut merged)) = serde_json::to_value(current) else {
        return Err(Answer::failure("definition cannot be written"));
    };
    merged.extend(update);
    canonical(merged, &current.id, version, profile)
}

fn read(fields: &mut Fields<'_>, id: &PathId, version: Time, profile: &Profile) -> AppDef {
    let shape = &profile.apps;
    let networks = networks(fields);
    let mode = networks.first().map(|network| network.mode);
    let mut container = container(fields, mode);
    let mapped = container.as_ref().is_some_and(|container| container.port_mappings.is_some());
    let networks = if networks.is_empty() {
        let mode = if mapped { NetworkMode::Bridge } else { NetworkMode::Host };
        vec![Network { name: None, mode, labels: Default::default() }]
    } else {
        networks
    };
    let port_definitions = port_definitions(fields);
    let host = networks[0].mode == NetworkMode::Host;
    settle_ports(&mut container, networks[0].mode, shape);
    let persistent =
        |container: &Container| container.volumes.iter().any(|volume| !volume["persistent"].is_null());
    // Whoever has local volumes is resident, said or not.
    let residency = fields.opaque_object("residency").or_else(|| {
        let implied = json!({ "relaunchEscalationTimeoutSeconds": 3600, "taskLostBehavior": "WAIT_FOREVER" });
        container.as_ref().is_some_and(persistent).then_some(implied)
    });
    let resident = residency.is_some();
    AppDef {
        id: id.clone(),
        accepted_resource_roles: fields.opaque_array("acceptedResourceRoles"),
        args: fields.opaque_array("args"),
        backoff_factor: Num(fields.number("backoffFactor").unwrap_or(1.15)),
        backoff_seconds: Num(fields.number("backoffSeconds").unwrap_or(1.0)),
        check: fields.opaque_object("check"),
        cmd: fields.string("cmd"),
        constraints: fields.opaque_array("constraints"),
        container,
        cpus: Num(fields.number("cpus").unwrap_or(1.0)),
        dependencies: dependencies(fields, id),
        disk: Num(fields.number("disk").unwrap_or(0.0)),
        env: fields.opaque_object("env"),
        executor: fields.string("executor").unwrap_or_default(),
        executor_resources: fields.opaque_object("executorResources"),
        fetch: fields.opaque_array("fetch"),
        health_checks: health_checks(fields, shape),
        instances: fields.whole("instances", MAX_INSTANCES).unwrap_or(1),
        labels: fields.strings("labels").unwrap_or_default(),
        max_launch_delay_seconds: Num(fields
            .number("maxLaunchDelaySeconds")
            .unwrap_or(f64::from(profile.max_launch_delay_seconds))),
        mem: Num(fields.number("mem").unwrap_or(128.0)),
        gpus: Num(fields.number("gpus").unwrap_or(0.0)),
        networks,
        port_definitions: host.then(|| port_definitions.unwrap_or_else(|| vec![default_definition(shape)])),
        readiness_checks: fields.opaque_array("readinessChecks"),
        residency,
        require_ports: fields.boolean("requirePorts").unwrap_or(false),
        secrets: fields.opaque_object("secrets"),
        task_kill_grace_period_seconds: fields.whole("taskKillGracePeriodSeconds", 86_400),
        tty: fields.value("tty").cloned(),
        upgrade_strategy: upgrade_strategy(fields, resident),
        user: fields.string("user"),
        version,
        version_info: VersionInfo { last_scaling_at: version, last_config_change_at: version },
        kill_selection: fields.string("killSelection").unwrap_or_else(|| "YOUNGEST_FIRST".into()),
        unreachable_strategy: unreachable_strategy(fields, resident),
        role: shape.role.then(|| fields.string("role").unwrap_or_else(|| "*".into())),
        resource_limits: fields.opaque_object("resourceLimits"),
        pod: None,
    }
}

fn dependencies(fields: &mut Fields<'_>, id: &PathId) -> Vec<PathId> {
    let found = fields.array("dependencies").into_iter().flatten();
    found.filter_map(Value::as_str).map(|text| id.parent().resolve(text)).collect()
}

fn unreachable_strategy(fields: &mut Fields<'_>, resident: bool) -> Value {
    match fields.value("unreachableStrategy") {
        Some(given @ (Value::Object(_) | Value::String(_))) => given.clone(),
        Some(_) => {
            fields.complain("unreachableStrategy", "error.expected.jsobject");
            Value::Null
        }
        None if resident => json!("disabled"),
        None => json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 }),
    }
}

fn upgrade_strategy(fields: &mut Fields<'_>, resident: bool) -> UpgradeStrategy {
    let (mut over, mut health) = if resident { (0.0, 0.5) } else { (1.0, 1.0) };
    if let Some(given) = fields.value("upgradeStrategy") {
        let path = fields.path_of("upgradeStrategy");
        if let Some(mut given) = Fields::of(given, &path, fields.faults()) {
            over = given.number("maximumOverCapacity").unwrap_or(over);
            health = given.number("minimumHealthCapacity").unwrap_or(health);
        }
    }
    UpgradeStrategy { maximum_over_capacity: Num(over), minimum_health_capacity: Num(health) }
}

/// Reads each element of the array `key` as an object.
pub(super) fn each<T>(
    fields: &mut Fields<'_>,
    key: &str,
    mut read: impl FnMut(&mut Fields<'_>) -> T,
) -> Option<Vec<T>> {
    let array = fields.array(key)?;
    let path = fields.path_of(key);
    let mut found = Vec::new();
    for (index, element) in array.iter().enumerate() {
        if let Some(mut element) = Fields::of(element, &format!("{path}({index})"), fields.faults()) {
            found.push(read(&mut element));
        }
    }
    Some(found)
}

pub(super) fn networks(fields: &mut Fields<'_>) -> Vec<Network> {
    each(fields, "networks", |network| {
        let mode = match network.string("mode").as_deref() {
            Some("host") => NetworkMode::Host,
            Some("container/bridge") => NetworkMode::Bridge,
            Some("container") | None => NetworkMode::Container,
            Some(_) => {
                network.complain("mode", "error.unknown.enum.literal");
                NetworkMode::Host
            }
        };
        let name = network.string("name");
        Network { name, mode, labels: network.strings("labels").unwrap_or_default() }
    })
    .unwrap_or_default()
}

fn container(fields: &mut Fields<'_>, mode: Option<NetworkMode>) -> Option<Container> {
    let path = fields.path_of("container");
    let value = fields.value("container")?;
    let mut container = Fields::of(value, &path, fields.faults())?;
    let docker = container.object("docker").map(|given| {
        let mut docker = Map::from_iter([
            ("forcePullImage".to_owned(), json!(false)),
            ("parameters".to_owned(), json!([])),
            ("privileged".to_owned(), json!(false)),
        ]);
        docker.extend(given.clone());
        Value::Object(docker)
    });
    let kind = container.string("type");
    let volumes = container.array("volumes").cloned().unwrap_or_default();
    let port_mappings = each(&mut container, "portMappings", |port| PortMapping {
        container_port: port.port("containerPort").unwrap_or(0),
        host_port: port.port("hostPort"),
        labels: port.strings("labels").unwrap_or_default(),
        name: port.string("name"),
        protocol: protocol(port),
        service_port: port.port("servicePort").unwrap_or(0),
        network_names: port
            .array("networkNames")
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    });
    let kind = kind.unwrap_or_else(|| if docker.is_some() { "DOCKER" } else { "MESOS" }.into());
    let port_mappings = port_mappings.filter(|_| mode != Some(NetworkMode::Host));
    Some(Container { kind, docker, volumes, port_mappings })
}

/// Fills in what the mode implies: a default port, and host ports behind a bridge.
fn settle_ports(container: &mut Option<Container>, mode: NetworkMode, shape: &AppShape) {
    if mode == NetworkMode::Host {
        return;
    }
    let default_name = shape.default_port_name.then(|| "default".to_owned());
    let container = container.get_or_insert_with(|| Container {
        kind: "MESOS".into(),
        docker: None,
        volumes: Vec::new(),
        port_mappings: None,
    });
    let mappings = container.port_mappings.get_or_insert_with(|| {
        let mapping = PortMapping {
            container_port: 0,
            host_port: None,
            labels: Default::default(),
            name: default_name,
            protocol: "tcp".into(),
            service_port: 0,
            network_names: Vec::new(),
        };
        // Before the canonical form, a container that declares no port has none.
        if shape.canonical { vec![mapping] } else { Vec::new() }
    });
    if mode == NetworkMode::Bridge {
        for mapping in mappings {
            mapping.host_port.get_or_insert(0);
        }
    }
}

fn default_definition(shape: &AppShape) -> PortDefinition {
    PortDefinition {
        labels: Default::default(),
        name: shape.default_port_name.then(|| "default".into()),
        port: 0,
        protocol: "tcp".into(),
    }
}

fn port_definitions(fields: &mut Fields<'_>) -> Option<Vec<PortDefinition>> {
    each(fields, "portDefinitions", |port| PortDefinition {
        labels: port.strings("labels").unwrap_or_default(),
        name: port.string("name"),
        port: port.port("port").unwrap_or(0),
        protocol: protocol(port),
    })
}

fn protocol(port: &mut Fields<'_>) -> String {
    match port.string("protocol") {
        None => "tcp".into(),
        Some(known) if matches!(known.as_str(), "tcp" | "udp" | "udp,tcp" | "tcp,udp") => known,
        Some(other) => {
            port.complain("protocol", "error.unknown.enum.literal");
            other
        }
    }
}

fn health_checks(fields: &mut Fields<'_>, shape: &AppShape) -> Vec<HealthCheck> {
    const SECONDS_MAX: u32 = 10 * 365 * 86_400;
    each(fields, "healthChecks", |check| {
        let protocol = check.string("protocol").unwrap_or_else(|| "HTTP".into());
        let known = ["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"];
        if !known.contains(&protocol.as_str()) {
            check.complain("protocol", "error.unknown.enum.literal");
        }
        let (port, index) = (check.port("port"), check.whole("portIndex", 65_535));
        let needs_port = protocol != "COMMAND";
        HealthCheck {
            grace_period_seconds: check.whole("gracePeriodSeconds", SECONDS_MAX).unwrap_or(300),
            ignore_http1xx: check.boolean("ignoreHttp1xx").unwrap_or(false),
            interval_seconds: check.whole("intervalSeconds", SECONDS_MAX).unwrap_or(60),
            max_consecutive_failures: check.whole("maxConsecutiveFailures", u32::MAX).unwrap_or(3),
            path: check.string("path"),
            port,
            port_index: index.or_else(|| (port.is_none() && needs_port).then_some(0)),
            ip_protocol: check
                .string("ipProtocol")
                .or_else(|| protocol.starts_with("MESOS_").then(|| "IPv4".to_owned()))
                .filter(|_| shape.generic_checks),
            protocol,
            timeout_seconds: check.whole("timeoutSeconds", SECONDS_MAX).unwrap_or(20),
            delay_seconds: check.whole("delaySeconds", SECONDS_MAX).unwrap_or(15),
            command: check.value("command").cloned(),
        }
    })
    .unwrap_or_default()
}

fn validate(app: &AppDef, shape: &AppShape) -> Vec<Fault> {
    let mut broken = Vec::new();
    let mut refuse = |path: &str, error: &str| broken.push(Fault { path: path.into(), error: error.into() });
    if let Some(fault) = app.id.fault() {
        refuse("/id", fault);
    }
    let last = app.id.as_str().rsplit('/').next().unwrap_or_default();
    if shape.reserved_ids && matches!(last, "restart" | "tasks" | "versions") {
        refuse("/id", "must not end with any of [restart, tasks, versions]");
    }
    let runs_image = app.container.as_ref().is_some_and(|container| container.docker.is_some());
    if app.cmd.is_none() && app.args.is_none() && !runs_image {
        refuse("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
    }
    if app.cmd.is_some() && app.args.is_some() {
        refuse("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
    }
    let mode = app.mode();
    if app.networks.iter().any(|network| network.mode != mode)
        || (mode != NetworkMode::Container && app.networks.len() > 1)
    {
        refuse(
            "/networks",
            "networks must be either one host, one container/bridge, or one or more container networks",
        );
    }
    if mode == NetworkMode::Container && app.networks.iter().any(|network| network.name.is_none()) {
        refuse("/networks", "network name must be specified when container network is selected.");
    }
    let share = |number: Num| (0.0..=1.0).contains(&number.0);
    if !share(app.upgrade_strategy.minimum_health_capacity) {
        refuse("/upgradeStrategy/minimumHealthCapacity", "is greater than 1 or less than 0");
    }
    if !share(app.upgrade_strategy.maximum_over_capacity) {
        refuse("/upgradeStrategy/maximumOverCapacity", "is greater than 1 or less than 0");
    }
    for (path, number) in [("/cpus", app.cpus), ("/mem", app.mem), ("/disk", app.disk), ("/gpus", app.gpus)] {
        if number.0 < 0.0 {
            refuse(path, &format!("got {}, expected 0 or more", number.0));
        }
    }
    if app.backoff_seconds.0 < 0.0 || app.backoff_factor.0 < 1.0 || app.max_launch_delay_seconds.0 < 0.0 {
        refuse("/backoffFactor", "got a value out of range");
    }
    if !matches!(app.kill_selection.as_str(), "YOUNGEST_FIRST" | "OLDEST_FIRST") {
        refuse("/killSelection", "error.unknown.enum.literal");
    }
    ports_are_sound(app, shape, &mut refuse);
    broken
}

fn ports_are_sound(app: &AppDef, shape: &AppShape, refuse: &mut impl FnMut(&str, &str)) {
    let ports = app.service_ports();
    if ports.len() > MAX_PORTS {
        refuse("/portDefinitions", "has too many elements");
    }
    let given: Vec<u16> = ports.iter().copied().filter(|&port| port != 0).collect();
    if shape.unique_service_ports && given.iter().collect::<BTreeSet<_>>().len() != given.len() {
        refuse("/portDefinitions", "Elements must be unique");
    }
    let names: Vec<&String> = app
        .port_mappings()
        .iter()
        .filter_map(|port| port.name.as_ref())
        .chain(app.port_definitions.iter().flatten().filter_map(|port| port.name.as_ref()))
        .collect();
    if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
        refuse("/portDefinitions", "Port names must be unique.");
    }
    for (index, check) in app.health_checks.iter().enumerate() {
        if let Some(port) = check.port_index
            && check.port.is_none()
            && port as usize >= ports.len()
        {
            refuse(
                &format!("/healthChecks({index})"),
                "Health check port indices must address an element of the ports array or container port mappings.",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: Value) -> Result<AppDef, Answer> {
        let Value::Object(map) = body else { panic!("an object") };
        definition(map, &PathId::lenient("/a"), Time(1000), &Profile::v1_8())
    }

    #[test]
    fn defaults_follow_the_mode() {
        let host = parsed(json!({"cmd": "sleep"})).expect("valid");
        assert_eq!(host.mode(), NetworkMode::Host);
        assert_eq!(host.service_ports(), vec![0]);
        let bridge = parsed(
            json!({"container": {"docker": {"image": "i", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}}),
        );
        let bridge = bridge.expect("valid");
        assert_eq!(bridge.mode(), NetworkMode::Bridge);
        assert_eq!(bridge.wanted_host_ports(), vec![0]);
        let container =
            parsed(json!({"cmd": "x", "networks": [{"mode": "container", "name": "n"}]})).expect("valid");
        assert_eq!(container.wanted_host_ports(), Vec::<u16>::new());
        assert_eq!(container.service_ports().len(), 1);
    }

    #[test]
    fn wrong_types_are_400_with_paths() {
        let answer =
            parsed(json!({"cmd": 1, "instances": "x", "healthChecks": [{"path": 3}]})).expect_err("refused");
        assert_eq!(answer.status, 400);
        let text = answer.body.expect("a body");
        for expected in ["/cmd", "error.expected.jsstring", "/instances", "/healthChecks(0)/path"] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn impossible_wishes_are_422() {
        for body in [
            json!({}),
            json!({"cmd": "x", "upgradeStrategy": {"minimumHealthCapacity": 2}}),
            json!({"cmd": "x", "healthChecks": [{"portIndex": 3}]}),
            json!({"cmd": "x", "ports": [7, 7]}),
            json!({"cmd": "x", "networks": [{"mode": "host"}, {"mode": "container", "name": "n"}]}),
        ] {
            assert_eq!(parsed(body.clone()).expect_err("refused").status, 422, "{body}");
        }
    }

    #[test]
    fn written_in_marathons_order_without_absent_keys() {
        let app = parsed(json!({"cmd": "x", "cpus": 0.1, "mem": 64.0})).expect("valid");
        let text = serde_json::to_string(&app).expect("json");
        assert!(text.starts_with(
            r#"{"id":"/a","backoffFactor":1.15,"backoffSeconds":1,"cmd":"x","cpus":0.1,"disk":0,"#
        ));
        assert!(text.contains(r#""mem":64,"#) && !text.contains("null"), "{text}");
    }
}
