//! What readers see: apps, tasks, versions, the queue, and the text table.

use super::answer::Answer;
use super::definition::AppDef;
use super::health::CheckResult;
use super::instance::{Condition, Instance, IpAddress};
use super::path::PathId;
use super::pod::PodView;
use super::query::{AppFilter, Embeds};
use super::{App, Cluster};
use crate::time::Time;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// `lastTaskFailure`
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskFailure {
    pub(super) app_id: PathId,
    pub(super) host: String,
    pub(super) message: String,
    pub(super) state: &'static str,
    pub(super) task_id: String,
    pub(super) timestamp: Time,
    pub(super) version: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slave_id: Option<String>,
}

#[derive(Serialize)]
struct IdView<'a> {
    id: &'a str,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    staged: u32,
    running: u32,
    healthy: u32,
    unhealthy: u32,
}

/// An app with its runtime data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppView<'a> {
    #[serde(flatten)]
    def: &'a AppDef,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_staged: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_running: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_healthy: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_unhealthy: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployments: Option<Vec<IdView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness_check_results: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_task_failure: Option<&'a TaskFailure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<TaskView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_stats: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultView<'a> {
    #[serde(flatten)]
    result: CheckResult,
    instance_id: &'a str,
}

/// A task as Marathon writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskView<'a> {
    app_id: &'a PathId,
    health_check_results: Vec<ResultView<'a>>,
    host: &'a str,
    id: String,
    ip_addresses: &'a [IpAddress],
    ports: &'a [u16],
    service_ports: Vec<u16>,
    slave_id: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    staged_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Time>,
    version: Time,
    local_volumes: [u8; 0],
}

impl Cluster {
    /// The app as readers see it.
    fn visible(&self, id: &PathId) -> Option<(&App, &AppDef)> {
        let app = self.apps.get(id)?;
        Some((app, app.visible.as_deref().filter(|def| def.pod.is_none())?))
    }

    fn visible_apps(&self) -> impl Iterator<Item = (&App, &AppDef)> {
        let visible = |app: &'_ App| app.visible.as_ref().is_some_and(|def| def.pod.is_none());
        self.apps
            .values()
            .filter(move |app| visible(app))
            .filter_map(|app| Some((app, app.visible.as_deref()?)))
    }

    /// The instances that have a task at an agent, which is what readers call tasks.
    fn tasks_of(&self, id: &PathId) -> impl Iterator<Item = &Instance> {
        self.instances_of(id).filter(|instance| instance.condition.has_task())
    }

    fn counts(&self, id: &PathId) -> Counts {
        let mut counts = Counts::default();
        for instance in self.tasks_of(id) {
            match instance.condition {
                Condition::Running | Condition::Killing => counts.running += 1,
                Condition::Provisioned | Condition::Staging | Condition::Starting => counts.staged += 1,
                _ => {}
            }
            if instance.checks.iter().any(|check| check.result.is_some()) {
                if instance.healthy() == Some(true) {
                    counts.healthy += 1;
                } else {
                    counts.unhealthy += 1;
                }
            }
        }
        counts
    }

    pub(super) fn app_view<'a>(&'a self, app: &'a App, def: &'a AppDef, embeds: &Embeds) -> AppView<'a> {
        let counts = embeds.counts.then(|| self.counts(&def.id));
        let deployments = || self.deployments_of(&def.id).map(|id| IdView { id }).collect();
        AppView {
            def,
            tasks_staged: counts.map(|counts| counts.staged),
            tasks_running: counts.map(|counts| counts.running),
            tasks_healthy: counts.map(|counts| counts.healthy),
            tasks_unhealthy: counts.map(|counts| counts.unhealthy),
            deployments: embeds.deployments.then(deployments),
            readiness_check_results: embeds.readiness.then(|| self.readiness_results(&def.id)),
            last_task_failure: app.last_failure.as_ref().filter(|_| embeds.last_task_failure),
            tasks: embeds
                .tasks
                .then(|| self.tasks_of(&def.id).map(|task| self.task_view(task, false)).collect()),
            task_stats: embeds.task_stats.then(|| self.task_stats(def)),
        }
    }

    fn task_stats(&self, def: &AppDef) -> Value {
        type Test<'a> = &'a dyn Fn(&Instance) -> bool;
        let outdated = |task: &Instance| task.is_outdated(def);
        let scaled =
            |task: &Instance| task.started_at.is_some_and(|at| at >= def.version_info.last_scaling_at);
        let groups: [(&str, Test<'_>); 4] = [
            ("startedAfterLastScaling", &scaled),
            ("withLatestConfig", &|task| !outdated(task)),
            ("withOutdatedConfig", &outdated),
            ("totalSummary", &|_| true),
        ];
        let mut stats = serde_json::Map::new();
        for (name, belongs) in groups {
            let tasks: Vec<&Instance> = self.tasks_of(&def.id).filter(|task| belongs(task)).collect();
            if tasks.is_empty() {
                continue;
            }
            let running = tasks.iter().filter(|task| task.condition == Condition::Running).count();
            let count = |wanted| tasks.iter().filter(|task| task.healthy() == Some(wanted)).count();
            let mut ages: Vec<f64> = tasks
                .iter()
                .filter_map(|task| Some(self.now.since(task.started_at?).as_secs_f64()))
                .collect();
            ages.sort_by(f64::total_cmp);
            let mut group = json!({ "counts": { "staged": tasks.len() - running, "running": running,
                "healthy": count(true), "unhealthy": count(false) } });
            if let Some(median) = ages.get(ages.len() / 2) {
                let average = ages.iter().sum::<f64>() / ages.len() as f64;
                group["lifeTime"] = json!({ "averageSeconds": average, "medianSeconds": median });
            }
            stats.insert(name.to_owned(), json!({ "stats": group }));
        }
        Value::Object(stats)
    }

    pub(super) fn task_view<'a>(&'a self, task: &'a Instance, service_ports: bool) -> TaskView<'a> {
        let agent = task.agent.and_then(|index| self.agents.get(index));
        let results = task.checks.iter().filter_map(|check| check.shown(self.now));
        let inactive = task.condition == Condition::UnreachableInactive;
        TaskView {
            app_id: &task.app,
            health_check_results: results
                .map(|result| ResultView { result, instance_id: &task.id })
                .collect(),
            host: agent.map_or("", |agent| &agent.host),
            id: self.task_id(task),
            ip_addresses: task.ip.as_slice(),
            ports: if inactive { &[] } else { &task.host_ports },
            service_ports: if service_ports { task.def.service_ports() } else { Vec::new() },
            slave_id: agent.map_or("", |agent| &agent.id),
            state: task.condition.task_state(),
            staged_at: task.staged_at,
            started_at: task.started_at.filter(|_| !inactive),
            version: task.def.version,
            local_volumes: [],
        }
    }

    /// `GET /v2/apps`
    #[must_use]
    pub fn apps(&self, filter: &AppFilter, embeds: &Embeds) -> Answer {
        let admitted = self.visible_apps().filter(|(_, def)| filter.admits(def));
        let views: Vec<AppView<'_>> = admitted.map(|(app, def)| self.app_view(app, def, embeds)).collect();
        #[derive(Serialize)]
        struct List<'a> {
            apps: Vec<AppView<'a>>,
        }
        Answer::json(200, &List { apps: views })
    }

    /// `GET /v2/apps/{group}/*`
    #[must_use]
    pub fn apps_below(&self, group: &PathId, embeds: &Embeds) -> Answer {
        let below = self.visible_apps().filter(|(_, def)| def.id.is_below(group));
        let views: Vec<AppView<'_>> = below.map(|(app, def)| self.app_view(app, def, embeds)).collect();
        if views.is_empty() && !self.groups.contains_key(group) {
            return Answer::missing("Group", group);
        }
        #[derive(Serialize)]
        struct List<'a> {
            #[serde(rename = "*")]
            apps: Vec<AppView<'a>>,
        }
        Answer::json(200, &List { apps: views })
    }

    /// `GET /v2/apps/{id}`
    #[must_use]
    pub fn app(&self, id: &PathId, embeds: &Embeds) -> Answer {
        let Some((app, def)) = self.visible(id) else { return Answer::missing("App", id) };
        #[derive(Serialize)]
        struct One<'a> {
            app: AppView<'a>,
        }
        Answer::json(200, &One { app: self.app_view(app, def, embeds) })
    }

    /// The answer to `POST /v2/apps`: the app, with nothing running yet.
    pub(super) fn created_answer(&self, def: &AppDef, deployment: &str) -> Answer {
        let view = AppView {
            def,
            tasks_staged: Some(0),
            tasks_running: Some(0),
            tasks_healthy: Some(0),
            tasks_unhealthy: Some(0),
            deployments: Some(vec![IdView { id: deployment }]),
            readiness_check_results: None,
            last_task_failure: None,
            tasks: None,
            task_stats: None,
        };
        Answer { location: Some(def.id.to_string()), ..Answer::json(201, &view) }
    }

    /// `GET /v2/apps/{id}/versions`
    #[must_use]
    pub fn app_versions(&self, id: &PathId) -> Answer {
        let Some((app, _)) = self.visible(id) else { return Answer::missing("App", id) };
        let versions: Vec<Time> = app.history.iter().rev().map(|def| def.version).collect();
        Answer::json(200, &json!({ "versions": versions }))
    }

    /// `GET /v2/apps/{id}/versions/{version}`
    #[must_use]
    pub fn app_version(&self, id: &PathId, version: &str) -> Answer {
        let Some((app, _)) = self.visible(id) else { return Answer::missing("App", id) };
        match app.history.iter().find(|def| def.version.to_string() == version) {
            Some(def) => Answer::json(200, &**def),
            None => Answer::message(404, format!("App '{id}' does not exist in version {version}")),
        }
    }

    /// `GET /v2/apps/{id}/tasks`
    #[must_use]
    pub fn app_tasks(&self, id: &PathId) -> Answer {
        if self.visible(id).is_none() {
            return Answer::missing("App", id);
        }
        self.task_list(self.tasks_of(id), false)
    }

    /// `GET /v2/apps/{group}/*/tasks`
    #[must_use]
    pub fn tasks_below(&self, group: &PathId) -> Answer {
        let below = self.visible_apps().filter(|(_, def)| def.id.is_below(group));
        self.task_list(below.flat_map(|(_, def)| self.tasks_of(&def.id)), false)
    }

    /// `GET /v2/tasks`, of all states or only running or staging ones.
    #[must_use]
    pub fn tasks(&self, statuses: &[String]) -> Answer {
        let admitted = |task: &&Instance| {
            statuses.is_empty()
                || statuses.iter().any(|status| match status.as_str() {
                    "running" => matches!(task.condition, Condition::Running | Condition::Killing),
                    "staging" => matches!(
                        task.condition,
                        Condition::Provisioned | Condition::Staging | Condition::Starting
                    ),
                    _ => false,
                })
        };
        self.task_list(self.visible_apps().flat_map(|(_, def)| self.tasks_of(&def.id)).filter(admitted), true)
    }

    fn task_list<'a>(&'a self, tasks: impl Iterator<Item = &'a Instance>, service_ports: bool) -> Answer {
        #[derive(Serialize)]
        struct List<'a> {
            tasks: Vec<TaskView<'a>>,
        }
        Answer::json(200, &List { tasks: tasks.map(|task| self.task_view(task, service_ports)).collect() })
    }

    /// `GET /v2/tasks` and `GET /v2/apps/{id}/tasks` as text: one line for each app and service port.
    #[must_use]
    pub fn tasks_text(&self, only: Option<&PathId>, networks: &[String]) -> String {
        let mut text = String::new();
        for (_, def) in self.visible_apps().filter(|(_, def)| only.is_none_or(|only| *only == def.id)) {
            let running: Vec<&Instance> =
                self.instances_of(&def.id).filter(|task| task.condition == Condition::Running).collect();
            let name = def.id.flat();
            let ports = def.service_ports();
            if ports.is_empty() {
                let hosts = running.iter().filter_map(|task| self.agent_names(task));
                // Writing to a string cannot fail.
                let _ = write!(text, "{name}\t \t");
                hosts.for_each(|(_, host)| {
                    let _ = write!(text, "{host}\t");
                });
                text.push('\n');
            }
            for (index, port) in ports.iter().enumerate() {
                let _ = write!(text, "{name}\t{port}\t");
                for endpoint in running.iter().filter_map(|task| self.endpoint(task, index, networks)) {
                    let _ = write!(text, "{endpoint}\t");
                }
                text.push('\n');
            }
        }
        text
    }

    /// Where declared port `index` of a task is reached, as far as Marathon's table tells.
    fn endpoint(&self, task: &Instance, index: usize, networks: &[String]) -> Option<String> {
        let mappings = task.def.port_mappings();
        let host_index = match mappings.get(index) {
            Some(mapping) if mapping.host_port.is_none() => {
                let named = |network: &super::Network| {
                    network.name.as_ref().is_some_and(|name| networks.contains(name))
                };
                let asked = networks.iter().any(|name| name == "*") || task.def.networks.iter().any(named);
                let address = task.ip.as_ref().filter(|_| asked)?;
                return Some(format!("{}:{}", address.ip_address, mapping.container_port));
            }
            Some(_) => mappings[..index].iter().filter(|mapping| mapping.host_port.is_some()).count(),
            None => index,
        };
        let (_, host) = self.agent_names(task)?;
        Some(format!("{host}:{}", task.host_ports.get(host_index)?))
    }

    /// `GET /v2/queue`
    #[must_use]
    pub fn queue(&self) -> Answer {
        let mut entries = Vec::new();
        for app in self.apps.values() {
            let Some(def) = app.visible.as_deref() else { continue };
            let waiting: Vec<&Instance> =
                self.instances_of(&def.id).filter(|found| found.condition == Condition::Scheduled).collect();
            let Some(since) = waiting.iter().map(|found| found.since).min() else { continue };
            let left = app.launch_after.since(self.now).as_secs();
            let unused = json!({ "processedOffersCount": 0, "unusedOffersCount": 0, "rejectSummaryLastOffers": [],
                "rejectSummaryLaunchAttempt": [] });
            let mut entry = json!({ "count": waiting.len(), "since": since, "role": "*",
                "delay": { "timeLeftSeconds": left, "overdue": left == 0 }, "processedOffersSummary": unused });
            match PodView::new(def) {
                Some(pod) => entry["pod"] = json!(pod),
                None => entry["app"] = json!(def),
            }
            entries.push(entry);
        }
        Answer::json(200, &json!({ "queue": entries }))
    }
}
