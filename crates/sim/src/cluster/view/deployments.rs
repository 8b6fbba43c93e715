//! `GET /v2/deployments`, and what readiness checks say.

use super::super::Cluster;
use crate::cluster::answer::Answer;
use crate::cluster::deployment::{ActionView, Deployment};
use crate::cluster::instance::{Condition, Instance};
use crate::cluster::path::PathId;
use crate::cluster::plan::StepJson;
use crate::time::Time;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentView<'a> {
    id: &'a str,
    version: Time,
    affected_apps: Vec<&'a PathId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    affected_pods: Option<[u8; 0]>,
    steps: Steps<'a>,
    current_actions: Vec<CurrentAction<'a>>,
    current_step: usize,
    total_steps: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Steps<'a> {
    Arrays(Vec<&'a [ActionView]>),
    Objects(Vec<StepJson<'a>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CurrentAction<'a> {
    #[serde(flatten)]
    action: &'a ActionView,
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness_check_results: Option<Vec<ReadinessResult>>,
}

/// What a readiness check says about a task.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadinessResult {
    name: String,
    task_id: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_response: Option<LastResponse>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastResponse {
    status: u16,
    content_type: &'static str,
    body: &'static str,
}

impl Cluster {
    /// `GET /v2/deployments`
    #[must_use]
    pub fn deployments(&self) -> Answer {
        let views: Vec<_> = self.deployments.iter().map(|found| self.deployment_view(found)).collect();
        Answer::json(200, &views)
    }

    fn deployment_view<'a>(&'a self, deployment: &'a Deployment) -> DeploymentView<'a> {
        let profile = &self.options.profile;
        let plan = &deployment.plan;
        let steps = if profile.step_objects {
            Steps::Objects(plan.steps.iter().map(|step| StepJson::new(step, profile)).collect())
        } else {
            Steps::Arrays(plan.steps.iter().map(|step| step.actions.as_slice()).collect())
        };
        let current = plan.steps.get(deployment.current()).into_iter().flat_map(|step| &step.actions);
        let readiness =
            |action: &ActionView| profile.apps.readiness_checks.then(|| self.readiness_results(&action.app));
        DeploymentView {
            id: &plan.id,
            version: plan.version,
            affected_apps: deployment.original.keys().collect(),
            affected_pods: profile.pods.then_some([]),
            steps,
            current_actions: current
                .map(|action| CurrentAction { action, readiness_check_results: readiness(action) })
                .collect(),
            current_step: deployment.current() + 1,
            total_steps: plan.steps.len(),
        }
    }

    /// What the readiness checks of an app's tasks say while a deployment is changing it.
    pub(super) fn readiness_results(&self, app: &PathId) -> Vec<ReadinessResult> {
        let Some(def) = self.target(app).map(|app| &app.def) else { return Vec::new() };
        let Some(check) = def.readiness_checks.as_ref().and_then(|checks| checks.get(0)) else {
            return Vec::new();
        };
        let name = check.get("name").and_then(Value::as_str).unwrap_or("readinessCheck");
        let preserved = check.get("preserveLastResponse") == Some(&Value::Bool(true));
        let result = |found: &Instance| {
            let ready = found.ready_at.is_none_or(|ready_at| ready_at <= self.now);
            let (status, body) = if ready { (200, "ready") } else { (503, "warming up") };
            ReadinessResult {
                name: name.to_owned(),
                task_id: self.task_id(found),
                ready,
                last_response: preserved.then_some(LastResponse { status, content_type: "text/plain", body }),
            }
        };
        self.instances_of(app)
            .filter(|found| found.condition == Condition::Running && !found.is_outdated(def))
            .map(result)
            .collect()
    }
}
