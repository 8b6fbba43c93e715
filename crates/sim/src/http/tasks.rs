//! `/v2/tasks`, and what it shares with the tasks of one app.

use super::wire::{Request, Response};
use super::{Shared, answer, body_json, late, message};
use crate::cluster::{Answer, Command, KillTarget};
use crate::profile::PlainTasks;

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    match (request.method.as_str(), path) {
        ("GET" | "HEAD", []) if wants_text(request, shared) => {
            let refused = refuses_text(shared);
            if refused.is_some() {
                return refused;
            }
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

/// JSON wins unless only text is asked for. Where it is left to chance what `*/*` means, the seed decides.
pub(super) fn wants_text(request: &Request, shared: &Shared) -> bool {
    let any = shared.options.profile.tasks.ambiguous_accept
        && shared.options.seed.is_multiple_of(2)
        && request.accepts("*/*");
    (request.accepts("text/plain") || any) && !request.accepts("application/json")
}

/// The answer of a version that has no table any more.
pub(super) fn refuses_text(shared: &Shared) -> Option<Response> {
    let text = match shared.options.profile.tasks.plain {
        PlainTasks::Deprecated => {
            "The text/plain form of /v2/tasks is deprecated. Re-start Marathon with --deprecated_features \
             text_plain_tasks to get it.\n"
        }
        PlainTasks::Gone => "HTTP 406 Not Acceptable\n",
        _ => return None,
    };
    Some(Response::new(406, "text/plain;charset=UTF-8", text))
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
    answer(shared.driver.command(command).await, Some(shared))
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
        Some(ids) => {
            let response = kill(request, KillTarget::Ids(ids), shared).await;
            let silent = !shared.options.profile.tasks.deleted_listed && response.status == 200;
            if silent { Response::new(200, "application/json", "") } else { response }
        }
        None => answer(
            Answer {
                body: Some(r#"{"message":"Invalid JSON","details":[{"path":"/ids","errors":["error.expected.jsarray"]}]}"#.into()),
                ..Answer::empty(400)
            },
            None,
        ),
    }
}
