//! `/v2/tasks`, and what it shares with the tasks of one app.

use super::wire::{Request, Response};
use super::{Shared, answer, body_json, late, message};
use crate::cluster::{Answer, Command, KillTarget};

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    match (request.method.as_str(), path) {
        ("GET" | "HEAD", []) if wants_text(request, shared) => {
            let networks = container_networks(request);
            Some(text(shared.driver.query(move |cluster| cluster.tasks_text(None, &networks)).await))
        }
        ("GET" | "HEAD", []) => {
            let statuses: Vec<String> =
                request.params("status").chain(request.params("status[]")).map(str::to_owned).collect();
            Some(late(shared.driver.query(move |cluster| cluster.tasks(&statuses)).await))
        }
        ("POST", ["delete"]) => Some(delete(request, shared).await),
        (_, [] | ["delete"]) => Some(message(405, "method is not supported")),
        _ => None,
    }
}

/// JSON wins unless only text is asked for.
pub(super) fn wants_text(request: &Request, shared: &Shared) -> bool {
    shared.options.profile.plain_tasks
        && request.accepts("text/plain")
        && !request.accepts("application/json")
}

/// `containerNetworks=a,b`
pub(super) fn container_networks(request: &Request) -> Vec<String> {
    request.params("containerNetworks").flat_map(|value| value.split(',')).map(str::to_owned).collect()
}

pub(super) fn text(found: Result<String, Answer>) -> Response {
    match found {
        Ok(text) => Response::new(200, "text/plain;charset=UTF-8", text),
        Err(late) => answer(late, None),
    }
}

pub(super) async fn kill(request: &Request, target: KillTarget, shared: &Shared) -> Response {
    let command = Command::KillTasks {
        target,
        scale: request.flag("scale", false),
        wipe: request.flag("wipe", false),
        force: request.flag("force", false),
    };
    answer(shared.driver.command(command).await, None)
}

async fn delete(request: &Request, shared: &Shared) -> Response {
    let body = match body_json(request) {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let ids = body
        .get("ids")
        .and_then(|ids| ids.as_array())
        .and_then(|ids| ids.iter().map(|id| id.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>());
    match ids {
        Some(ids) => kill(request, KillTarget::Ids(ids), shared).await,
        None => answer(
            Answer {
                body: Some(r#"{"message":"Invalid JSON","details":[{"path":"/ids","errors":["error.expected.jsarray"]}]}"#.into()),
                ..Answer::empty(400)
            },
            None,
        ),
    }
}
