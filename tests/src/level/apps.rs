//! Definitions of apps, by seed: every network mode, with and without ports, checks and readiness.

use fastrand::Rng;
use serde_json::{Value, json};

/// The ids that apps have. Some lie in groups, and two become the same name once slashes are dashes.
pub(super) const IDS: [&str; 10] =
    ["/web", "/api", "/shop/cart", "/shop/db", "/shop/x/y", "/a-b", "/a/b", "/jobs/one", "/jobs/two", "/log"];

/// A new app.
pub(super) fn definition(rng: &mut Rng, id: &str) -> Value {
    let mut app = json!({
        "id": id,
        "cmd": "run 1",
        "instances": rng.u32(1..=5),
        "labels": { "HAPROXY_GROUP": "external" },
        "upgradeStrategy": {
            "minimumHealthCapacity": share(rng),
            "maximumOverCapacity": share(rng),
        },
    });
    let ports = rng.usize(0..=2);
    let mapped = network(rng, &mut app, ports);
    app["healthChecks"] = checks(rng);
    if ports > 0 && rng.u8(..5) == 0 {
        app["readinessChecks"] =
            json!([{ "name": "ready", "portName": "p0", "path": "/", "intervalSeconds": 2 }]);
    }
    match rng.u8(..4) {
        0 => app["taskKillGracePeriodSeconds"] = json!(rng.u32(0..=8)),
        1 => app["killSelection"] = json!("OLDEST_FIRST"),
        _ => {}
    }
    app["unreachableStrategy"] = match rng.u8(..4) {
        0 => json!("disabled"),
        1 => json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 }),
        _ => {
            let inactive = rng.u32(1..20);
            json!({ "inactiveAfterSeconds": inactive, "expungeAfterSeconds": inactive + rng.u32(0..30) })
        }
    };
    if mapped && rng.bool() {
        app["labels"]["HAPROXY_0_VHOST"] = json!("www.example.com");
    }
    app
}

/// A change of an app's ports and network alone.
pub(super) fn other_ports(rng: &mut Rng) -> Value {
    let mut change = json!({});
    let ports = rng.usize(0..=2);
    if !network(rng, &mut change, ports) {
        change["networks"] = json!([{ "mode": "host" }]);
        change["container"] = Value::Null;
    }
    change
}

fn share(rng: &mut Rng) -> f64 {
    [0.0, 0.25, 0.5, 1.0][rng.usize(..4)]
}

/// True if the ports are mappings of a container.
fn network(rng: &mut Rng, app: &mut Value, ports: usize) -> bool {
    let name = |index: usize| format!("p{index}");
    let mode = rng.u8(..4);
    if mode == 0 {
        let definitions: Vec<_> =
            (0..ports).map(|index| json!({ "port": 0, "protocol": "tcp", "name": name(index) })).collect();
        app["portDefinitions"] = json!(definitions);
        return false;
    }
    let exposed = |index: usize, rng: &mut Rng| mode == 1 || (mode == 2 && (index == 0 || rng.bool()));
    let mappings: Vec<_> = (0..ports)
        .map(|index| {
            let mut mapping = json!({ "containerPort": 8080 + index, "name": name(index) });
            if exposed(index, rng) {
                mapping["hostPort"] = json!(0);
            }
            mapping
        })
        .collect();
    app["networks"] = if mode == 1 {
        json!([{ "mode": "container/bridge" }])
    } else {
        json!([{ "mode": "container", "name": "dcos" }])
    };
    app["container"] = json!({ "type": "DOCKER", "docker": { "image": "web:1" }, "portMappings": mappings });
    true
}

/// Health checks; those of Marathon often come in pairs.
pub(super) fn checks(rng: &mut Rng) -> Value {
    let (interval, grace, most) = (rng.u32(2..=10), rng.u32(1..=20), rng.u32(0..=3));
    let check = |protocol: &str| {
        json!({ "protocol": protocol, "path": "/", "intervalSeconds": interval, "gracePeriodSeconds": grace,
            "maxConsecutiveFailures": most, "timeoutSeconds": 1, "delaySeconds": 2 })
    };
    match rng.u8(..10) {
        0..=3 => json!([]),
        4..=6 => json!([check("HTTP")]),
        7 => json!([check("HTTP"), check("TCP")]),
        _ => json!([check("MESOS_HTTP")]),
    }
}
