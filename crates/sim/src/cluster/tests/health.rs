//! Crashes, health, leader changes and lost agents.

use super::*;

#[test]
fn a_crash_is_backed_off_and_remembered() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/a", "cmd": "x", "backoffSeconds": 2}));
    bench.told();
    let task = bench.task_id();
    bench.give(Command::EndTask { task: task.clone(), fate: Fate::Fail });
    bench.pass(Duration::from_millis(1900));
    assert_eq!(bench.told(), ["S:FAILED", "I:Failed", "I:Scheduled"]);
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.told(), words(&[&LAUNCH[..7]]));
    assert_eq!(bench.app("/a")["lastTaskFailure"]["taskId"], task);
}

#[test]
fn health_flips_at_once_and_kills_after_max_plus_one() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    let task = bench.task_id();
    bench.call(Command::SetHealth { task: task.clone(), alive: false });
    bench.pass(Duration::from_secs(10));
    let failure = "failed_health_check_event";
    let expected = words(&[
        &[failure, "health_status_changed_event", "H-", failure, failure],
        &[
            failure,
            "unhealthy_instance_kill_event",
            "S:KILLING",
            "I:Killing",
            "S:KILLED",
            "I:Killed",
            "I:Scheduled",
        ],
        &LAUNCH,
    ]);
    assert_eq!(bench.told(), expected);
    assert_ne!(bench.task_id(), task);
}

#[test]
fn health_recovers() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    let task = bench.task_id();
    bench.give(Command::SetHealth { task: task.clone(), alive: false });
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.app("/shop/web")["tasksUnhealthy"], 1);
    bench.give(Command::SetHealth { task, alive: true });
    bench.pass(Duration::from_secs(6));
    let told = bench.told();
    assert_eq!(told[told.len() - 2..], ["health_status_changed_event", "H+"]);
    assert_eq!(bench.tasks()[0]["healthCheckResults"][0]["consecutiveFailures"], 0);
}

#[test]
fn failures_within_grace_do_not_count() {
    let mut bench = Bench::new(&SimOptions { healthy: false, ..quick() });
    let mut body = web(1);
    body["healthChecks"][0]["gracePeriodSeconds"] = json!(60);
    bench.create(body);
    let results = bench.tasks()[0]["healthCheckResults"].clone();
    assert_eq!(results[0]["alive"], false);
    assert_eq!(results[0]["consecutiveFailures"], 0);
    assert!(results[0].get("lastFailure").is_none());
    assert!(!bench.told().contains(&"failed_health_check_event".to_owned()));
}

#[test]
fn a_steady_check_is_computed_not_simulated() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    assert_eq!(bench.cluster.wake_at(), None, "a healthy cluster sleeps");
    let first = bench.tasks()[0]["healthCheckResults"][0]["lastSuccess"].clone();
    bench.pass(Duration::from_secs(60));
    let later = bench.tasks()[0]["healthCheckResults"][0]["lastSuccess"].clone();
    assert!(later.as_str() > first.as_str(), "{first} {later}");
}

#[test]
fn mesos_checks_repeat_running_and_fail_by_themselves() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/a", "cmd": "x", "healthChecks":
        [{"protocol": "MESOS_HTTP", "path": "/", "intervalSeconds": 1, "maxConsecutiveFailures": 2}]}));
    let told = bench.told();
    assert_eq!(told.iter().filter(|word| *word == "S:RUNNING").count(), 2);
    let task = bench.task_id();
    bench.give(Command::SetHealth { task, alive: false });
    bench.pass(Duration::from_millis(2500));
    let mut told = bench.told();
    // The tracker and the health actor may both tell of it.
    told.dedup();
    assert_eq!(told[..5], ["S:RUNNING", "health_status_changed_event", "H-", "S:FAILED", "I:Failed"]);
    assert!(!told.contains(&"failed_health_check_event".to_owned()));
}

#[test]
fn a_new_leader_forgets_what_marathon_probed() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    bench.give(Command::ChangeLeader { leader: "other:8080".into() });
    assert_eq!(bench.tasks()[0]["healthCheckResults"], json!([]));
    assert_eq!(bench.app("/shop/web")["tasksHealthy"], 0);
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.app("/shop/web")["tasksHealthy"], 1);
    let told = bench.told();
    assert_eq!(told[..2], ["scheduler_reregistered_event", "add_health_check_event"]);
}

#[test]
fn a_lost_task_is_replaced_by_another_instance() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/a", "cmd": "x"}));
    bench.told();
    let task = bench.task_id();
    bench.call(Command::EndTask { task: task.clone(), fate: Fate::Lose });
    assert_eq!(
        bench.told()[..4],
        ["S:UNREACHABLE", "I:Unreachable", "S:UNREACHABLE", "I:UnreachableInactive"]
    );
    assert_eq!(bench.tasks().len(), 1);
    assert_ne!(bench.task_id(), task);
}

#[test]
fn kill_grace_is_the_apps_own() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/a", "cmd": "x", "taskKillGracePeriodSeconds": 7}));
    bench.told();
    bench.give(Command::DeleteApp { id: PathId::lenient("/a"), force: true, caller: Caller::default() });
    bench.pass(Duration::from_millis(6900));
    assert!(!bench.told().contains(&"S:KILLED".to_owned()));
    bench.pass(Duration::from_millis(200));
    assert!(bench.told().contains(&"S:KILLED".to_owned()));
}
