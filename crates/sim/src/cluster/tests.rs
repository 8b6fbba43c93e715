//! The flows of a Marathon 1.8 as sequences of event types, in virtual time.

use super::*;
use serde_json::{Value, json};

/// Drives a cluster in virtual time and keeps everything it said.
struct Bench {
    cluster: Cluster,
    now: Time,
    ticket: Ticket,
    events: Vec<Value>,
    answers: BTreeMap<Ticket, Answer>,
}

const START: Time = Time(1_767_607_200_000);

impl Bench {
    fn new(options: &SimOptions) -> Bench {
        let cluster = Cluster::new(options, START);
        Bench { cluster, now: START, ticket: 0, events: Vec::new(), answers: BTreeMap::new() }
    }

    fn take(&mut self, step: Step) -> Option<Time> {
        for effect in step.effects {
            match effect {
                Effect::Event(event) => {
                    let body: Value = serde_json::from_str(&event.body).expect("events are JSON");
                    assert_eq!(body["eventType"], *event.event_type);
                    self.events.push(body);
                }
                Effect::Answer(ticket, answer) => {
                    assert!(self.answers.insert(ticket, answer).is_none(), "one answer per ticket");
                }
                _ => {}
            }
        }
        step.wake_at
    }

    fn give(&mut self, command: Command) -> Ticket {
        self.ticket += 1;
        let step = self.cluster.apply(self.now, self.ticket, command);
        self.take(step);
        self.ticket
    }

    /// Lets time pass until nothing is due before `now + span`.
    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(due) = self.cluster.wake_at().filter(|due| *due <= end) {
            self.now = due;
            let step = self.cluster.advance(due);
            self.take(step);
        }
        self.now = end;
        let step = self.cluster.advance(end);
        self.take(step);
    }

    fn quiet(&mut self) {
        self.pass(Duration::from_secs(20));
    }

    fn call(&mut self, command: Command) -> Answer {
        let ticket = self.give(command);
        self.quiet();
        self.answers[&ticket].clone()
    }

    fn create(&mut self, body: Value) -> Answer {
        self.call(Command::CreateApp { body, force: false, caller: Caller::default() })
    }

    fn put(&mut self, id: &str, body: Value) -> Answer {
        let caller = Caller::default();
        let id = PathId::lenient(id);
        self.call(Command::UpdateApp { id, body, force: false, partial: true, create: true, caller })
    }

    /// The events since the last call, in short: `S:RUNNING`, `I:Running`, `H+`, or the event type.
    fn told(&mut self) -> Vec<String> {
        let short = |event: &Value| match event["eventType"].as_str().expect("a type") {
            "status_update_event" => format!("S:{}", &event["taskStatus"].as_str().expect("a state")[5..]),
            "instance_changed_event" => format!("I:{}", event["condition"].as_str().expect("a condition")),
            "instance_health_changed_event" if event["healthy"] == true => "H+".to_owned(),
            "instance_health_changed_event" => "H-".to_owned(),
            "deployment_info" => {
                let action = event["currentStep"]["actions"][0]["action"].as_str().expect("an action");
                format!("deployment_info({action})")
            }
            other => other.to_owned(),
        };
        std::mem::take(&mut self.events).iter().map(short).collect()
    }

    fn tasks(&self) -> Vec<Value> {
        let answer = self.cluster.tasks(&[]);
        let body: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
        body["tasks"].as_array().expect("a list").clone()
    }

    fn app(&self, id: &str) -> Value {
        let answer = self.cluster.app(&PathId::lenient(id), &Embeds::of_app([]));
        let body: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
        body["app"].clone()
    }

    fn task_id(&self) -> String {
        self.tasks()[0]["id"].as_str().expect("an id").to_owned()
    }
}

fn quick() -> SimOptions {
    SimOptions {
        timeline: crate::Timeline { visibility_lag: Span::exactly(10), ..crate::Timeline::immediate() },
        ..SimOptions::default()
    }
}

fn web(instances: u32) -> Value {
    json!({"id": "/shop/web", "cmd": "run", "instances": instances,
        "healthChecks": [{"protocol": "HTTP", "path": "/", "portIndex": 0, "intervalSeconds": 5, "gracePeriodSeconds": 1}]})
}

const LAUNCH: [&str; 9] = [
    "I:Provisioned",
    "S:STAGING",
    "I:Staging",
    "S:STARTING",
    "I:Starting",
    "S:RUNNING",
    "I:Running",
    "health_status_changed_event",
    "H+",
];

fn words(list: &[&[&str]]) -> Vec<String> {
    list.concat().into_iter().map(str::to_owned).collect()
}

#[test]
fn create_tells_everything_in_order() {
    let mut bench = Bench::new(&quick());
    let answer = bench.create(web(1));
    assert_eq!(answer.status, 201);
    assert_eq!(answer.location.as_deref(), Some("/shop/web"));
    let expected = words(&[
        &["deployment_info(StartApplication)", "add_health_check_event", "deployment_step_success"],
        &["deployment_info(ScaleApplication)", "I:Scheduled"],
        &LAUNCH,
        &["deployment_step_success", "deployment_success", "group_change_success", "api_post_event"],
    ]);
    assert_eq!(bench.told(), expected);
    let app = bench.app("/shop/web");
    assert_eq!((&app["tasksRunning"], &app["tasksHealthy"]), (&json!(1), &json!(1)));
    assert!(bench.task_id().starts_with("shop_web.instance-") && bench.task_id().ends_with("._app.1"));
}

#[test]
fn a_definition_is_visible_only_after_the_lag() {
    let mut bench = Bench::new(&quick());
    bench.give(Command::CreateApp { body: web(1), force: false, caller: Caller::default() });
    assert!(bench.told().contains(&"deployment_info(StartApplication)".to_owned()));
    assert_eq!(bench.cluster.app(&PathId::lenient("/shop/web"), &Embeds::of_app([])).status, 404);
    bench.pass(Duration::from_millis(10));
    assert_eq!(bench.cluster.app(&PathId::lenient("/shop/web"), &Embeds::of_app([])).status, 200);
}

#[test]
fn scaling_up_and_down() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    assert_eq!(bench.put("/shop/web", json!({"instances": 2})).status, 200);
    let up = bench.told();
    assert_eq!(up[..3], ["deployment_info(ScaleApplication)", "add_health_check_event", "I:Scheduled"]);
    assert_eq!(bench.app("/shop/web")["tasksRunning"], 2);
    let version = bench.app("/shop/web")["versionInfo"].clone();
    assert_ne!(version["lastScalingAt"], version["lastConfigChangeAt"]);

    bench.put("/shop/web", json!({"instances": 1}));
    let down = words(&[&[
        "deployment_info(ScaleApplication)",
        "add_health_check_event",
        "I:Running",
        "S:KILLING",
        "I:Killing",
        "S:KILLED",
        "I:Killed",
        "deployment_step_success",
        "deployment_success",
        "group_change_success",
        "api_post_event",
    ]]);
    assert_eq!(bench.told(), down);
}

#[test]
fn an_unchanged_definition_keeps_its_version() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    let version = bench.app("/shop/web")["version"].clone();
    bench.told();
    bench.put("/shop/web", json!({"cmd": "run"}));
    assert_eq!(bench.told(), ["group_change_success", "api_post_event", "deployment_success"]);
    assert_eq!(bench.app("/shop/web")["version"], version);
}

#[test]
fn a_rolling_update_never_leaves_its_bounds() {
    for (minimum, over) in [(0.25, 0.25), (1.0, 0.0), (1.0, 1.0), (0.5, 0.0)] {
        let mut bench = Bench::new(&quick());
        let mut body = web(4);
        body["upgradeStrategy"] = json!({"minimumHealthCapacity": minimum, "maximumOverCapacity": over});
        bench.create(body);
        bench.told();
        bench.give(Command::UpdateApp {
            id: PathId::lenient("/shop/web"),
            body: json!({"cmd": "run2"}),
            force: false,
            partial: true,
            create: true,
            caller: Caller::default(),
        });
        let (least, most) = (
            (4.0 * minimum) as usize,
            4 + (4.0 * over) as usize + usize::from(minimum == 1.0 && over == 0.0),
        );
        for _ in 0..400 {
            bench.pass(Duration::from_millis(1));
            let state = bench.cluster.state();
            let tasks = state["tasks"].as_array().expect("tasks");
            let good = tasks.iter().filter(|task| task["routable"] == true).count();
            assert!(good >= least && tasks.len() <= most, "{minimum}/{over}: {good} good of {}", tasks.len());
        }
        bench.quiet();
        let told = bench.told();
        assert_eq!(told[..2], ["deployment_info(RestartApplication)", "add_health_check_event"]);
        assert!(told.contains(&"deployment_success".to_owned()), "{told:?}");
        assert_eq!(told.iter().filter(|word| *word == "S:KILLED").count(), 4);
        let version = bench.app("/shop/web")["version"].clone();
        assert!(bench.tasks().iter().all(|task| task["version"] == version));
    }
}

#[test]
fn restart_posts_no_api_event_and_locks() {
    let mut bench = Bench::new(&quick());
    bench.create(web(1));
    bench.told();
    let id = PathId::lenient("/shop/web");
    bench.give(Command::RestartApp { id: id.clone(), force: false });
    let second = bench.give(Command::RestartApp { id: id.clone(), force: false });
    assert_eq!(bench.answers[&second].status, 409);
    let third = bench.give(Command::RestartApp { id, force: true });
    bench.quiet();
    assert_eq!(bench.answers[&third].status, 200);
    let told = bench.told();
    assert!(told.contains(&"deployment_failed".to_owned()) && !told.contains(&"api_post_event".to_owned()));
    assert_eq!(bench.app("/shop/web")["deployments"], json!([]));
}

#[test]
fn deletion_hides_tasks_before_they_are_dead() {
    let mut options = quick();
    options.timeline.kill = Span::exactly(500);
    let mut bench = Bench::new(&options);
    bench.create(web(1));
    bench.told();
    bench.give(Command::DeleteApp { id: PathId::lenient("/shop/web"), force: true });
    bench.pass(Duration::from_millis(50));
    assert!(bench.tasks().is_empty());
    assert_eq!(bench.cluster.state()["tasks"].as_array().map(Vec::len), Some(1));
    bench.quiet();
    let expected = words(&[&[
        "deployment_info(StopApplication)",
        "remove_health_check_event",
        "I:Running",
        "S:KILLING",
        "I:Killing",
        "group_change_success",
        "S:KILLED",
        "I:Killed",
        "app_terminated_event",
        "deployment_step_success",
        "deployment_success",
    ]]);
    assert_eq!(bench.told(), expected);
    assert_eq!(bench.call(Command::DeleteApp { id: PathId::lenient("/shop/web"), force: true }).status, 404);
}

#[test]
fn a_killed_task_is_replaced_in_the_same_instance() {
    for task_killing in [true, false] {
        let mut bench = Bench::new(&SimOptions { task_killing, ..quick() });
        bench.create(web(1));
        bench.told();
        let task = bench.task_id();
        let target = KillTarget::Ids(vec![task.clone()]);
        let answer = bench.call(Command::KillTasks { target, scale: false, wipe: false, force: false });
        assert!(answer.body.expect("a body").contains(&task));
        let killing: &[&str] = if task_killing { &["S:KILLING", "I:Killing"] } else { &[] };
        assert_eq!(bench.told(), words(&[killing, &["S:KILLED", "I:Killed", "I:Scheduled"], &LAUNCH]));
        assert_eq!(bench.task_id(), task.replace("._app.1", "._app.2"));
    }
}

#[test]
fn killing_with_scale_is_a_deployment() {
    let mut bench = Bench::new(&quick());
    bench.create(web(2));
    let task = bench.task_id();
    let target = KillTarget::Task { app: PathId::lenient("/shop/web"), task: task.clone() };
    let answer = bench.call(Command::KillTasks { target, scale: true, wipe: false, force: false });
    assert!(answer.body.expect("a body").contains("deploymentId"));
    assert_eq!(bench.app("/shop/web")["instances"], 1);
    assert_eq!(bench.tasks().len(), 1);
    assert_ne!(bench.task_id(), task);
}

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
    let told = bench.told();
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
    bench.give(Command::DeleteApp { id: PathId::lenient("/a"), force: true });
    bench.pass(Duration::from_millis(6900));
    assert!(!bench.told().contains(&"S:KILLED".to_owned()));
    bench.pass(Duration::from_millis(200));
    assert!(bench.told().contains(&"S:KILLED".to_owned()));
}

#[test]
fn ports_and_addresses_follow_the_mode() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/host", "cmd": "x", "ports": [0, 0]}));
    bench.create(json!({"id": "/bridge", "container": {"docker": {"image": "i", "network": "BRIDGE",
        "portMappings": [{"containerPort": 80}]}}}));
    bench.create(json!({"id": "/own", "cmd": "x", "networks": [{"mode": "container", "name": "dcos"}],
        "container": {"portMappings": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 0}]}}));
    let host = bench.app("/host");
    assert_eq!(host["portDefinitions"][1]["port"], 10_001);
    assert_eq!(host["tasks"][0]["ports"].as_array().map(Vec::len), Some(2));
    assert_eq!(host["tasks"][0]["ipAddresses"][0]["ipAddress"], host["tasks"][0]["host"]);
    let bridge = bench.app("/bridge");
    assert_eq!(bridge["container"]["portMappings"][0]["servicePort"], 10_002);
    let port = bridge["tasks"][0]["ports"][0].as_u64().expect("a port");
    assert!((31_000..=32_000).contains(&port));
    let own = bench.app("/own");
    assert_eq!(own["tasks"][0]["ports"].as_array().map(Vec::len), Some(1));
    assert!(own["tasks"][0]["ipAddresses"][0]["ipAddress"].as_str().expect("an address").starts_with("9.0."));
    // Posting 0 again keeps the number.
    bench.put("/host", json!({"portDefinitions": [{"port": 0}, {"port": 0}], "cmd": "y"}));
    assert_eq!(bench.app("/host")["portDefinitions"][1]["port"], 10_001);
}

#[test]
fn groups_nest_and_carry_their_apps() {
    let mut bench = Bench::new(&quick());
    let body = json!({"id": "/shop", "groups": [{"id": "inner", "apps": [{"id": "a", "cmd": "x"}]}],
        "apps": [{"id": "b", "cmd": "x", "dependencies": ["inner/a"]}]});
    let update = |body: Value, must_be_new, dry_run| Command::UpdateGroup {
        id: PathId::root(),
        body,
        force: false,
        dry_run,
        must_be_new,
    };
    let plan = bench.call(update(body.clone(), true, true)).body.expect("a body");
    let plan: Value = serde_json::from_str(&plan).expect("json");
    assert_eq!(plan["steps"][1]["actions"][0]["app"], "/shop/inner/a");
    assert_eq!(plan["steps"][2]["actions"][0]["app"], "/shop/b");
    assert_eq!(bench.call(update(body.clone(), true, false)).status, 201);
    assert_eq!(bench.call(update(body, true, false)).status, 409);
    let told = bench.told();
    assert!(!told.contains(&"api_post_event".to_owned()));
    let answer = bench.cluster.group(&PathId::root(), &Embeds::of_group([]));
    let root: Value = serde_json::from_str(&answer.body.expect("a body")).expect("json");
    assert_eq!(root["groups"][0]["groups"][0]["apps"][0]["id"], "/shop/inner/a");
    assert_eq!(root["groups"][0]["apps"][0]["id"], "/shop/b");
    let delete = Command::DeleteGroup { id: PathId::lenient("/shop"), force: true };
    assert_eq!(bench.call(delete).status, 200);
    assert!(bench.tasks().is_empty());
    assert_eq!(bench.cluster.group(&PathId::lenient("/shop"), &Embeds::of_group([])).status, 404);
}

#[test]
fn a_cancelled_update_goes_back() {
    let mut bench = Bench::new(&SimOptions { healthy: false, ..quick() });
    bench.create(json!({"id": "/a", "cmd": "x"}));
    let update = Command::UpdateApp {
        id: PathId::lenient("/a"),
        body: json!({"cmd": "y", "healthChecks": [{"protocol": "HTTP", "path": "/"}]}),
        force: false,
        partial: true,
        create: true,
        caller: Caller::default(),
    };
    let ticket = bench.give(update);
    bench.quiet();
    let id = bench.answers[&ticket].deployment.clone().expect("a deployment");
    assert_eq!(bench.app("/a")["deployments"][0]["id"], id.as_str());
    bench.told();
    assert_eq!(bench.call(Command::CancelDeployment { id: id.clone(), force: false }).status, 200);
    let told = bench.told();
    assert_eq!(told[..2], ["deployment_failed", "deployment_info(RestartApplication)"]);
    assert!(told.contains(&"deployment_success".to_owned()));
    assert_eq!(bench.app("/a")["cmd"], "x");
    assert_eq!(bench.call(Command::CancelDeployment { id, force: true }).status, 404);
}

#[test]
fn fill_puts_tasks_in_place_silently() {
    let mut bench = Bench::new(&quick());
    let answer = bench.call(Command::Fill { apps: 300, tasks: 20, template: None });
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(bench.told().is_empty());
    assert_eq!(bench.tasks().len(), 6000);
    assert_eq!(bench.app("/fill/app-00007")["tasksHealthy"], 20);
    assert_eq!(bench.cluster.wake_at(), None);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let mut bench = Bench::new(&SimOptions { seed, ..SimOptions::default() });
        bench.create(web(3));
        let task = bench.tasks().first().map(|task| task["id"].as_str().expect("an id").to_owned());
        if let Some(task) = task {
            bench.call(Command::EndTask { task, fate: Fate::Fail });
        }
        bench.put("/shop/web", json!({"cmd": "other"}));
        bench.pass(Duration::from_secs(300));
        bench.events
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}
