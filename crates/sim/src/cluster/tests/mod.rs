//! The flows of a Marathon 1.8 as sequences of event types, in virtual time.

mod agents;
mod behaviour;
mod flows;
mod goals;
mod health;
mod pods;
mod profiles;
mod random;

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

    /// The answer to a command that is carried out at once.
    fn call_now(&mut self, command: Command) -> Answer {
        let ticket = self.give(command);
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
                let action = &event["currentStep"]["actions"][0];
                let action = action.get("action").or_else(|| action.get("type")).and_then(Value::as_str);
                let action = action.expect("an action");
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

#[test]
fn speed_divides_durations_but_not_time_stamps() {
    let took = |speed| {
        let timeline = crate::Timeline {
            offer: Span::exactly(1000),
            start: Span::exactly(1000),
            ..crate::Timeline::immediate()
        };
        let mut bench = Bench::new(&SimOptions { speed, timeline, ..SimOptions::default() });
        bench.create(json!({"id": "/a", "cmd": "x"}));
        let started = bench.tasks()[0]["startedAt"].as_str().expect("started").to_owned();
        started["2026-01-05T10:".len()..].to_owned()
    };
    assert_eq!(took(1.0), "00:02.000Z");
    assert_eq!(took(10.0), "00:00.200Z");
    assert_eq!(took(f64::NAN), "00:02.000Z");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut bench = Bench::new(&quick());
    let huge = |id: &str| json!({"id": id, "cmd": "x", "instances": 100_000});
    let body = json!([huge("/a"), huge("/b"), huge("/c")]);
    let answer = bench.call(Command::UpdateApps { body, force: false, partial: true, create: true });
    assert_eq!(answer.status, 422);
    assert!(bench.cluster.state()["tasks"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn unique_hosts_are_never_shared() {
    let mut bench = Bench::new(&quick());
    bench.create(json!({"id": "/a", "cmd": "x", "instances": 4, "constraints": [["hostname", "UNIQUE"]]}));
    let hosts: BTreeSet<String> = bench.tasks().iter().map(|task| task["host"].to_string()).collect();
    assert_eq!((bench.tasks().len(), hosts.len()), (3, 3));
    let queue = bench.cluster.queue().body.expect("a body");
    assert!(queue.contains("\"count\":1"), "{queue}");
}
