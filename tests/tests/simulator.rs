//! `mconn sim` from outside: pods, controls and scenarios, over real sockets and read by our own decoder.

use std::fs;

use mconn_marathon::event::decode_event;
use mconn_marathon::json;
use mconn_model::{ClusterEvent, InstanceCondition, TaskStatus};
use mconn_tests::{Sim, run_to_end, until};
use serde_json::{Value, json};

const SCENARIOS: [&str; 12] = [
    "rolling-update",
    "leader-change",
    "agent-partition",
    "agent-gone",
    "crash-loop",
    "flapping-health",
    "silent-stream",
    "lossy-events",
    "slow-marathon",
    "stuck-deployment",
    "pods",
    "busy-day",
];

fn pod() -> Value {
    json!({"id": "/shop/pod", "labels": {"team": "a"}, "scaling": {"kind": "fixed", "instances": 2},
        "networks": [{"mode": "container", "name": "dcos"}],
        "containers": [
            {"name": "web", "resources": {"cpus": 0.1, "mem": 32},
             "endpoints": [{"name": "http", "containerPort": 8080, "hostPort": 0, "protocol": ["tcp"]},
                           {"name": "admin", "containerPort": 8081, "protocol": ["tcp"]}],
             "healthCheck": {"http": {"endpoint": "http", "path": "/"}, "intervalSeconds": 2, "delaySeconds": 1}},
            {"name": "side", "resources": {"cpus": 0.1, "mem": 32}}]})
}

#[tokio::test]
async fn our_decoder_reads_the_simulated_pods() {
    let sim = Sim::start(&[]);
    assert_eq!(sim.api.send("HEAD", "/v2/pods", None).await.status, 200);
    assert_eq!(sim.api.get("/v2/pods").await.json, json!([]));
    let created = sim.api.post("/v2/pods", &pod()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(created.json["containers"][0]["endpoints"][0]["hostPort"], 0);
    until("the pod is stable", async || {
        sim.api.get("/v2/pods/shop/pod::status").await.json["status"] == "STABLE"
    })
    .await;
    for path in ["/v2/pods/::status", "/v2/pods/shop/pod::status"] {
        let body = sim.api.get(path).await.text;
        let parsed = json::pods(body.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(parsed.warnings.is_empty(), "{path}: {:?}", parsed.warnings);
        let found = &parsed.value[0];
        assert_eq!((found.id.as_str(), found.instances, found.running.len()), ("/shop/pod", 2, 2));
        assert_eq!(found.endpoints.len(), 2);
        for instance in &found.running {
            assert!(instance.host.is_some() && instance.agent.is_some());
            assert_eq!(instance.addresses[0].0.as_deref(), Some("dcos"));
            let [web, side] = instance.containers.as_slice() else { panic!("two containers: {instance:?}") };
            assert_eq!((web.healthy, side.healthy), (Some(true), None));
            assert_eq!(web.status, TaskStatus::parse("TASK_RUNNING"));
            assert_eq!(web.host_ports.len(), 1);
        }
    }
    let definitions = sim.api.get("/v2/pods").await.text;
    assert_eq!(json::pods(definitions.as_bytes()).expect("pods").value[0].endpoints.len(), 2);
    let groups = sim
        .api
        .get("/v2/groups?embed=group.groups&embed=group.apps&embed=group.apps.tasks&embed=group.pods")
        .await;
    let listing = json::group(groups.text.as_bytes()).expect("a group");
    assert_eq!(listing.pods.len(), 1);
    assert!(listing.warnings.is_empty(), "{:?}", listing.warnings);
    assert_eq!(sim.api.get("/v2/tasks").await.json["tasks"], json!([]));
    assert_eq!(sim.api.get("/v2/apps/shop/pod").await.status, 404);

    let mut changed = pod();
    changed["labels"] = json!({"team": "b"});
    assert_eq!(sim.api.send("PUT", "/v2/pods/shop/pod", Some(&changed)).await.status, 200);
    assert_eq!(sim.api.get("/v2/pods/shop/pod::versions").await.json.as_array().map(Vec::len), Some(2));
    let deployments = sim.api.get("/v2/deployments").await;
    if let Some(running) = deployments.json.as_array().and_then(|all| all.first()) {
        assert_eq!(running["affectedPods"], json!(["/shop/pod"]));
        json::deployments(deployments.text.as_bytes()).expect("deployments");
    }
    let deleted = sim.api.send("DELETE", "/v2/pods/shop/pod?force=true", None).await;
    assert_eq!(deleted.status, 202);
    assert_eq!(sim.api.get("/v2/pods/shop/pod::status").await.status, 404);
}

#[test]
fn our_decoder_reads_every_event_of_every_scenario() {
    let (mut unreachable, mut pods, mut unknown) = (0, 0, 0);
    for name in SCENARIOS {
        let run = run_to_end(&["sim", "--scenario", name, "--rehearse"], &[]);
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        let text = String::from_utf8(run.stdout).expect("text");
        assert!(text.lines().count() > 30, "{name}");
        for line in text.lines() {
            let event =
                decode_event(None, line.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            match event {
                ClusterEvent::InstanceChanged {
                    condition: InstanceCondition::UnreachableInactive, ..
                } => {
                    unreachable += 1;
                }
                ClusterEvent::PodChanged { .. } => pods += 1,
                ClusterEvent::UnknownTerminated { .. } => unknown += 1,
                _ => {}
            }
        }
    }
    assert!(unreachable > 0 && pods > 2 && unknown > 0, "{unreachable} {pods} {unknown}");
}

#[test]
fn scenarios_are_listed_and_refused_with_their_step() {
    let list = run_to_end(&["sim", "--list-scenarios"], &[]);
    let text = String::from_utf8(list.stdout).expect("text");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, SCENARIOS);

    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("bad.json");
    fs::write(&file, r#"{"steps": [{"say": "a"}, {"at": "5s", "scale": {"id": "/a"}}]}"#).expect("written");
    let refused = run_to_end(&["sim", "--scenario", file.to_str().expect("a path")], &[]);
    assert_eq!(refused.status.code(), Some(64));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("step 2: scale: missing field `instances`"), "{told}");

    let nowhere = run_to_end(&["sim", "--scenario", "no-such-scenario"], &[]);
    assert_eq!(nowhere.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("rolling-update"));
}

#[tokio::test]
async fn scenarios_play_in_real_time_and_report() {
    let sim = Sim::start(&["--speed", "200", "--scenario", "agent-gone"]);
    until("it is over", async || sim.api.get("/sim/scenario").await.json["done"] == true).await;
    let state = sim.api.get("/sim/scenario").await.json;
    assert_eq!((&state["name"], &state["problems"]), (&json!("agent-gone"), &json!([])));
    assert_eq!(sim.api.get("/sim/agents").await.json["agents"][1]["state"], "gone");

    assert_eq!(sim.api.post("/sim/scenario", &json!({"name": "nothing"})).await.status, 404);
    let refused = sim.api.post("/sim/scenario", &json!({"steps": [{"dance": 1}]})).await;
    assert_eq!(refused.status, 422);
    assert!(refused.json["message"].as_str().expect("it").starts_with("step 1: dance: unknown variant"));
    let own = json!({"name": "own", "steps": [{"fail": "/nothing"}, {"at": 1, "fault": {"status": 418}}]});
    assert_eq!(sim.api.post("/sim/scenario", &own).await.status, 200);
    until("the fault is set", async || sim.api.get("/v2/apps").await.status == 418).await;
    let problems = sim.api.get("/sim/scenario").await.json["problems"].clone();
    assert_eq!(problems, json!(["step 1: no task, agent or deployment fits"]));
    assert_eq!(sim.api.send("DELETE", "/sim/scenario", None).await.status, 200);
}

#[tokio::test]
async fn agents_tasks_clock_and_bus_have_controls() {
    let sim = Sim::start(&["--agents", "2", "--agent-attribute", "rack=r1,r2"]);
    let behaviour = json!({"startMs": 10, "flapMs": 60_000});
    assert_eq!(sim.api.post("/sim/apps/shop/web/behaviour", &behaviour).await.status, 200);
    assert_eq!(sim.api.get("/sim/apps/shop/web/behaviour").await.json, behaviour);
    let bad = sim.api.post("/sim/apps/shop/web/behaviour", &json!({"nonsense": 1})).await;
    assert_eq!(bad.status, 422);
    let app = json!({"id": "/shop/web", "cmd": "x", "constraints": [["rack", "CLUSTER", "r2"]],
        "unreachableStrategy": "disabled"});
    assert_eq!(sim.api.post("/v2/apps", &app).await.status, 201);
    let state = async || sim.api.get("/v2/apps/shop/web").await.json["app"]["tasks"][0].clone();
    until("it runs", async || state().await["state"] == "TASK_RUNNING").await;
    let (task, host) = (state().await["id"].clone(), state().await["host"].clone());
    let (task, host) = (task.as_str().expect("an id"), host.as_str().expect("a host"));
    let agents = sim.api.get("/sim/agents").await.json["agents"].clone();
    assert_eq!((&agents[1]["host"], &agents[1]["attributes"]["rack"]), (&json!(host), &json!("r2")));

    let none = json!({});
    for (what, after) in [("lost", "TASK_UNREACHABLE"), ("return", "TASK_RUNNING")] {
        assert_eq!(sim.api.post(&format!("/sim/agents/{host}/{what}"), &none).await.status, 200);
        assert_eq!(state().await["state"], after);
        assert_eq!(state().await["id"], task);
    }
    assert_eq!(sim.api.post(&format!("/sim/tasks/{task}/lost"), &none).await.status, 200);
    assert_eq!(state().await["state"], "TASK_UNREACHABLE");
    assert_eq!(sim.api.post(&format!("/sim/tasks/{task}/return"), &none).await.status, 200);
    assert_eq!(state().await["state"], "TASK_RUNNING");
    assert_eq!(sim.api.post("/sim/agents/nowhere/lost", &none).await.status, 404);
    assert_eq!(sim.api.post(&format!("/sim/agents/{host}/melt"), &none).await.status, 404);

    let health = format!("/sim/tasks/{task}/health");
    assert_eq!(sim.api.post(&health, &json!({"flapMs": 1000})).await.status, 200);
    assert_eq!(sim.api.post(&health, &none).await.status, 422);
    let before = sim.api.get("/sim/state").await.json["now"].as_str().expect("a time").to_owned();
    assert_eq!(sim.api.post("/sim/clock/jump", &json!({"ms": 31_536_000_000_i64})).await.status, 200);
    let after = sim.api.get("/sim/state").await.json["now"].as_str().expect("a time").to_owned();
    assert_ne!(before[..4], after[..4], "a year later");
    assert_eq!(sim.api.post("/sim/bus", &json!({"dropPercent": 50})).await.status, 200);
    assert_eq!(sim.api.post("/sim/bus", &json!({"dropPercent": 500})).await.status, 422);
    assert_eq!(sim.api.send("DELETE", "/sim/bus", None).await.status, 200);
}
