//! What a client is told: a status and one line of JSON, or nothing.

use super::fields::Fault;
use super::path::PathId;
use crate::time::Time;
use serde::Serialize;
use serde_json::json;

// Structs and not `json!`, which would sort the keys: clients see Marathon's order.

#[derive(Serialize)]
struct Explained<'a, T> {
    message: &'a str,
    details: T,
}

#[derive(Serialize)]
struct Detail<'a> {
    path: &'a str,
    errors: Vec<&'a str>,
}

#[derive(Serialize)]
struct Locked<'a> {
    message: &'a str,
    deployments: Vec<DeploymentId<'a>>,
}

#[derive(Serialize)]
struct DeploymentId<'a> {
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentResult<'a> {
    version: Time,
    deployment_id: &'a str,
}

/// An answer of the cluster, not yet HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, which is JSON.
    pub body: Option<String>,
    /// The deployment that carries the change out (`Marathon-Deployment-Id`).
    pub deployment: Option<String>,
    /// The object that was made (`Location`).
    pub location: Option<String>,
}

impl Answer {
    /// `status` with `body` as JSON.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Answer {
        match serde_json::to_string(body) {
            Ok(body) => Answer { status, body: Some(body), deployment: None, location: None },
            Err(error) => Answer::message(500, error.to_string()),
        }
    }

    /// `status` without a body.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer { status, body: None, deployment: None, location: None }
    }

    /// `{"message": ...}`
    pub(crate) fn message(status: u16, message: impl Into<String>) -> Answer {
        Answer {
            status,
            body: Some(json!({ "message": message.into() }).to_string()),
            deployment: None,
            location: None,
        }
    }

    pub(crate) fn failure(message: &str) -> Answer {
        Answer::message(500, message)
    }

    /// 404 for an app, a group, a deployment, ...
    pub(crate) fn missing(kind: &str, id: &PathId) -> Answer {
        Answer::message(404, format!("{kind} '{id}' does not exist"))
    }

    pub(crate) fn missing_task(id: &str) -> Answer {
        Answer::message(404, format!("Task '{id}' does not exist"))
    }

    /// 400: the body is no JSON.
    pub(crate) fn malformed(details: &str) -> Answer {
        Answer::json(400, &Explained { message: "Invalid JSON", details })
    }

    /// 400: the JSON has values of the wrong types.
    pub(crate) fn invalid_json(mut faults: Vec<Fault>) -> Answer {
        Answer::json(400, &Explained { message: "Invalid JSON", details: details(&mut faults) })
    }

    /// 422: the types are right, the meaning is not.
    pub(crate) fn invalid_object(mut faults: Vec<Fault>) -> Answer {
        Answer::json(422, &Explained { message: "Object is not valid", details: details(&mut faults) })
    }

    /// The result of a write that a deployment carries out.
    pub(crate) fn accepted(status: u16, version: Time, deployment_id: &str) -> Answer {
        Answer::json(status, &DeploymentResult { version, deployment_id })
    }

    /// 409: a deployment is changing what shall be changed.
    pub(crate) fn locked(deployments: &[String]) -> Answer {
        let message = "App is locked by one or more deployments. Override with the option '?force=true'. \
                       View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
        let deployments = deployments.iter().map(|id| DeploymentId { id }).collect();
        Answer::json(409, &Locked { message, deployments })
    }

    /// Whether it tells of success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status < 400
    }
}

/// Faults grouped by path.
fn details(faults: &mut [Fault]) -> Vec<Detail<'_>> {
    faults.sort();
    faults
        .chunk_by(|one, other| one.path == other.path)
        .map(|group| Detail {
            path: &group[0].path,
            errors: group.iter().map(|fault| fault.error.as_str()).collect(),
        })
        .collect()
}
