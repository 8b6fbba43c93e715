//! A small bench: a catalog with a clock that the test moves, and builders of what sources say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mconn_catalog::{Catalog, Effects, Fetch, Settings, invariants};
use mconn_model::*;

pub(crate) fn app_id(text: &str) -> AppId {
    AppId::parse(text).unwrap()
}

pub(crate) fn task_id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

pub(crate) fn source(text: &str) -> SourceId {
    SourceId::new(text).unwrap()
}

pub(crate) fn instance(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

pub(crate) fn port(container_port: Option<u16>, host_port: HostPort) -> PortDeclaration {
    PortDeclaration {
        name: None,
        protocols: Protocols::TCP,
        service_port: Some(10_000),
        container_port,
        host_port,
        labels: BTreeMap::new(),
        networks: Vec::new(),
    }
}

/// An app on the agents' network with one port and no checks.
pub(crate) fn app(id: &str) -> App {
    App {
        id: app_id(id),
        version: Some(Timestamp::from_millis(1)),
        last_config_change: None,
        instances: 1,
        labels: BTreeMap::new(),
        network: NetworkMode::Host,
        ports: vec![port(None, HostPort::Dynamic)],
        require_ports: false,
        health_checks: Vec::new(),
        readiness_checks: Vec::new(),
        deployments: Vec::new(),
        kill_grace_seconds: None,
    }
}

pub(crate) fn checked(id: &str, checks: usize) -> App {
    let check = HealthCheck {
        protocol: "HTTP".into(),
        kind: HealthCheckKind::Marathon,
        path: Some("/".into()),
        port_index: Some(0),
        port: None,
        grace_seconds: 300.0,
        interval_seconds: 60.0,
        timeout_seconds: 20.0,
        max_consecutive_failures: 3,
    };
    App { health_checks: vec![check; checks], ..app(id) }
}

/// A running task on `agent1` with one host port.
pub(crate) fn task(app: &str, id: &str) -> AppTask {
    AppTask {
        id: task_id(id),
        app: app_id(app),
        instance: None,
        host: Some("agent1".into()),
        agent: None,
        status: TaskStatus::Running,
        ports: vec![31_000],
        service_ports: Vec::new(),
        addresses: Vec::new(),
        staged_at: None,
        started_at: None,
        version: None,
        health: Vec::new(),
        ready: None,
    }
}

pub(crate) fn with_health(task: AppTask, results: &[bool]) -> AppTask {
    let result = |alive: &bool| HealthResult {
        alive: *alive,
        consecutive_failures: u32::from(!alive),
        succeeded_once: *alive,
    };
    AppTask { health: results.iter().map(result).collect(), ..task }
}

pub(crate) fn with_status(task: AppTask, status: TaskStatus) -> AppTask {
    AppTask { status, ..task }
}

pub(crate) fn listed(app: App, tasks: Vec<AppTask>) -> AppListing {
    AppListing { app, tasks }
}

pub(crate) fn pod(id: &str) -> Pod {
    let endpoint = |name: &str, port| PodEndpoint {
        container: "main".into(),
        name: name.into(),
        container_port: port,
        protocols: Protocols::TCP,
        labels: BTreeMap::new(),
    };
    Pod {
        id: app_id(id),
        version: Some(Timestamp::from_millis(1)),
        labels: BTreeMap::new(),
        instances: 1,
        network: NetworkMode::Container { networks: vec!["dcos".into()] },
        endpoints: vec![endpoint("http", Some(8080)), endpoint("admin", Some(9090))],
        running: Vec::new(),
    }
}

pub(crate) fn pod_instance(id: &str, container: &str, status: TaskStatus) -> PodInstance {
    PodInstance {
        id: instance(id),
        host: Some("agent1".into()),
        agent: None,
        version: None,
        addresses: vec![(Some("dcos".into()), "9.0.2.1".parse().unwrap())],
        containers: vec![PodContainer {
            name: container.into(),
            task: task_id(&format!("{id}.{container}")),
            status,
            since: None,
            healthy: None,
            host_ports: vec![("http".into(), 31_500)],
        }],
    }
}

pub(crate) fn status(app: &str, task: &str, status: TaskStatus) -> ClusterEvent {
    let (host, ports): (Option<Arc<str>>, _) = (Some("agent1".into()), vec![31_000]);
    ClusterEvent::Status(StatusUpdate {
        event: TaskEvent {
            source: None,
            task: task_id(task),
            status,
            app: app_id(app),
            host,
            ports,
            event_type: Some("status_update_event".into()),
            timestamp: None,
        },
        agent: None,
        addresses: Vec::new(),
        version: None,
        message: None,
    })
}

pub(crate) fn health(app: &str, task: &str, healthy: Option<bool>) -> ClusterEvent {
    ClusterEvent::HealthChanged {
        app: app_id(app),
        instance: None,
        task: Some(task_id(task)),
        healthy,
        whole: false,
        at: None,
    }
}

pub(crate) fn group(path: &str) -> ClusterEvent {
    ClusterEvent::GroupChanged { group: path.into(), version: None }
}

pub(crate) fn deployment(phase: DeploymentPhase, apps: &[&str]) -> ClusterEvent {
    let affected = apps.iter().map(|id| app_id(id)).collect();
    ClusterEvent::Deployment { id: None, phase, affected, stopping: Vec::new(), version: None }
}

/// A catalog of one source, `m`, unless told otherwise.
pub(crate) struct Bench {
    pub(crate) catalog: Catalog,
    pub(crate) now: Duration,
    pub(crate) rng: fastrand::Rng,
    /// Everything asked for so far that no test has taken.
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) effects: Effects,
    events: BTreeMap<SourceId, u64>,
}

impl Bench {
    pub(crate) fn with(settings: Settings) -> Self {
        Self {
            catalog: Catalog::new(settings, Timestamp::from_millis(0), [source("m")]),
            now: Duration::from_secs(1000),
            rng: fastrand::Rng::with_seed(7),
            fetches: Vec::new(),
            effects: Effects::default(),
            events: BTreeMap::new(),
        }
    }

    /// Attached, and read completely.
    pub(crate) fn reading(apps: Vec<AppListing>) -> Self {
        let mut bench = Self::with(Settings::default());
        bench.see(Observation::Attached);
        bench.list(apps, Vec::new());
        bench
    }

    pub(crate) fn see_from(&mut self, from: &str, observation: Observation) -> &mut Self {
        let from = source(from);
        if matches!(observation, Observation::Event(_)) {
            *self.events.entry(from.clone()).or_default() += 1;
        }
        let effects = self.catalog.apply(&from, observation, self.now, &mut self.rng);
        self.take(effects);
        self
    }

    fn take(&mut self, effects: Effects) {
        self.fetches.extend(effects.fetches.iter().cloned());
        self.effects = effects;
        let snapshot = self.catalog.publish(self.now);
        assert_eq!(invariants::check(&snapshot), Ok(()));
    }

    pub(crate) fn see(&mut self, observation: Observation) -> &mut Self {
        self.see_from("m", observation)
    }

    pub(crate) fn event(&mut self, event: ClusterEvent) -> &mut Self {
        self.see(Observation::Event(event))
    }

    /// Events of `m` so far: what a request that is sent now is numbered with.
    pub(crate) fn mark(&self) -> u64 {
        self.events.get(&source("m")).copied().unwrap_or(0)
    }

    pub(crate) fn list(&mut self, apps: Vec<AppListing>, pods: Vec<Pod>) -> &mut Self {
        let at = self.mark();
        self.list_at(apps, pods, at)
    }

    pub(crate) fn list_at(
        &mut self,
        apps: Vec<AppListing>,
        pods: Vec<Pod>,
        requested_at_event: u64,
    ) -> &mut Self {
        let listing = Box::new(Listing { apps, pods, ..Listing::default() });
        self.see(Observation::Listing { listing, requested_at_event })
    }

    pub(crate) fn answer_at(
        &mut self,
        id: &str,
        listing: Option<AppListing>,
        requested_at_event: u64,
    ) -> &mut Self {
        let (id, listing) = (app_id(id), listing.map(Box::new));
        self.see(Observation::App { id, listing, as_of: None, requested_at_event })
    }

    pub(crate) fn answer(&mut self, id: &str, listing: Option<AppListing>) -> &mut Self {
        let at = self.mark();
        self.answer_at(id, listing, at)
    }

    /// Lets time pass, stopping wherever the catalog wants to act.
    pub(crate) fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(next) = self.catalog.next_tick().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            let effects = self.catalog.tick(self.now);
            self.take(effects);
            steps += 1;
            assert!(steps < 100_000, "the catalog wakes without end");
        }
        self.now = end;
        self
    }

    pub(crate) fn pass_ms(&mut self, millis: u64) -> &mut Self {
        self.pass(Duration::from_millis(millis))
    }

    /// What was asked for since the last call, as text: app ids, or `*` for the listing.
    pub(crate) fn asked(&mut self) -> Vec<String> {
        let text = |fetch| match fetch {
            Fetch::App(_, app) => app.to_string(),
            Fetch::Listing(_) => "*".to_owned(),
        };
        self.fetches.drain(..).map(text).collect()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.catalog.published()
    }

    pub(crate) fn entry(&self, app: &str) -> Option<Arc<AppEntry>> {
        self.snapshot().apps.get(&(source("m"), app_id(app))).cloned()
    }

    /// `task verdict-rule addresses` of each task, which is what most tests are about.
    pub(crate) fn shows(&self, app: &str) -> Vec<String> {
        let Some(entry) = self.entry(app) else { return vec!["no such app".to_owned()] };
        let line = |task: &Arc<TaskEntry>| {
            let at: Vec<String> = task.endpoints.iter().map(|e| e.transport.to_string()).collect();
            format!("{} {} {}", task.task.id, task.verdict.rule.as_str(), at.join(","))
        };
        entry.tasks.iter().map(line).collect()
    }

    pub(crate) fn state(&self) -> SourceState {
        self.snapshot().sources[&source("m")].clone()
    }
}
