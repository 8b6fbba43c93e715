//! `/v2/pods`

use super::wire::{Request, Response};
use super::{Shared, answer, body_json, late, message};
use crate::cluster::{Answer, Caller, Cluster, Command, PathId};
use serde_json::Value;

/// What the rest of the path stands for: ids contain slashes, and `::` ends them.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    All,
    Statuses,
    Pod(PathId),
    Status(PathId),
    Versions(PathId),
    Version(PathId, String),
    Instances(PathId),
    Instance(PathId, String),
}

fn target(path: &[&str]) -> Option<Target> {
    let text = path.join("/");
    let Some((id, rest)) = text.split_once("::") else {
        return Some(if text.is_empty() { Target::All } else { Target::Pod(PathId::lenient(&text)) });
    };
    if id.trim_matches('/').is_empty() {
        return (rest == "status").then_some(Target::Statuses);
    }
    let id = PathId::lenient(id);
    match rest.split_once('/') {
        None if rest == "status" => Some(Target::Status(id)),
        None if rest == "versions" => Some(Target::Versions(id)),
        None if rest == "instances" => Some(Target::Instances(id)),
        Some(("versions", version)) => Some(Target::Version(id, version.to_owned())),
        Some(("instances", instance)) => Some(Target::Instance(id, instance.to_owned())),
        _ => None,
    }
}

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    if !shared.options.profile.pods {
        return None;
    }
    let target = target(path)?;
    match request.method.as_str() {
        "HEAD" if target == Target::All => Some(answer(Answer::empty(200), None)),
        "GET" | "HEAD" => read(target, shared).await,
        method => Some(write(request, method, target, shared).await),
    }
}

async fn read(target: Target, shared: &Shared) -> Option<Response> {
    let query = move |cluster: &Cluster| match target {
        Target::All => Some(cluster.pods()),
        Target::Statuses => Some(cluster.pod_statuses()),
        Target::Pod(id) => Some(cluster.pod(&id)),
        Target::Status(id) => Some(cluster.pod_status(&id)),
        Target::Versions(id) => Some(cluster.pod_versions(&id)),
        Target::Version(id, version) => Some(cluster.pod_version(&id, &version)),
        Target::Instances(_) | Target::Instance(..) => None,
    };
    match shared.driver.query(query).await {
        Ok(Some(found)) => Some(late(Ok(found))),
        Ok(None) => Some(message(405, "method is not supported")),
        Err(refused) => Some(answer(refused, None)),
    }
}

async fn write(request: &Request, method: &str, target: Target, shared: &Shared) -> Response {
    let caller = || Caller { client_ip: request.client_ip.clone(), uri: request.path.clone() };
    let force = request.flag("force", false);
    let command = match (method, target) {
        ("POST", Target::All) => {
            body_json(request).map(|body| Command::CreatePod { body, force, caller: caller() })
        }
        ("PUT", Target::Pod(id)) => {
            body_json(request).map(|body| Command::UpdatePod { id, body, force, caller: caller() })
        }
        ("DELETE", Target::Pod(id)) => Ok(Command::DeletePod { id, force, caller: caller() }),
        ("DELETE", Target::Instance(id, instance)) => {
            Ok(Command::KillPodInstances { id, instances: vec![instance], one: true })
        }
        ("DELETE", Target::Instances(id)) => {
            ids(request).map(|instances| Command::KillPodInstances { id, instances, one: false })
        }
        _ => Err(message(405, "method is not supported")),
    };
    match command {
        Ok(command) => answer(shared.driver.command(command).await, Some(shared)),
        Err(refused) => refused,
    }
}

/// `["id", ...]`
fn ids(request: &Request) -> Result<Vec<String>, Response> {
    let body = body_json(request)?;
    let ids = body.as_array().and_then(|ids| {
        ids.iter().map(|id: &Value| id.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>()
    });
    ids.ok_or_else(|| message(400, "the body has to be an array of instance ids"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_colons_end_the_id() {
        let id = PathId::lenient("/a/b");
        let table: [(&[&str], Option<Target>); 8] = [
            (&[], Some(Target::All)),
            (&["::status"], Some(Target::Statuses)),
            (&["a", "b"], Some(Target::Pod(id.clone()))),
            (&["a", "b::status"], Some(Target::Status(id.clone()))),
            (&["a", "b::versions"], Some(Target::Versions(id.clone()))),
            (&["a", "b::versions", "v"], Some(Target::Version(id.clone(), "v".into()))),
            (&["a", "b::instances", "i"], Some(Target::Instance(id.clone(), "i".into()))),
            (&["a", "b::else"], None),
        ];
        for (path, expected) in table {
            assert_eq!(target(path), expected, "{path:?}");
        }
    }
}
