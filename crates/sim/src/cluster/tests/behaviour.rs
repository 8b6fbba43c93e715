//! Scripted tasks, the bus, and the clock.

use super::*;

fn behave(bench: &mut Bench, behaviour: Value) {
    let behaviour = serde_json::from_value(behaviour).expect("a behaviour");
    let answer = bench.call(Command::SetBehaviour { app: PathId::lenient("/a"), behaviour: Some(behaviour) });
    assert_eq!(answer.status, 200);
}

#[test]
fn a_crash_loop_slows_down() {
    let mut bench = Bench::new(&quick());
    behave(&mut bench, json!({"crashAfterMs": 500, "startMs": 100, "healthMs": 60_000}));
    bench.create(json!({"id": "/a", "cmd": "x", "backoffFactor": 2, "maxLaunchDelaySeconds": 3600,
        "healthChecks": [{"protocol": "HTTP", "path": "/"}]}));
    bench.pass(Duration::from_secs(180));
    let seconds = |event: &Value| {
        let text = event["timestamp"].as_str().expect("a time");
        let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().expect("digits");
        number(14..16) * 60 + number(17..19)
    };
    let failed: Vec<u64> =
        bench.events.iter().filter(|event| event["taskStatus"] == "TASK_FAILED").map(seconds).collect();
    let gaps: Vec<u64> = failed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 5, "{gaps:?}");
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]) && gaps[4] >= 8 * gaps[0].max(1), "{gaps:?}");
    assert_eq!(bench.app("/a")["lastTaskFailure"]["state"], "TASK_FAILED");
}

#[test]
fn flapping_follows_the_script() {
    let mut bench = Bench::new(&quick());
    let mut body = web(1);
    body["healthChecks"][0]["maxConsecutiveFailures"] = json!(0);
    bench.create(body);
    let task = bench.task_id();
    bench.told();
    let flap = |task: &str, alive, flap_ms| Command::FlapHealth { task: task.to_owned(), alive, flap_ms };
    bench.give(flap(&task, None, Some(20_000)));
    bench.pass(Duration::from_secs(121));
    let told = bench.told();
    let ups = told.iter().filter(|word| *word == "H+").count();
    let downs = told.iter().filter(|word| *word == "H-").count();
    assert_eq!((ups, downs), (3, 3), "{told:?}");
    bench.give(flap(&task, Some(true), None));
    bench.pass(Duration::from_secs(200));
    assert!(!bench.told().contains(&"H-".to_owned()), "a fixed answer ends it");
    assert_eq!(bench.call(flap(&task, None, None)).status, 422);
}

#[test]
fn tasks_that_are_never_well_hold_a_deployment_up() {
    for behaviour in [json!({"healthy": false}), json!({"ready": false})] {
        let mut bench = Bench::new(&quick());
        behave(&mut bench, behaviour);
        bench.create(json!({"id": "/a", "cmd": "x", "healthChecks": [{"protocol": "HTTP", "path": "/"}],
            "readinessChecks": [{"name": "ready", "preserveLastResponse": true}]}));
        bench.pass(Duration::from_secs(120));
        assert!(!bench.told().contains(&"deployment_success".to_owned()));
        assert_eq!(bench.app("/a")["deployments"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn readiness_shows_only_while_the_deployment_runs() {
    let mut bench = Bench::new(&quick());
    behave(&mut bench, json!({"readyMs": 30_000}));
    bench.create(json!({"id": "/a", "cmd": "x",
        "readinessChecks": [{"name": "warm", "portName": "default", "preserveLastResponse": true}]}));
    let deployments = |bench: &Bench| -> Value {
        serde_json::from_str(&bench.cluster.deployments().body.expect("a body")).expect("json")
    };
    let result = deployments(&bench)[0]["currentActions"][0]["readinessCheckResults"][0].clone();
    assert_eq!((&result["name"], &result["ready"]), (&json!("warm"), &json!(false)));
    assert_eq!(result["lastResponse"]["status"], 503, "{result}");
    assert_eq!(bench.app("/a")["readinessCheckResults"], Value::Null, "only if asked for");
    let shown = |bench: &Bench| {
        let answer = bench.cluster.app(&PathId::lenient("/a"), &Embeds::of_app(["apps.readiness"]));
        let body: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
        body["app"]["readinessCheckResults"].clone()
    };
    assert_eq!(shown(&bench).as_array().map(Vec::len), Some(1));
    bench.pass(Duration::from_secs(15));
    assert!(bench.told().contains(&"deployment_success".to_owned()));
    assert_eq!(deployments(&bench), json!([]));
    assert_eq!(shown(&bench), json!([]));
}

#[test]
fn a_launch_that_takes_too_long_is_killed() {
    let mut bench = Bench::new(&quick());
    behave(&mut bench, json!({"startMs": 100, "pullMs": 400_000}));
    bench.create(json!({"id": "/a", "cmd": "x"}));
    assert_eq!(bench.tasks()[0]["state"], "TASK_STAGING");
    bench.pass(Duration::from_secs(301));
    let told = bench.told();
    assert!(told.contains(&"S:KILLED".to_owned()) && !told.contains(&"S:RUNNING".to_owned()), "{told:?}");
    bench.call(Command::SetBehaviour { app: PathId::lenient("/a"), behaviour: None });
    bench.pass(Duration::from_secs(301));
    assert_eq!(bench.tasks()[0]["state"], "TASK_RUNNING");
}

#[test]
fn apps_with_local_volumes_are_resident() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/a", "cmd": "x", "instances": 2, "container": {"type": "MESOS", "volumes":
        [{"containerPath": "d", "mode": "RW", "persistent": {"size": 10}}]}}));
    let app = bench.app("/a");
    assert_eq!(app["unreachableStrategy"], "disabled");
    assert_eq!(app["upgradeStrategy"], json!({"maximumOverCapacity": 0, "minimumHealthCapacity": 0.5}));
    bench.told();
    bench.put("/a", json!({"cmd": "y"}));
    let most = bench.events.iter().scan(2_i32, |live, event| {
        *live +=
            i32::from(event["condition"] == "Provisioned") - i32::from(event["taskStatus"] == "TASK_KILLED");
        Some(*live)
    });
    assert_eq!(most.max(), Some(2), "one below, never one above");
}

#[test]
fn an_address_may_come_late() {
    let mut bench = Bench::new(&quick());
    behave(&mut bench, json!({"addressMs": 2000}));
    bench.give(Command::CreateApp {
        body: json!({"id": "/a", "cmd": "x", "networks": [{"mode": "container", "name": "n"}]}),
        force: false,
        caller: Caller::default(),
    });
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.tasks()[0]["state"], "TASK_RUNNING");
    assert_eq!(bench.tasks()[0]["ipAddresses"], json!([]));
    bench.pass(Duration::from_secs(2));
    let running: Vec<Value> =
        bench.events.iter().filter(|event| event["taskStatus"] == "TASK_RUNNING").cloned().collect();
    assert_eq!(running.len(), 2);
    assert_eq!(running[0]["ipAddresses"], json!([]));
    assert_eq!(running[1]["ipAddresses"], bench.tasks()[0]["ipAddresses"]);
}

#[test]
fn a_jump_moves_time_stamps_and_no_timer() {
    for jump in [3_600_000, -3_600_000_i64] {
        let mut bench = Bench::new(&quick());
        behave(&mut bench, json!({"startMs": 10_000}));
        bench.give(Command::CreateApp {
            body: json!({"id": "/a", "cmd": "x"}),
            force: false,
            caller: Caller::default(),
        });
        bench.pass(Duration::from_secs(5));
        let before = bench.cluster.wake_at();
        assert_eq!(bench.call_now(Command::JumpClock { ms: jump }).status, 200);
        assert_eq!(bench.cluster.wake_at(), before, "{jump}");
        bench.pass(Duration::from_secs(4));
        assert_ne!(bench.tasks()[0]["state"], "TASK_RUNNING");
        bench.pass(Duration::from_secs(2));
        assert_eq!(bench.tasks()[0]["state"], "TASK_RUNNING");
        let hour = &bench.tasks()[0]["startedAt"].as_str().expect("a time")[11..13].to_owned();
        assert_eq!(hour, if jump > 0 { "11" } else { "09" });
        // A version is later than the ones before, whatever the clock says.
        let old = bench.app("/a")["version"].as_str().expect("a version").to_owned();
        bench.put("/a", json!({"cmd": "y"}));
        assert!(bench.app("/a")["version"].as_str().expect("a version") > old.as_str());
    }
    let mut bench = Bench::new(&quick());
    assert_eq!(bench.call(Command::JumpClock { ms: i64::MIN }).status, 422);
}

#[test]
fn a_bad_bus_loses_doubles_and_reorders() {
    let told = |trouble: Value| {
        let mut bench = Bench::new(&quick());
        let trouble = serde_json::from_value(trouble).expect("trouble");
        assert_eq!(bench.call(Command::DisturbBus { trouble }).status, 200);
        bench.create(web(3));
        bench.told()
    };
    let clean = told(json!({}));
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert!(told(json!({"dropPercent": 100})).is_empty());
    let doubled = told(json!({"duplicatePercent": 100}));
    assert_eq!(doubled.len(), 2 * clean.len());
    let late = told(json!({"delayMs": 500}));
    assert_eq!(late, clean, "all the same, only later");
    let mixed = told(json!({"reorderMs": 1000}));
    assert_ne!(mixed, clean);
    assert_eq!(sorted(mixed), sorted(clean.clone()));
    let some = told(json!({"dropPercent": 100, "types": ["status_update_event"]}));
    assert!(some.iter().all(|word| !word.starts_with("S:")) && some.len() < clean.len());
    let bad = serde_json::from_value(json!({"dropPercent": 101})).expect("a number");
    assert_eq!(Bench::new(&quick()).call(Command::DisturbBus { trouble: bad }).status, 422);
}
