//! What the profiles write, compared with what real versions were seen to write.

use super::*;
use crate::profile::{Plans, Profile, Statuses};

const RECORDED_APPS: &str = include_str!("../../../fixtures/recorded-apps.jsonl");
const RECORDED_UPDATE: &str = include_str!("../../../fixtures/rolling-update-1.3.jsonl");

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

fn with(profile: Profile) -> Bench {
    Bench::new(&SimOptions { profile, ..quick() })
}

/// The paths of all keys; what users may name freely is left out. `=null` is a key whose value is null.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}.{key}");
                let null = if value.is_null() { "=null" } else { "" };
                found.insert(format!("{path}{null}"));
                if !matches!(key.as_str(), "labels" | "env" | "taskStats" | "deployments") {
                    keys(value, &path, found);
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| keys(element, path, found)),
        _ => {}
    }
}

fn keys_of(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys(value, "", &mut found);
    found
}

fn listed(bench: &Bench, id: &str, names: &[&str]) -> Value {
    let embeds = Embeds::of_apps(names.iter().copied());
    let answer = bench.cluster.apps(&AppFilter::default(), &embeds).body.expect("a body");
    let body: Value = serde_json::from_str(&answer).expect("json");
    let apps = body["apps"].as_array().expect("apps");
    apps.iter().find(|app| app["id"] == id).expect("the app").clone()
}

#[test]
fn apps_and_tasks_have_the_recorded_keys() {
    let mut wrong = Vec::new();
    for recorded in lines(RECORDED_APPS) {
        let profile = Profile::by_name(recorded["profile"].as_str().expect("a name")).expect("a profile");
        let (name, source) = (profile.name, &recorded["source"]);
        let app = &recorded["app"];
        let mut bench = with(profile);
        // As a client does that reads a definition and posts it to a new cluster: runtime data is ignored.
        let mut posted = app.clone();
        if posted["killSelection"] == "YoungestFirst" {
            // So it was called before 1.4 was released.
            posted["killSelection"] = json!("YOUNGEST_FIRST");
        }
        let answer = bench.create(posted);
        assert_eq!(answer.status, 201, "{name} {source}: {answer:?}");
        bench.quiet();
        let id = app["id"].as_str().expect("an id");
        let one = recorded["call"] == "one";
        let mut written = if one { bench.app(id) } else { listed(&bench, id, &["tasks", "taskStats"]) };
        let tasks = written.as_object_mut().and_then(|app| app.remove("tasks")).expect("tasks");
        let mut expected = keys_of(app);
        // Recordings without runtime data are definitions out of events.
        let found = if app.get("tasksRunning").is_some() {
            if app.get("taskStats").is_none() {
                written.as_object_mut().map(|app| app.remove("taskStats"));
            }
            keys_of(&written)
        } else {
            let answer =
                bench.cluster.app_version(&PathId::lenient(id), written["version"].as_str().expect("one"));
            keys_of(&serde_json::from_str(&answer.body.expect("a body")).expect("json"))
        };
        if name == "0.15" {
            // This recording lacks it, though both older and newer ones have it.
            expected.insert(".healthChecks.ignoreHttp1xx".into());
        }
        differences(&format!("{name} {source}"), &found, &expected, &mut wrong);
        if let Some(recorded) = recorded.get("tasks").and_then(|tasks| tasks.get(0)) {
            let mut expected = keys_of(recorded);
            if recorded.get("ipAddresses").is_none() && profile.tasks.ip_addresses {
                expected.extend(
                    [".ipAddresses", ".ipAddresses.ipAddress", ".ipAddresses.protocol"].map(String::from),
                );
            }
            differences(&format!("a task of {name} {source}"), &keys_of(&tasks[0]), &expected, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn differences(what: &str, found: &BTreeSet<String>, expected: &BTreeSet<String>, wrong: &mut Vec<String>) {
    let surplus = found.difference(expected).map(|key| format!("{what}: {key} is not in the recording"));
    let missing = expected.difference(found).map(|key| format!("{what}: {key} is only in the recording"));
    wrong.extend(surplus.chain(missing));
}

/// Whom an event is about, and what it says, in the words of the recording.
fn per_task(events: &[Value]) -> (Vec<Vec<String>>, Vec<String>) {
    let mut tasks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut others = Vec::new();
    for event in events {
        let kind = event["eventType"].as_str().expect("a type");
        let word = match event["taskStatus"].as_str() {
            Some(state) => format!("{kind} {state}"),
            None => kind.to_owned(),
        };
        match event["taskId"].as_str() {
            Some(task) => tasks.entry(task.to_owned()).or_default().push(word),
            None => others.push(word),
        }
    }
    let mut tasks: Vec<_> = tasks.into_values().collect();
    tasks.sort();
    (tasks, others)
}

#[test]
fn a_rolling_update_of_1_3_goes_as_recorded() {
    let recorded = lines(RECORDED_UPDATE);
    let posted = recorded.iter().find(|event| event["eventType"] == "api_post_event").expect("it was posted");
    let mut bench = with(Profile::v1_3());
    // Long enough that old tasks are still dying when the first new one is healthy, as in the recording.
    bench.cluster.options.timeline.kill = Span::exactly(20_000);
    let mut before = posted["appDefinition"].clone();
    before["env"]["SIMPLE_SERVICE_VERSION"] = json!("1.0");
    let id = before["id"].as_str().expect("an id").to_owned();
    bench.create(before);
    bench.events.clear();
    bench.put(&id, posted["appDefinition"].clone());
    bench.pass(Duration::from_secs(300));
    let events = std::mem::take(&mut bench.events);
    assert_eq!(per_task(&events), per_task(&recorded));
    // Three old ones go at once, one new one comes at once; the others wait for room.
    let early = |events: &[Value]| {
        let first_run = |event: &Value| event["taskStatus"] == "TASK_RUNNING";
        let until = events.iter().position(first_run).expect("one runs");
        let count = |state: &str| events[..until].iter().filter(|event| event["taskStatus"] == state).count();
        (count("TASK_KILLING"), count("TASK_STAGING"), count("TASK_KILLED"))
    };
    assert_eq!(early(&events), early(&recorded));
    for kind in ["deployment_info", "add_health_check_event", "api_post_event", "health_status_changed_event"]
    {
        let of_kind = |events: &[Value]| {
            keys_of(events.iter().find(|event| event["eventType"] == kind).expect("one of each"))
        };
        let mut found = of_kind(&events);
        found.retain(|key| !key.starts_with(".plan.original") && !key.starts_with(".plan.target"));
        assert_eq!(found, of_kind(&recorded), "{kind}");
    }
}

#[test]
fn each_version_posts_its_own_states() {
    for profile in Profile::all() {
        let mut bench = with(profile);
        bench.create(web(1));
        let created = bench.told();
        let (states, instances): (Vec<_>, Vec<_>) = created
            .iter()
            .filter(|word| word.contains(':') || word.starts_with("H"))
            .map(String::as_str)
            .partition(|word| word.starts_with("S:"));
        let expected: &[&str] = match profile.events.statuses {
            Statuses::FirstRunningAndEnd => &["S:RUNNING"],
            Statuses::WithStagingAndKilling => &["S:STAGING", "S:RUNNING"],
            Statuses::All => &["S:STAGING", "S:STARTING", "S:RUNNING"],
        };
        assert_eq!(states, expected, "{}", profile.name);
        let expected: &[&str] = match (profile.events.instances, profile.scheduled_condition) {
            (false, _) => &[],
            (true, false) => &["I:Created", "I:Staging", "I:Starting", "I:Running", "H+"],
            (true, true) => &["I:Scheduled", "I:Provisioned", "I:Staging", "I:Starting", "I:Running", "H+"],
        };
        assert_eq!(instances, expected, "{}", profile.name);
        let task = bench.task_id();
        assert_eq!(task.contains("._app."), profile.scheduled_condition, "{}: {task}", profile.name);
        bench.call(Command::EndTask { task: task.clone(), fate: Fate::Lose });
        let lost = bench.told();
        let expected = if profile.partition_aware { "S:UNREACHABLE" } else { "S:LOST" };
        assert_eq!(lost[0], expected, "{}", profile.name);
        assert_eq!(bench.tasks().len(), 1, "{}", profile.name);
        assert_ne!(bench.task_id(), task);
        let delete =
            Command::DeleteApp { id: PathId::lenient("/shop/web"), force: true, caller: Caller::default() };
        bench.call(delete);
        let posted = bench.told().contains(&"api_post_event".to_owned());
        assert_eq!(posted, profile.name == "0.8", "{}", profile.name);
    }
}

#[test]
fn events_name_what_the_version_names() {
    for profile in Profile::all() {
        let mut bench = with(profile);
        bench.create(web(1));
        let task = bench.task_id();
        let instance = bench.cluster.state()["tasks"][0]["instanceId"].as_str().expect("an id").to_owned();
        let created = std::mem::take(&mut bench.events);
        bench.give(Command::SetHealth { task: task.clone(), alive: false });
        bench.pass(Duration::from_secs(60));
        let of = |events: &[Value], kind: &str| {
            events.iter().find(|event| event["eventType"] == kind).cloned().unwrap_or_default()
        };
        let flip = of(&created, "health_status_changed_event");
        let failed = of(&bench.events, "failed_health_check_event");
        let kill_type = if profile.events.instances {
            "unhealthy_instance_kill_event"
        } else {
            "unhealthy_task_kill_event"
        };
        let kill = of(&bench.events, kill_type);
        let subject = |event: &Value| (event["taskId"].clone(), event["instanceId"].clone());
        let (task, instance) = (json!(task), json!(instance));
        let (flips, fails, kills) = match profile.name {
            "0.8" | "0.9" | "0.11" | "0.15" => {
                ((task.clone(), Value::Null), (task.clone(), Value::Null), Value::Null)
            }
            "1.1" | "1.3" => ((task.clone(), Value::Null), (task.clone(), Value::Null), task.clone()),
            "1.4" => ((Value::Null, instance.clone()), (Value::Null, instance.clone()), task.clone()),
            _ => ((Value::Null, instance.clone()), (instance.clone(), Value::Null), task.clone()),
        };
        assert_eq!(subject(&flip), flips, "{}", profile.name);
        assert_eq!(subject(&failed), fails, "{}", profile.name);
        assert_eq!(kill["taskId"], kills, "{}", profile.name);
        assert_eq!(kill.get("instanceId").is_some(), profile.events.instances, "{}", profile.name);
    }
}

#[test]
fn plans_are_heavy_until_they_are_light() {
    for profile in Profile::all() {
        let mut bench = with(profile);
        bench.create(json!({"id": "/other/one", "cmd": "x"}));
        bench.events.clear();
        let ticket = bench.ticket + 1;
        let command = Command::CreateApp { body: web(1), force: false, caller: Caller::default() };
        let step = bench.cluster.apply(bench.now, ticket, command);
        let Some(Effect::Event(event)) =
            step.effects.iter().find(|effect| matches!(effect, Effect::Event(_)))
        else {
            panic!("a deployment begins");
        };
        let body: Value = serde_json::from_str(&event.body).expect("json");
        let heavy = profile.events.plans != Plans::Light;
        assert_eq!(body["plan"].get("original").is_some(), heavy, "{}", profile.name);
        assert_eq!(event.light.is_some(), profile.events.plans == Plans::LightOnRequest);
        if let Some(light) = &event.light {
            assert!(!light.contains("original") && light.contains("StartApplication"));
        }
        let action = &body["currentStep"]["actions"][0];
        let key =
            if matches!(profile.name, "0.8" | "0.9" | "0.11" | "0.15" | "1.1") { "type" } else { "action" };
        assert_eq!(action[key], "StartApplication", "{}", profile.name);
        if heavy {
            let ids = |root: &Value| -> Vec<String> {
                let groups = root["groups"].as_array().expect("groups").iter();
                groups.map(|group| group["apps"][0]["id"].as_str().expect("an id").to_owned()).collect()
            };
            assert_eq!(ids(&body["plan"]["original"]), ["/other/one"]);
            assert_eq!(ids(&body["plan"]["target"]), ["/other/one", "/shop/web"]);
        }
        let listing = bench.cluster.deployments().body.expect("a body");
        let deployments: Value = serde_json::from_str(&listing).expect("json");
        let step = &deployments[0]["steps"][0];
        assert_eq!(step.is_array(), !profile.step_objects, "{}", profile.name);
        assert_eq!(deployments[0].get("affectedPods").is_some(), profile.pods, "{}", profile.name);
    }
}

const BRIDGED: &str = r#"{"id": "/web", "container": {"type": "DOCKER", "docker": {"image": "web:1", "network": "BRIDGE",
    "portMappings": [{"containerPort": 80, "name": "http"}]}}, "healthChecks": [{"path": "/"}], "uris": ["http://x/y"]}"#;

#[test]
fn a_bridged_app_in_each_form() {
    let definition = |profile: Profile| {
        let mut bench = with(profile);
        bench.create(serde_json::from_str(BRIDGED).expect("json"));
        let version = bench.app("/web")["version"].as_str().expect("a version").to_owned();
        let text = bench.cluster.app_version(&PathId::lenient("/web"), &version).body.expect("a body");
        text.replace(&version, "V")
    };
    assert_eq!(
        definition(Profile::v0_8()),
        r#"{"id":"/web","cmd":null,"args":null,"user":null,"env":{},"instances":1,"cpus":1,"mem":128,"disk":0,"executor":"","constraints":[],"uris":["http://x/y"],"storeUrls":[],"ports":[10000],"requirePorts":false,"backoffSeconds":1,"backoffFactor":1.15,"maxLaunchDelaySeconds":3600,"container":{"type":"DOCKER","volumes":[],"docker":{"image":"web:1","network":"BRIDGE","portMappings":[{"containerPort":80,"hostPort":0,"servicePort":10000,"protocol":"tcp"}],"privileged":false,"parameters":[],"forcePullImage":false}},"healthChecks":[{"path":"/","protocol":"HTTP","portIndex":0,"gracePeriodSeconds":300,"intervalSeconds":60,"timeoutSeconds":20,"maxConsecutiveFailures":3,"ignoreHttp1xx":false}],"dependencies":[],"upgradeStrategy":{"minimumHealthCapacity":1,"maximumOverCapacity":1},"labels":{},"version":"V"}"#
    );
    assert_eq!(
        definition(Profile::v1_4()),
        r#"{"id":"/web","cmd":null,"args":null,"user":null,"env":{},"instances":1,"cpus":1,"mem":128,"disk":0,"gpus":0,"executor":"","constraints":[],"uris":["http://x/y"],"fetch":[{"uri":"http://x/y"}],"storeUrls":[],"backoffSeconds":1,"backoffFactor":1.15,"maxLaunchDelaySeconds":3600,"container":{"type":"DOCKER","volumes":[],"docker":{"image":"web:1","network":"BRIDGE","portMappings":[{"containerPort":80,"hostPort":0,"servicePort":10000,"protocol":"tcp","name":"http","labels":{}}],"privileged":false,"parameters":[],"forcePullImage":false}},"healthChecks":[{"gracePeriodSeconds":300,"intervalSeconds":60,"timeoutSeconds":20,"maxConsecutiveFailures":3,"path":"/","protocol":"HTTP","portIndex":0,"ignoreHttp1xx":false}],"readinessChecks":[],"dependencies":[],"upgradeStrategy":{"minimumHealthCapacity":1,"maximumOverCapacity":1},"labels":{},"ipAddress":null,"version":"V","residency":null,"secrets":{},"taskKillGracePeriodSeconds":null,"unreachableStrategy":{"inactiveAfterSeconds":0,"expungeAfterSeconds":0},"killSelection":"YOUNGEST_FIRST","ports":[10000],"portDefinitions":[{"port":10000,"protocol":"tcp","labels":{}}],"requirePorts":false,"versionInfo":{"lastScalingAt":"V","lastConfigChangeAt":"V"}}"#
    );
    assert_eq!(
        definition(Profile::v1_11()),
        r#"{"id":"/web","backoffFactor":1.15,"backoffSeconds":1,"container":{"type":"DOCKER","docker":{"forcePullImage":false,"image":"web:1","parameters":[],"privileged":false},"volumes":[],"portMappings":[{"containerPort":80,"hostPort":0,"labels":{},"name":"http","protocol":"tcp","servicePort":10000}]},"cpus":1,"disk":0,"executor":"","fetch":[{"uri":"http://x/y"}],"healthChecks":[{"gracePeriodSeconds":300,"ignoreHttp1xx":false,"intervalSeconds":60,"maxConsecutiveFailures":3,"path":"/","portIndex":0,"protocol":"HTTP","timeoutSeconds":20,"delaySeconds":15}],"instances":1,"labels":{},"maxLaunchDelaySeconds":300,"mem":128,"gpus":0,"networks":[{"mode":"container/bridge"}],"requirePorts":false,"upgradeStrategy":{"maximumOverCapacity":1,"minimumHealthCapacity":1},"version":"V","versionInfo":{"lastScalingAt":"V","lastConfigChangeAt":"V"},"killSelection":"YOUNGEST_FIRST","unreachableStrategy":{"inactiveAfterSeconds":0,"expungeAfterSeconds":0},"role":"*"}"#
    );
}

#[test]
fn a_definition_that_is_read_and_sent_back_changes_nothing() {
    for profile in Profile::all() {
        let mut bench = with(profile);
        let user = json!({"id": "/user", "ipAddress": {"networkName": "dcos"}, "container": {"type": "DOCKER",
            "docker": {"image": "i", "network": "USER", "portMappings": [{"containerPort": 80}]}}});
        let per_task = json!({"id": "/per-task", "cmd": "x",
            "ipAddress": {"labels": {"a": "b"}, "discovery": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}});
        let bodies = [serde_json::from_str(BRIDGED).expect("json"), web(1), user, per_task];
        for body in bodies {
            let id = body["id"].as_str().expect("an id").to_owned();
            let created = bench.create(body);
            if id == "/user" && matches!(profile.name, "0.8" | "0.9" | "0.11" | "0.15" | "1.1") {
                assert_eq!(created.status, 400, "{}", profile.name);
                continue;
            }
            assert_eq!(created.status, 201, "{} {id}: {created:?}", profile.name);
            let before = listed(&bench, &id, &[]);
            bench.put(&id, before.clone());
            assert_eq!(listed(&bench, &id, &[]), before, "{} {id}", profile.name);
        }
    }
}

#[test]
fn what_a_version_does_not_know_it_ignores() {
    let body = json!({"id": "/a", "cmd": "x", "role": "dev", "networks": [{"mode": "container", "name": "n"}],
        "resourceLimits": {"cpus": 2}, "gpus": 1, "tty": true, "killSelection": "OLDEST_FIRST",
        "acceptedResourceRoles": ["dev"], "readinessChecks": [{"name": "r"}]});
    let table: [(&str, &[&str]); 6] = [
        ("0.8", &[]),
        ("0.11", &["acceptedResourceRoles"]),
        ("1.1", &["acceptedResourceRoles", "readinessChecks"]),
        ("1.4", &["acceptedResourceRoles", "gpus", "killSelection", "readinessChecks"]),
        ("1.8", &["acceptedResourceRoles", "gpus", "killSelection", "networks", "readinessChecks", "tty"]),
        (
            "1.11",
            &[
                "acceptedResourceRoles",
                "gpus",
                "killSelection",
                "networks",
                "readinessChecks",
                "resourceLimits",
                "role",
                "tty",
            ],
        ),
    ];
    for (name, kept) in table {
        let mut bench = with(Profile::by_name(name).expect("a profile"));
        bench.create(body.clone());
        let app = bench.app("/a");
        let sent =
            body.as_object().expect("an object").keys().filter(|key| !matches!(key.as_str(), "id" | "cmd"));
        let found: Vec<&str> =
            sent.filter(|key| app.get(*key) == body.get(*key)).map(String::as_str).collect();
        assert_eq!(found, kept, "{name}");
    }
}

#[test]
fn the_text_table_has_each_versions_faults() {
    let app = json!({"id": "/own", "ipAddress": {"networkName": "dcos"}, "container": {"type": "DOCKER",
        "docker": {"image": "i", "network": "USER", "portMappings": [{"containerPort": 80}]}}});
    let bare = json!({"id": "/bare", "cmd": "x", "ports": [], "portDefinitions": [], "instances": 2});
    let line = |profile: Profile, networks: &[String]| {
        let mut bench = with(profile);
        bench.create(app.clone());
        bench.create(bare.clone());
        let host = |id: &str| bench.app(id)["tasks"][0]["host"].as_str().expect("a host").to_owned();
        let text = bench.cluster.tasks_text(None, networks);
        text.replace(&host("/own"), "HOST").replace(&host("/bare"), "HOST")
    };
    let has = |text: &str, wanted: &str| assert!(text.contains(wanted), "{wanted:?} in {text:?}");
    has(&line(Profile::v1_4(), &[]), "own\t10000\tHOST:0\t\n");
    has(&line(Profile::v1_5(), &[]), "own\t10000\tHOST:0\t\n");
    has(&line(Profile::v1_8(), &[]), "own\t10000\t\n");
    has(&line(Profile::v1_8(), &["dcos".into()]), "own\t10000\t9.0.");
    let blanks = line(Profile::v1_4(), &[]);
    assert!(blanks.lines().any(|line| line.starts_with("bare\t \t") && line.ends_with(' ')), "{blanks:?}");
    let tabs = line(Profile::v1_5(), &[]);
    assert!(tabs.lines().any(|line| line.starts_with("bare\t \t") && line.ends_with('\t')), "{tabs:?}");
}
