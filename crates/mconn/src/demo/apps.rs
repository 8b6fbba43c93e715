//! The apps of the demo: every network mode, nested groups.

use serde_json::{Value, json};

/// The app that the story is about.
pub(super) const WEB: &str = "/shop/web";

/// How many tasks [`initial`] has, each with one port.
pub(super) const TASKS: usize = 4;

/// What runs before the story begins.
pub(super) fn initial() -> Vec<Value> {
    vec![
        // Host networking, without health check.
        json!({
            "id": "/infra/metrics", "cmd": "metrics", "cpus": 0.1, "mem": 32, "instances": 1,
            "networks": [{"mode": "host"}],
            "portDefinitions": [{"port": 0, "name": "http", "protocol": "tcp"}],
        }),
        // An address of its own for each task, nothing on the agent.
        json!({
            "id": "/shop/backend/cart", "cmd": "cart", "cpus": 0.1, "mem": 32, "instances": 2,
            "networks": [{"mode": "container", "name": "dcos"}],
            "container": {"type": "MESOS", "portMappings": [{"containerPort": 8080, "name": "api"}]},
        }),
        // A container network with ports on the agent, and a nested group.
        json!({
            "id": "/shop/backend/search/index", "cpus": 0.1, "mem": 32, "instances": 1,
            "networks": [{"mode": "container", "name": "dcos"}],
            "container": {"type": "DOCKER", "docker": {"image": "shop/index:1"},
                          "portMappings": [{"containerPort": 9200, "hostPort": 0, "name": "http"}]},
        }),
        // A suspended app: it has no task and still owns its service port.
        json!({
            "id": "/batch/report", "cmd": "report", "cpus": 0.1, "mem": 32, "instances": 0,
            "networks": [{"mode": "host"}],
        }),
    ]
}

/// The story's app, bridged, with a health check.
pub(super) fn web(version: u32, instances: u32) -> Value {
    json!({
        "id": WEB, "cpus": 0.1, "mem": 64, "instances": instances,
        "networks": [{"mode": "container/bridge"}],
        "container": {"type": "DOCKER", "docker": {"image": format!("shop/web:{version}")},
                      "portMappings": [{"containerPort": 80, "hostPort": 0, "name": "http", "protocol": "tcp"}]},
        "healthChecks": [{"protocol": "HTTP", "path": "/", "portIndex": 0, "gracePeriodSeconds": 5,
                          "intervalSeconds": 2, "timeoutSeconds": 1, "maxConsecutiveFailures": 3}],
        "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5},
        "taskKillGracePeriodSeconds": 2,
        "labels": {"HAPROXY_GROUP": "external"},
    })
}
