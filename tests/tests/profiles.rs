//! What the simulated versions write is what our reader understands, whole and without a warning.

use mconn_marathon::event::decode_event;
use mconn_marathon::json;
use mconn_model::{AppTask, Listing, NetworkMode, TaskStatus};
use mconn_sim::cluster::{AppFilter, Caller, Cluster, Command, Effect, Embeds, Event, PathId, Step};
use mconn_sim::{Profile, SimOptions, Time};
use serde_json::{Value, json as object};
use std::time::Duration;

const START: Time = Time(1_767_607_200_000);

/// A simulated cluster in virtual time, and what it told.
struct Bench {
    cluster: Cluster,
    now: Time,
    events: Vec<Event>,
}

impl Bench {
    fn new(profile: Profile) -> Bench {
        let options = SimOptions { profile, ..SimOptions::immediate() };
        Bench { cluster: Cluster::new(&options, START), now: START, events: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        let told = step.effects.into_iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(event),
            _ => None,
        });
        self.events.extend(told);
    }

    /// Carries out a command and lets two minutes pass.
    fn give(&mut self, command: Command) {
        let step = self.cluster.apply(self.now, 1, command);
        self.take(step);
        let end = self.now.after(Duration::from_secs(120));
        while let Some(due) = self.cluster.wake_at().filter(|due| *due <= end) {
            let step = self.cluster.advance(due);
            self.take(step);
        }
        self.now = end;
        let step = self.cluster.advance(end);
        self.take(step);
    }

    fn create(&mut self, body: Value) {
        self.give(Command::CreateApp { body, force: false, caller: Caller::default() });
    }

    fn listing(&self) -> Listing {
        let embeds = Embeds::of_apps(["apps.tasks", "apps.failures", "apps.readiness", "apps.taskStats"]);
        let body = self.cluster.apps(&AppFilter::default(), &embeds).body.expect("a body");
        json::listing(body.as_bytes()).expect("a listing")
    }
}

fn web(id: &str) -> Value {
    object!({"id": id, "cmd": "run", "instances": 2, "labels": {"tier": "front"},
        "healthChecks": [{"protocol": "HTTP", "path": "/", "portIndex": 0}]})
}

fn bridged() -> Value {
    object!({"id": "/shop/bridged", "container": {"type": "DOCKER", "docker": {"image": "web:1", "network": "BRIDGE",
        "portMappings": [{"containerPort": 80, "hostPort": 0}, {"containerPort": 53, "protocol": "udp"}]}}})
}

fn user() -> Value {
    object!({"id": "/shop/user", "ipAddress": {"networkName": "dcos"}, "container": {"type": "DOCKER", "docker":
        {"image": "web:1", "network": "USER", "portMappings": [{"containerPort": 80}]}}})
}

fn per_task() -> Value {
    object!({"id": "/shop/per-task", "cmd": "x",
        "ipAddress": {"discovery": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}}})
}

fn running(tasks: &[AppTask]) -> usize {
    tasks.iter().filter(|task| task.status == TaskStatus::Running).count()
}

#[test]
fn every_profile_is_read_without_a_warning() {
    for profile in Profile::all() {
        let name = profile.name;
        let mut bench = Bench::new(profile);
        bench.create(web("/shop/web"));
        bench.create(bridged());
        bench.create(user());
        bench.create(per_task());
        let listing = bench.listing();
        assert!(listing.warnings.is_empty(), "{name}: {:?}", listing.warnings);
        let found = |id: &str| listing.apps.iter().find(|found| found.app.id.as_str() == id);

        let web = found("/shop/web").unwrap_or_else(|| panic!("{name}: /shop/web is missing"));
        assert_eq!((web.app.network.clone(), running(&web.tasks)), (NetworkMode::Host, 2), "{name}");
        assert_eq!((web.app.ports.len(), web.app.health_checks.len()), (1, 1), "{name}");
        assert!(web.tasks.iter().all(|task| task.ports.len() == 1), "{name}");
        assert!(web.tasks.iter().all(|task| task.health.len() == 1 && task.health[0].alive), "{name}");
        assert_eq!(web.tasks.iter().all(|task| task.instance.is_some()), profile.events.instances, "{name}");

        let bridged = found("/shop/bridged").unwrap_or_else(|| panic!("{name}: /shop/bridged is missing"));
        assert_eq!(
            (bridged.app.network.clone(), running(&bridged.tasks)),
            (NetworkMode::Bridge, 1),
            "{name}"
        );
        assert_eq!((bridged.app.ports.len(), bridged.tasks[0].ports.len()), (2, 2), "{name}");

        // Networks of their own came with ipAddress, and Docker's with 1.3.
        let old = matches!(name, "0.8" | "0.9" | "0.11");
        let per_task = found("/shop/per-task").unwrap_or_else(|| panic!("{name}: /shop/per-task is missing"));
        let own = |mode: &NetworkMode| {
            matches!(mode, NetworkMode::Container { .. } | NetworkMode::IpPerTask { .. })
        };
        assert_eq!(own(&per_task.app.network), !old, "{name}");
        if let Some(user) = found("/shop/user") {
            assert!(own(&user.app.network), "{name}");
            assert_eq!((user.app.ports.len(), user.tasks[0].addresses.len()), (1, 1), "{name}");
        } else {
            assert!(old || matches!(name, "0.15" | "1.1"), "{name}: /shop/user is missing");
        }

        let tasks = bench.cluster.tasks(&[]).body.expect("a body");
        let tasks = json::tasks(tasks.as_bytes()).expect("tasks");
        assert!(tasks.warnings.is_empty(), "{name}: {:?}", tasks.warnings);
        assert_eq!(
            tasks.value.len(),
            listing.apps.iter().map(|app| app.tasks.len()).sum::<usize>(),
            "{name}"
        );
        let info = json::info(bench.cluster.info(8080, &[]).body.expect("a body").as_bytes()).expect("info");
        assert_eq!((info.version.as_deref(), info.callbacks), (Some(profile.version), profile.callbacks));
        let group = bench.cluster.group(&PathId::root(), &Embeds::of_group([])).body.expect("a body");
        let group = json::group(group.as_bytes()).expect("a group");
        assert!(group.warnings.is_empty(), "{name}: {:?}", group.warnings);
        assert_eq!(group.apps.len(), listing.apps.len(), "{name}");
    }
}

#[test]
fn every_event_of_every_profile_is_read() {
    for profile in Profile::all() {
        let mut bench = Bench::new(profile);
        bench.create(web("/shop/web"));
        let caller = Caller::default();
        let id = PathId::lenient("/shop/web");
        let body = object!({"cmd": "other"});
        bench.give(Command::UpdateApp {
            id: id.clone(),
            body,
            force: false,
            partial: true,
            create: true,
            caller,
        });
        let task = bench.listing().apps[0].tasks[0].id.to_string();
        bench.give(Command::SetHealth { task, alive: false });
        bench.give(Command::RestartApp { id: id.clone(), force: true });
        let task = bench.listing().apps[0].tasks[0].id.to_string();
        bench.give(Command::EndTask { task, fate: mconn_sim::cluster::Fate::Lose });
        bench.give(Command::DeleteApp { id, force: true, caller: Caller::default() });
        assert!(bench.events.len() > 20, "{}", profile.name);
        for event in &bench.events {
            let bodies = [Some(&event.body), event.light.as_ref()];
            for body in bodies.into_iter().flatten() {
                for named in [Some(event.event_type.as_bytes()), None] {
                    if let Err(error) = decode_event(named, body.as_bytes()) {
                        panic!("{}: {error}: {body}", profile.name);
                    }
                }
            }
        }
    }
}

#[test]
fn every_deployment_of_every_profile_is_read() {
    for profile in Profile::all() {
        let mut bench = Bench::new(profile);
        let body = web("/shop/web");
        let command = Command::CreateApp { body, force: false, caller: Caller::default() };
        // At this moment it is under way.
        let step = bench.cluster.apply(bench.now, 1, command);
        bench.take(step);
        let body = bench.cluster.deployments().body.expect("a body");
        let deployments = json::deployments(body.as_bytes()).expect("deployments");
        assert!(deployments.warnings.is_empty(), "{}: {:?}", profile.name, deployments.warnings);
        assert_eq!(deployments.value.len(), 1, "{}", profile.name);
    }
}
