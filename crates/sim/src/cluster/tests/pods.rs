//! Pods: writes, flows, status.

use super::*;

fn pod(instances: u32) -> Value {
    json!({"id": "/shop/pod", "scaling": {"kind": "fixed", "instances": instances}, "labels": {"a": "b"},
        "networks": [{"mode": "container", "name": "dcos"}],
        "containers": [
            {"name": "web", "resources": {"cpus": 0.2, "mem": 64}, "image": {"kind": "DOCKER", "id": "web:1"},
             "endpoints": [{"name": "http", "containerPort": 8080, "hostPort": 0, "protocol": ["tcp"],
                            "labels": {"VIP_0": "/pod:80"}}, {"name": "admin", "containerPort": 8081}],
             "healthCheck": {"http": {"endpoint": "http", "path": "/"}, "intervalSeconds": 5, "maxConsecutiveFailures": 2}},
            {"name": "side", "resources": {"cpus": 0.1, "mem": 32}, "exec": {"command": {"shell": "sleep 1"}}}]})
}

fn id() -> PathId {
    PathId::lenient("/shop/pod")
}

fn caller(uri: &str) -> Caller {
    Caller { client_ip: "10.0.0.9".into(), uri: uri.into() }
}

fn create(bench: &mut Bench, body: Value) -> Answer {
    bench.call(Command::CreatePod { body, force: false, caller: caller("/v2/pods") })
}

fn status(bench: &Bench) -> Value {
    serde_json::from_str(&bench.cluster.pod_status(&id()).body.expect("a body")).expect("json")
}

#[test]
fn creating_tells_containers_instance_and_write() {
    let mut bench = Bench::new(&quick());
    let answer = create(&mut bench, pod(1));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(answer.deployment.is_some() && answer.location.as_deref() == Some("/shop/pod"));
    let expected = words(&[&[
        "deployment_info(StartPod)",
        "deployment_step_success",
        "deployment_info(ScalePod)",
        "I:Scheduled",
        "I:Provisioned",
        "S:STAGING",
        "S:STAGING",
        "I:Staging",
        "S:STARTING",
        "S:STARTING",
        "I:Starting",
        "S:RUNNING",
        "S:RUNNING",
        "I:Running",
        "S:RUNNING",
        "H+",
        "deployment_step_success",
        "deployment_success",
        "group_change_success",
        "pod_created_event",
    ]]);
    let events = bench.events.clone();
    assert_eq!(bench.told(), expected);
    let info = &events[0];
    assert_eq!(info["currentStep"]["actions"][0]["pod"], "/shop/pod");
    let staged = events.iter().find(|event| event["taskStatus"] == "TASK_STAGING").expect("one");
    let task = staged["taskId"].as_str().expect("an id");
    assert!(task.starts_with("shop_pod.instance-") && task.ends_with(".web.1"), "{task}");
    assert_eq!(staged["appId"], "/shop/pod");
    assert_eq!(staged["ports"].as_array().map(Vec::len), Some(1));
    let written = events.iter().find(|event| event["eventType"] == "pod_created_event").expect("one");
    assert_eq!((&written["uri"], &written["clientIp"]), (&json!("/v2/pods"), &json!("10.0.0.9")));
}

#[test]
fn the_status_has_what_the_recordings_have() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(2));
    let status = status(&bench);
    assert_eq!((&status["status"], &status["spec"]["scaling"]["instances"]), (&json!("STABLE"), &json!(2)));
    assert_eq!(status["spec"]["executorResources"], json!({"cpus": 0.1, "mem": 32, "disk": 10}));
    assert!(status["spec"]["scheduling"].get("placement").is_none());
    let instance = &status["instances"][0];
    assert_eq!(instance["status"], "STABLE");
    assert_eq!(instance["networks"][0]["name"], "dcos");
    assert!(instance["networks"][0]["addresses"][0].as_str().expect("an address").starts_with("9.0."));
    assert_eq!(instance["resources"]["cpus"].as_f64().map(|cpus| (cpus * 10.0).round()), Some(4.0));
    let (web, side) = (&instance["containers"][0], &instance["containers"][1]);
    assert_eq!(web["conditions"][0]["value"], "true");
    assert_eq!(web["conditions"][0]["reason"], "health-reported-by-mesos");
    assert_eq!(web["endpoints"][0]["healthy"], true);
    assert!(web["endpoints"][0]["allocatedHostPort"].as_u64().expect("a port") >= 31_000);
    assert!(web["endpoints"][1].get("allocatedHostPort").is_none());
    assert_eq!(side["conditions"], json!([]));
    assert_eq!(side["status"], "TASK_RUNNING");
    let reference = instance["specReference"].as_str().expect("a reference");
    assert!(reference.starts_with("/v2/pods/shop/pod::versions/20"), "{reference}");
    let version = reference.rsplit('/').next().expect("a version");
    assert_eq!(bench.cluster.pod_version(&id(), version).status, 200);
    // Groups embed the status; tasks never have a pod's containers.
    let answer = bench.cluster.group(&PathId::root(), &Embeds::of_group([]));
    let root: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
    assert_eq!(root["groups"][0]["pods"][0]["instances"].as_array().map(Vec::len), Some(2));
    assert_eq!(root["groups"][0]["apps"], json!([]));
    assert!(bench.tasks().is_empty());
    assert_eq!(bench.cluster.app(&id(), &Embeds::of_app([])).status, 404);
}

#[test]
fn before_the_first_report_health_is_unreported_and_false() {
    let mut bench = Bench::new(&SimOptions {
        timeline: crate::Timeline { first_health: Some(Span::exactly(60_000)), ..quick().timeline },
        ..SimOptions::default()
    });
    create(&mut bench, pod(1));
    let status = status(&bench);
    let web = &status["instances"][0]["containers"][0];
    assert_eq!(web["conditions"][0]["value"], "false");
    assert_eq!(web["conditions"][0]["reason"], "health-unreported-by-mesos");
    assert_eq!(web["endpoints"][0]["healthy"], false);
    assert_eq!(
        (&status["status"], &status["instances"][0]["status"]),
        (&json!("DEGRADED"), &json!("DEGRADED"))
    );
}

#[test]
fn updating_rolls_and_scaling_does_not() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(2));
    bench.told();
    let update = |body: Value| Command::UpdatePod {
        id: id(),
        body,
        force: false,
        caller: caller("/v2/pods/shop/pod"),
    };
    assert_eq!(bench.call(update(pod(3))).status, 200);
    let told = bench.told();
    assert_eq!(told[0], "deployment_info(ScalePod)");
    assert!(told.contains(&"pod_updated_event".to_owned()) && !told.contains(&"S:KILLED".to_owned()));
    let mut changed = pod(3);
    changed["containers"][0]["image"]["id"] = json!("web:2");
    assert_eq!(bench.call(update(changed)).status, 200);
    let told = bench.told();
    assert_eq!(told[0], "deployment_info(RestartPod)");
    assert_eq!(told.iter().filter(|word| *word == "S:KILLED").count(), 6);
    assert_eq!(status(&bench)["instances"].as_array().map(Vec::len), Some(3));
    let versions: Value =
        serde_json::from_str(&bench.cluster.pod_versions(&id()).body.expect("it")).expect("json");
    assert_eq!(versions.as_array().map(Vec::len), Some(3));
}

#[test]
fn deleting_ends_with_app_terminated() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(1));
    bench.told();
    let answer =
        bench.call(Command::DeletePod { id: id(), force: true, caller: caller("/v2/pods/shop/pod") });
    assert_eq!(answer.status, 202);
    assert!(answer.location.expect("a location").starts_with("/v2/deployments/"));
    let told = bench.told();
    assert_eq!(told[..2], ["deployment_info(StopPod)", "I:Running"], "the goal first");
    for wanted in ["pod_deleted_event", "app_terminated_event", "deployment_success"] {
        assert!(told.contains(&wanted.to_owned()), "{wanted} in {told:?}");
    }
    assert_eq!(told.iter().filter(|word| *word == "S:KILLED").count(), 2);
    assert_eq!(bench.cluster.pod_status(&id()).status, 404);
    assert_eq!(bench.cluster.pods().body.as_deref(), Some("[]"));
}

#[test]
fn one_failing_container_takes_the_others_along() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(1));
    bench.told();
    let side =
        status(&bench)["instances"][0]["containers"][1]["containerId"].as_str().expect("it").to_owned();
    bench.call(Command::EndTask { task: side, fate: Fate::Fail });
    let told = bench.told();
    assert_eq!(told[..4], ["S:FAILED", "S:KILLED", "I:Failed", "I:Scheduled"], "{told:?}");
    let container = status(&bench)["instances"][0]["containers"][1]["containerId"].clone();
    assert!(container.as_str().expect("an id").ends_with(".side.2"), "{container}");
}

#[test]
fn a_sick_container_fails_after_its_limit() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(1));
    bench.told();
    let web = status(&bench)["instances"][0]["containers"][0]["containerId"].as_str().expect("it").to_owned();
    bench.give(Command::SetHealth { task: web, alive: false });
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.told(), ["S:RUNNING", "H-"]);
    assert_eq!(status(&bench)["instances"][0]["status"], "DEGRADED");
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.told()[..3], ["S:FAILED", "S:KILLED", "I:Failed"]);
}

#[test]
fn instances_can_be_killed_one_by_one() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(2));
    let instance = status(&bench)["instances"][0]["id"].as_str().expect("an id").to_owned();
    let kill = |instances: Vec<String>, one| Command::KillPodInstances { id: id(), instances, one };
    let answer = bench.call(kill(vec![instance.clone()], true));
    let body: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
    assert_eq!(body["id"], instance.as_str());
    assert_eq!(bench.call(kill(vec!["x".into()], true)).status, 404);
    assert_eq!(bench.call(kill(vec!["x".into()], false)).body.as_deref(), Some("[]"));
    assert_eq!(status(&bench)["status"], "STABLE");
}

#[test]
fn pods_and_apps_share_their_names() {
    let mut bench = Bench::new(&quick());
    create(&mut bench, pod(1));
    assert_eq!(create(&mut bench, pod(1)).status, 409);
    assert_eq!(bench.create(json!({"id": "/shop/pod", "cmd": "x"})).status, 409);
    assert_eq!(bench.put("/shop/pod", json!({"cmd": "x"})).status, 409);
    assert_eq!(
        bench.call(Command::DeleteApp { id: id(), force: true, caller: Caller::default() }).status,
        404
    );
    assert_eq!(bench.call(Command::RestartApp { id: id(), force: true }).status, 404);
    bench.create(json!({"id": "/app", "cmd": "x"}));
    let mut body = pod(1);
    body["id"] = json!("/app");
    assert_eq!(create(&mut bench, body).status, 409);
    let update =
        Command::UpdatePod { id: PathId::lenient("/app"), body: pod(1), force: true, caller: caller("x") };
    assert_eq!(bench.call(update).status, 404);
    // A group's list of apps says nothing about its pods.
    let group = Command::UpdateGroup {
        id: PathId::lenient("/shop"),
        body: json!({"apps": [{"id": "other", "cmd": "x"}]}),
        force: true,
        dry_run: false,
        must_be_new: false,
    };
    assert_eq!(bench.call(group).status, 200);
    assert_eq!(bench.cluster.pod(&id()).status, 200);
}

#[test]
fn modes_and_bad_pods() {
    let mut bench = Bench::new(&quick());
    for (mode, prefix) in [("host", "10.0."), ("container/bridge", "172.17.")] {
        let mut body = pod(1);
        body["networks"] = json!([{"mode": mode}]);
        body["id"] = json!(format!("/shop/{}", mode.len()));
        assert_eq!(create(&mut bench, body).status, 201);
        let answer = bench.cluster.pod_status(&PathId::lenient(&format!("/shop/{}", mode.len())));
        let found: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
        let network = &found["instances"][0]["networks"][0];
        assert!(network["addresses"][0].as_str().expect("an address").starts_with(prefix));
        assert!(network.get("name").is_none());
    }
    for (change, status) in [
        (json!({"containers": []}), 422),
        (json!({"containers": [{"name": "A"}]}), 422),
        (json!({"containers": [{"name": "a"}, {"name": "a"}]}), 422),
        (json!({"containers": [{"name": "a", "healthCheck": {"http": {"endpoint": "x"}}}]}), 422),
        (json!({"containers": "x"}), 400),
        (json!({"scaling": {"instances": -1}}), 400),
        (json!({"id": "/Shop"}), 422),
    ] {
        let mut body = pod(1);
        body["id"] = json!("/bad");
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let answer = create(&mut bench, body);
        assert_eq!(answer.status, status, "{change}: {answer:?}");
    }
}

#[test]
fn a_lost_agent_makes_a_pod_unreachable() {
    let mut bench = Bench::new(&SimOptions { agents: 1, ..quick() });
    let mut body = pod(1);
    body["scheduling"] = json!({"unreachableStrategy": "disabled"});
    create(&mut bench, body);
    bench.told();
    let host = status(&bench)["instances"][0]["agentHostname"].as_str().expect("a host").to_owned();
    bench.call(Command::ChangeAgent { agent: host.clone(), fate: AgentFate::Lose });
    assert_eq!(bench.told(), ["S:UNREACHABLE", "S:UNREACHABLE", "I:Unreachable"]);
    let lost = status(&bench)["instances"][0].clone();
    assert_eq!(lost["message"], "pod instance has become unreachable");
    bench.call(Command::ChangeAgent { agent: host, fate: AgentFate::Return });
    assert_eq!(bench.told()[..3], ["S:RUNNING", "S:RUNNING", "I:Running"]);
}
