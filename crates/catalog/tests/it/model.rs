//! Random histories of a small cluster: events that may be lost, answers that are late, streams that break. Whatever
//! happens, the catalog never contradicts an event by an older answer, and one quiet listing makes it equal the cluster.

use std::collections::{BTreeMap, BTreeSet};

use mconn_catalog::Settings;
use mconn_catalog::invariants;
use mconn_model::*;
use proptest::prelude::*;

use crate::support::*;

/// Apps of the cluster; the last is a pod.
const APPS: [&str; 4] = ["/a", "/g/b", "/g/c", "/pod"];

#[derive(Debug, Clone)]
enum Action {
    /// A new task of an app, whose event may be lost.
    Start(usize, bool),
    /// A task goes one step on: staging, running, killing, killed.
    Advance(usize, bool),
    /// A task's agent goes or comes.
    Partition(usize, bool),
    Health(usize, bool, bool),
    UnhealthyKill(usize),
    Define(usize, bool),
    Delete(usize, bool),
    Group(bool),
    /// A deployment names an app, and an instance of it changes; both are hints.
    Hint(usize, bool),
    /// A request is sent; the source reads its answer; the answer arrives.
    Ask(Option<usize>),
    Read,
    Arrive,
    Fail,
    Lost,
    Attached,
    Pass(u16),
}

fn action() -> impl Strategy<Value = Action> {
    let (app, task) = (0..APPS.len(), 0..12usize);
    let told = prop::bool::weighted(0.8);
    prop_oneof![
        4 => (app.clone(), told).prop_map(|(a, b)| Action::Start(a, b)),
        8 => (task.clone(), told).prop_map(|(a, b)| Action::Advance(a, b)),
        2 => (task.clone(), told).prop_map(|(a, b)| Action::Partition(a, b)),
        2 => (task.clone(), any::<bool>(), told).prop_map(|(a, b, c)| Action::Health(a, b, c)),
        1 => task.prop_map(Action::UnhealthyKill),
        2 => (app.clone(), told).prop_map(|(a, b)| Action::Define(a, b)),
        2 => (app.clone(), told).prop_map(|(a, b)| Action::Delete(a, b)),
        1 => any::<bool>().prop_map(Action::Group),
        2 => (app.clone(), any::<bool>()).prop_map(|(a, b)| Action::Hint(a, b)),
        3 => prop::option::of(app).prop_map(Action::Ask),
        3 => Just(Action::Read),
        3 => Just(Action::Arrive),
        1 => Just(Action::Fail),
        1 => Just(Action::Lost),
        1 => Just(Action::Attached),
        2 => (0..3000u16).prop_map(Action::Pass),
    ]
}

/// The truth.
#[derive(Default)]
struct Cluster {
    apps: BTreeMap<&'static str, (u64, BTreeMap<String, AppTask>)>,
    next: u64,
}

impl Cluster {
    fn definition(id: &str, version: u64) -> App {
        App { version: Some(Timestamp::from_millis(version.cast_signed())), ..checked(id, 1) }
    }

    fn pod(id: &str, version: u64, tasks: &BTreeMap<String, AppTask>) -> Pod {
        let instance = |name: &String, task: &AppTask| {
            let mut one = pod_instance(&name.replace(".main", ""), "main", task.status.clone());
            one.containers[0].healthy = task.health.first().map(|result| result.alive);
            one
        };
        let running = tasks.iter().map(|(name, task)| instance(name, task)).collect();
        Pod { version: Some(Timestamp::from_millis(version.cast_signed())), running, ..pod(id) }
    }

    fn listing(&self) -> Listing {
        let mut out = Listing::default();
        for (id, (version, tasks)) in &self.apps {
            if *id == "/pod" {
                out.pods.push(Self::pod(id, *version, tasks));
            } else {
                let tasks = tasks.values().cloned().collect();
                out.apps.push(listed(Self::definition(id, *version), tasks));
            }
        }
        out
    }

    fn app(&self, id: &str) -> Option<Box<AppListing>> {
        let listing = self.listing();
        listing.apps.into_iter().find(|listed| listed.app.id.as_str() == id).map(Box::new)
    }

    fn nth_task(&mut self, n: usize) -> Option<(&'static str, String)> {
        let all: Vec<_> =
            self.apps.iter().flat_map(|(id, (_, tasks))| tasks.keys().map(|t| (*id, t.clone()))).collect();
        (!all.is_empty()).then(|| all[n % all.len()].clone())
    }

    fn task(&mut self, id: &str, name: &str) -> &mut AppTask {
        self.apps.get_mut(id).unwrap().1.get_mut(name).unwrap()
    }
}

/// A request on its way: what for, its number, and the answer once it was read.
struct Request {
    of: Option<usize>,
    number: u64,
    answer: Option<Observation>,
}

struct World {
    bench: Bench,
    cluster: Cluster,
    requests: Vec<Request>,
    attached: bool,
    ended: BTreeSet<TaskId>,
    leaving: BTreeSet<TaskId>,
}

impl World {
    fn new() -> Self {
        Self {
            bench: {
                // Held disappearances have tests of their own.
                let settings = Settings { hold_share: 100, ..Settings::default() };
                let mut bench = Bench::with(settings);
                bench.see(Observation::Attached);
                bench.list(Vec::new(), Vec::new());
                bench
            },
            cluster: Cluster::default(),
            requests: Vec::new(),
            attached: true,
            ended: BTreeSet::new(),
            leaving: BTreeSet::new(),
        }
    }

    fn tell(&mut self, event: ClusterEvent, told: bool) -> bool {
        let heard = told && self.attached;
        if heard {
            self.bench.event(event);
        }
        heard
    }

    fn tell_status(&mut self, app: &str, name: &str, state: TaskStatus, told: bool) {
        if self.tell(status(app, name, state.clone()), told) {
            let id = task_id(name);
            if state.is_terminal() {
                self.ended.insert(id);
            } else if state == TaskStatus::Killing {
                self.leaving.insert(id);
            }
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Start(n, told) => {
                let id = APPS[n];
                self.cluster.next += 1;
                let next = self.cluster.next;
                let name = match id {
                    "/pod" => format!("pod.instance-{next}.main"),
                    other => format!("{}.{next}", other.trim_start_matches('/').replace('/', "_")),
                };
                if let Some((_, tasks)) = self.cluster.apps.get_mut(id) {
                    tasks.insert(name.clone(), with_status(task(id, &name), TaskStatus::Staging));
                    self.tell_status(id, &name, TaskStatus::Staging, told);
                }
            }
            Action::Advance(n, told) => {
                let Some((id, name)) = self.cluster.nth_task(n) else { return };
                let task = self.cluster.task(id, &name);
                task.status = match task.status {
                    TaskStatus::Staging => TaskStatus::Running,
                    TaskStatus::Running => TaskStatus::Killing,
                    _ => TaskStatus::Killed,
                };
                let state = task.status.clone();
                if state == TaskStatus::Killed {
                    self.cluster.apps.get_mut(id).unwrap().1.remove(&name);
                }
                self.tell_status(id, &name, state, told);
            }
            Action::Partition(n, told) => {
                let Some((id, name)) = self.cluster.nth_task(n) else { return };
                let task = self.cluster.task(id, &name);
                task.status = match task.status {
                    TaskStatus::Running => TaskStatus::Unreachable,
                    TaskStatus::Unreachable => TaskStatus::Running,
                    _ => return,
                };
                let state = task.status.clone();
                self.tell_status(id, &name, state, told);
            }
            Action::Health(n, alive, told) => {
                let Some((id, name)) = self.cluster.nth_task(n) else { return };
                let task = self.cluster.task(id, &name);
                *task = with_health(task.clone(), &[alive]);
                self.tell(health(id, &name, Some(alive)), told);
            }
            Action::UnhealthyKill(n) => {
                let Some((id, name)) = self.cluster.nth_task(n) else { return };
                let task = Some(task_id(&name));
                self.tell(ClusterEvent::UnhealthyKill { app: app_id(id), task, instance: None }, true);
            }
            Action::Define(..) | Action::Delete(..) | Action::Group(_) | Action::Hint(..) => {
                self.act_on_app(action);
            }
            Action::Ask(of) => self.requests.push(Request { of, number: self.bench.mark(), answer: None }),
            Action::Read => self.read(),
            Action::Arrive => {
                if let Some(at) = self.requests.iter().position(|r| r.answer.is_some()) {
                    let answer = self.requests.remove(at).answer.unwrap();
                    self.bench.see(answer);
                }
            }
            Action::Fail => {
                self.bench.see(Observation::RequestFailed { id: None, reason: "503".into() });
            }
            Action::Lost => {
                let before = self.bench.snapshot();
                self.bench.see(Observation::Lost { reason: "silent".into() });
                let after = self.bench.snapshot();
                assert_eq!((before.digest, &before.apps), (after.digest, &after.apps));
                self.attached = false;
            }
            Action::Attached => {
                self.attached = true;
                self.bench.see(Observation::Attached);
            }
            Action::Pass(millis) => {
                self.bench.pass_ms(millis.into());
            }
        }
    }

    fn act_on_app(&mut self, action: &Action) {
        match *action {
            Action::Define(n, told) => {
                let id = APPS[n];
                self.cluster.next += 1;
                let next = self.cluster.next;
                self.cluster.apps.entry(id).or_default().0 = next;
                let event = match id {
                    "/pod" => ClusterEvent::PodChanged { pod: Some(app_id(id)) },
                    _ => ClusterEvent::AppDefinition { app: Box::new(Cluster::definition(id, next)) },
                };
                self.tell(event, told);
            }
            Action::Delete(n, told) => {
                let id = APPS[n];
                if let Some((_, tasks)) = self.cluster.apps.remove(id)
                    && self.tell(ClusterEvent::AppTerminated { app: app_id(id) }, told)
                {
                    self.ended.extend(tasks.keys().map(|name| task_id(name)));
                }
            }
            Action::Group(all) => {
                self.tell(group(if all { "/" } else { "/g" }), true);
            }
            Action::Hint(n, over) => {
                let phase = if over { DeploymentPhase::Succeeded } else { DeploymentPhase::StepBegan };
                self.tell(deployment(phase, &[APPS[n]]), true);
                let condition = if over { InstanceCondition::Killed } else { InstanceCondition::Scheduled };
                let (app, instance) = (app_id(APPS[n]), instance("x.instance-1"));
                self.tell(
                    ClusterEvent::InstanceChanged { instance, app, condition, version: None, at: None },
                    true,
                );
            }
            _ => {}
        }
    }

    fn read(&mut self) {
        let Some(request) = self.requests.iter_mut().find(|r| r.answer.is_none()) else { return };
        let requested_at_event = request.number;
        request.answer = Some(match request.of {
            None => Observation::Listing { listing: Box::new(self.cluster.listing()), requested_at_event },
            // Marathon does not know pods there.
            Some(n) => {
                let listing = self.cluster.app(APPS[n]);
                Observation::App { id: app_id(APPS[n]), listing, as_of: None, requested_at_event }
            }
        });
    }

    /// What holds after every step.
    fn check(&self) {
        let snapshot = self.bench.snapshot();
        assert_eq!(invariants::check(&snapshot), Ok(()));
        for entry in snapshot.apps.values().flat_map(|entry| entry.tasks.iter()) {
            assert!(!self.ended.contains(&entry.task.id), "{} came back", entry.task.id);
            let routable = entry.verdict.kind == VerdictKind::Routable;
            assert!(!(routable && self.leaving.contains(&entry.task.id)), "{} is leaving", entry.task.id);
        }
    }

    /// A listing that is requested after the last event, read and folded without disturbance.
    fn settle(&mut self) {
        self.act(&Action::Attached);
        self.bench.list(Vec::new(), Vec::new());
        let listing = Box::new(self.cluster.listing());
        let requested_at_event = self.bench.mark();
        self.bench.see(Observation::Listing { listing, requested_at_event });
    }

    fn compare(&self) {
        let snapshot = self.bench.snapshot();
        let known: Vec<&str> = snapshot.apps.keys().map(|(_, id)| id.as_str()).collect();
        assert_eq!(known, self.cluster.apps.keys().copied().collect::<Vec<_>>());
        for (id, (version, tasks)) in &self.cluster.apps {
            let entry = self.bench.entry(id).unwrap();
            let got: Vec<_> = entry.tasks.iter().map(|t| (t.task.id.as_str(), &t.task.status)).collect();
            let wanted: Vec<_> = tasks.iter().map(|(name, task)| (name.as_str(), &task.status)).collect();
            assert_eq!(got, wanted, "{id}");
            let got: Vec<_> = entry.tasks.iter().map(|t| t.task.health.clone()).map(alive).collect();
            assert_eq!(got, tasks.values().map(|t| alive(t.health.clone())).collect::<Vec<_>>(), "{id}");
            match &entry.app {
                Some(app) => assert_eq!(**app, Cluster::definition(id, *version)),
                None => {
                    assert_eq!(**entry.pod.as_ref().unwrap(), Cluster::pod(id, *version, &BTreeMap::new()));
                }
            }
        }
        assert_eq!(self.bench.catalog.dirty_apps(&source("m")), 0);
    }
}

fn alive(results: Vec<HealthResult>) -> Vec<bool> {
    results.iter().map(|result| result.alive).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn one_quiet_listing_makes_it_equal_the_cluster(actions in prop::collection::vec(action(), 1..120)) {
        let mut world = World::new();
        for id in 0..3 {
            world.act(&Action::Define(id, true));
        }
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.settle();
        world.check();
        world.compare();
        // Old answers that arrive even later change nothing.
        let digest = world.bench.snapshot().digest;
        for request in std::mem::take(&mut world.requests) {
            if let Some(answer) = request.answer.filter(|_| request.number < world.bench.mark()) {
                world.bench.see(answer);
            }
        }
        prop_assert_eq!(digest, world.bench.snapshot().digest);
    }
}
