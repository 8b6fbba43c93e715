//! `GET /v2/deployments`, and what readiness checks say.

use super::super::Cluster;
use crate::cluster::answer::Answer;
use crate::cluster::deployment::{ActionView, Deployment};
use crate::cluster::path::PathId;
use crate::cluster::plan::StepJson;
use crate::time::Time;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentView<'a> {
    id: &'a str,
    version: Time,
    affected_apps: BTreeSet<&'a PathId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    affected_pods: Option<BTreeSet<&'a PathId>>,
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
    readiness_check_results: Option<Vec<Value>>,
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
        let affected = |pods: bool| {
            let actions = plan.steps.iter().flat_map(|step| &step.actions);
            actions.filter(|action| action.pod == pods).map(|action| &action.app).collect()
        };
        DeploymentView {
            id: &plan.id,
            version: plan.version,
            affected_apps: affected(false),
            affected_pods: profile.pods.then(|| affected(true)),
            steps,
            current_actions: current
                .map(|action| CurrentAction { action, readiness_check_results: readiness(action) })
                .collect(),
            current_step: deployment.current() + 1,
            total_steps: plan.steps.len(),
        }
    }
}
