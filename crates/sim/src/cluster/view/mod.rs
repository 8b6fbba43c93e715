//! What readers see: apps, tasks, versions, the queue, and the text table.
//!
//! The forms of definitions are in `legacy`, those of tasks in `task`: what a version writes is data of its profile.

mod deployments;
mod info;
mod legacy;
mod queue;
mod stats;
mod table;
mod task;

pub(super) use legacy::{AppJson, HealthCheckJson};

use super::answer::Answer;
use super::definition::AppDef;
use super::instance::{Condition, Instance};
use super::path::PathId;
use super::query::{AppFilter, Embeds};
use super::{App, Cluster};
use crate::time::Time;
use serde::Serialize;
use serde_json::Value;
use stats::TaskStats;
use task::TaskView;

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

/// An app with its runtime data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppView<'a> {
    #[serde(flatten)]
    def: AppJson<'a>,
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
    /// Null for a version that writes so when there was none.
    last_task_failure: Option<Option<&'a TaskFailure>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Vec<TaskView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_stats: Option<TaskStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_stats: Option<TaskStats>,
}

impl Cluster {
    /// The app as readers see it.
    fn visible(&self, id: &PathId) -> Option<(&App, &AppDef)> {
        let app = self.apps.get(id)?;
        Some((app, app.visible.as_deref().filter(|def| def.pod.is_none())?))
    }

    fn visible_apps(&self) -> impl Iterator<Item = (&App, &AppDef)> {
        let visible = |app: &App| app.visible.as_ref().is_some_and(|def| def.pod.is_none());
        self.apps
            .values()
            .filter(move |app| visible(app))
            .filter_map(|app| Some((app, app.visible.as_deref()?)))
    }

    /// The instances that have a task at an agent, which is what readers call tasks.
    fn tasks_of(&self, id: &PathId) -> impl Iterator<Item = &Instance> {
        self.instances_of(id).filter(|instance| instance.condition.has_task())
    }

    /// A definition as this version writes it.
    pub(super) fn app_json<'a>(&'a self, def: &'a AppDef) -> AppJson<'a> {
        AppJson { def, shape: &self.options.profile.apps }
    }

    pub(super) fn app_view<'a>(&'a self, app: &'a App, def: &'a AppDef, embeds: &Embeds) -> AppView<'a> {
        let shape = &self.options.profile.apps;
        let counts = embeds.counts.then(|| self.counts(&def.id));
        let deployments = || self.deployments_of(&def.id).map(|id| IdView { id }).collect();
        let failure = app.last_failure.as_ref();
        let stats = || embeds.task_stats.then(|| self.task_stats(def));
        AppView {
            def: self.app_json(def),
            tasks_staged: counts.map(|counts| counts.staged),
            tasks_running: counts.map(|counts| counts.running),
            tasks_healthy: counts.map(|counts| counts.healthy),
            tasks_unhealthy: counts.map(|counts| counts.unhealthy),
            deployments: embeds.deployments.then(deployments),
            readiness_check_results: (embeds.readiness && shape.readiness_checks)
                .then(|| self.readiness_results(&def.id)),
            last_task_failure: (embeds.last_task_failure && (failure.is_some() || shape.few_embeds))
                .then_some(failure),
            tasks: embeds
                .tasks
                .then(|| self.tasks_of(&def.id).map(|task| self.task_view(task, false)).collect()),
            task_stats: if shape.stats_key == Some("taskStats") { stats() } else { None },
            tasks_stats: if shape.stats_key == Some("tasksStats") { stats() } else { None },
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
        let shape = &self.options.profile.apps;
        let view = AppView {
            def: self.app_json(def),
            tasks_staged: Some(0),
            tasks_running: Some(0),
            tasks_healthy: Some(0),
            tasks_unhealthy: Some(0),
            deployments: Some(vec![IdView { id: deployment }]),
            readiness_check_results: None,
            last_task_failure: None,
            tasks: shape.created_with_tasks.then(Vec::new),
            task_stats: None,
            tasks_stats: None,
        };
        Answer { location: Some(def.id.to_string()), ..Answer::json(201, &view) }
    }

    /// `GET /v2/apps/{id}/versions`
    #[must_use]
    pub fn app_versions(&self, id: &PathId) -> Answer {
        let Some((app, _)) = self.visible(id) else { return Answer::missing("App", id) };
        let versions: Vec<Time> = app.history.iter().rev().map(|def| def.version).collect();
        #[derive(Serialize)]
        struct Versions {
            versions: Vec<Time>,
        }
        Answer::json(200, &Versions { versions })
    }

    /// `GET /v2/apps/{id}/versions/{version}`
    #[must_use]
    pub fn app_version(&self, id: &PathId, version: &str) -> Answer {
        let Some((app, _)) = self.visible(id) else { return Answer::missing("App", id) };
        match app.history.iter().find(|def| def.version.to_string() == version) {
            Some(def) => Answer::json(200, &self.app_json(def)),
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
}
