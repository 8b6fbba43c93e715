//! `/v2/apps`

use super::wire::{Request, Response};
use super::{Shared, answer, body_json, late, message, path_id, tasks};
use crate::cluster::{AppFilter, Caller, Command, Embeds, PathId};
use serde_json::Value;

/// What the rest of the path stands for.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    All,
    App(PathId),
    Below(PathId),
    Restart(PathId),
    Versions(PathId),
    Version(PathId, String),
    Tasks(PathId),
    TasksBelow(PathId),
    Task(PathId, String),
}

/// Ids contain slashes, so the path is read from its end.
fn target(path: &[&str]) -> Target {
    match path {
        [] => Target::All,
        ["*"] => Target::Below(PathId::root()),
        [group @ .., "*"] => Target::Below(path_id(group)),
        ["*", "tasks"] => Target::TasksBelow(PathId::root()),
        [group @ .., "*", "tasks"] => Target::TasksBelow(path_id(group)),
        [app @ .., "restart"] if !app.is_empty() => Target::Restart(path_id(app)),
        [app @ .., "versions"] if !app.is_empty() => Target::Versions(path_id(app)),
        [app @ .., "versions", version] if !app.is_empty() => {
            Target::Version(path_id(app), (*version).to_owned())
        }
        [app @ .., "tasks"] if !app.is_empty() => Target::Tasks(path_id(app)),
        [app @ .., "tasks", task] if !app.is_empty() => Target::Task(path_id(app), (*task).to_owned()),
        app => Target::App(path_id(app)),
    }
}

fn caller(request: &Request) -> Caller {
    Caller { client_ip: request.client_ip.clone(), uri: request.path.clone() }
}

/// What shall be embedded, as far as the version knows the names.
pub(super) fn embeds(request: &Request, shared: &Shared) -> Vec<String> {
    let known = |name: &&str| shared.options.profile.apps.knows_embed(name);
    request.params("embed").filter(known).map(str::to_owned).collect()
}

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    let target = target(path);
    let method = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
    if let Target::Tasks(_) | Target::TasksBelow(_) | Target::Task(..) = target {
        return of_tasks(request, method, target, shared).await;
    }
    if method == "GET" {
        return read(request, target, shared).await;
    }
    let force = request.flag("force", false);
    let command = match (method, target) {
        ("POST", Target::Restart(id)) => Command::RestartApp { id, force },
        // Deleting is forced unless told otherwise, unlike all other writes.
        ("DELETE", Target::App(id)) => {
            Command::DeleteApp { id, force: request.flag("force", true), caller: caller(request) }
        }
        ("PATCH", _) if !shared.options.profile.patch => {
            return Some(message(405, "method is not supported"));
        }
        ("POST" | "PUT" | "PATCH", target) => {
            let body = match body_json(request) {
                Ok(body) => body,
                Err(refused) => return Some(refused),
            };
            write(request, method, target, body, shared)?
        }
        _ => return Some(message(405, "method is not supported")),
    };
    Some(answer(shared.driver.command(command).await, Some(shared)))
}

fn write(request: &Request, method: &str, target: Target, body: Value, shared: &Shared) -> Option<Command> {
    let force = request.flag("force", false);
    let always_partial = method == "PATCH" || !shared.options.profile.partial_update;
    let partial = always_partial || request.flag("partialUpdate", true);
    let create = method == "PUT";
    match (method, target) {
        ("POST", Target::All) => Some(Command::CreateApp { body, force, caller: caller(request) }),
        ("PUT" | "PATCH", Target::All) => Some(Command::UpdateApps { body, force, partial, create }),
        ("PUT" | "PATCH", Target::App(id)) => {
            Some(Command::UpdateApp { id, body, force, partial, create, caller: caller(request) })
        }
        _ => None,
    }
}

async fn read(request: &Request, target: Target, shared: &Shared) -> Option<Response> {
    let names = embeds(request, shared);
    let found = match target {
        Target::All => {
            let filter = AppFilter::new(request.param("cmd"), request.param("id"), request.param("label"));
            let filter = match filter {
                Ok(filter) => filter,
                Err(text) => return Some(message(422, &text)),
            };
            let embeds = Embeds::of_apps(names.iter().map(String::as_str));
            shared.driver.query(move |cluster| cluster.apps(&filter, &embeds)).await
        }
        Target::App(id) => {
            let embeds = Embeds::of_app(names.iter().map(String::as_str));
            shared.driver.query(move |cluster| cluster.app(&id, &embeds)).await
        }
        Target::Below(group) => {
            let embeds = Embeds::of_apps(names.iter().map(String::as_str));
            shared.driver.query(move |cluster| cluster.apps_below(&group, &embeds)).await
        }
        Target::Versions(id) => shared.driver.query(move |cluster| cluster.app_versions(&id)).await,
        Target::Version(id, version) => {
            shared.driver.query(move |cluster| cluster.app_version(&id, &version)).await
        }
        _ => return Some(message(405, "method is not supported")),
    };
    Some(late(found))
}

async fn of_tasks(request: &Request, method: &str, target: Target, shared: &Shared) -> Option<Response> {
    match (method, target) {
        ("GET", Target::Tasks(id)) if tasks::wants_text(request, shared) => {
            let networks = tasks::container_networks(request);
            let refused = tasks::refuses_text(shared);
            if refused.is_some() {
                return refused;
            }
            let text = shared.driver.query(move |cluster| cluster.tasks_text(Some(&id), &networks)).await;
            Some(tasks::text(text))
        }
        ("GET", Target::Tasks(id)) => {
            Some(late(shared.driver.query(move |cluster| cluster.app_tasks(&id)).await))
        }
        ("GET", Target::TasksBelow(group)) => {
            Some(late(shared.driver.query(move |cluster| cluster.tasks_below(&group)).await))
        }
        ("DELETE", Target::Tasks(app)) => {
            let target =
                crate::cluster::KillTarget::App { app, host: request.param("host").map(str::to_owned) };
            Some(tasks::kill(request, target, shared).await)
        }
        ("DELETE", Target::Task(app, task)) => {
            let target = crate::cluster::KillTarget::Task { app, task };
            Some(tasks::kill(request, target, shared).await)
        }
        _ => Some(message(405, "method is not supported")),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        let id = PathId::lenient("/a/b");
        let table: [(&[&str], Target); 8] = [
            (&[], Target::All),
            (&["a", "b"], Target::App(id.clone())),
            (&["a", "b", "*"], Target::Below(id.clone())),
            (&["*"], Target::Below(PathId::root())),
            (&["a", "b", "restart"], Target::Restart(id.clone())),
            (&["a", "b", "versions", "v"], Target::Version(id.clone(), "v".into())),
            (&["a", "b", "tasks", "t"], Target::Task(id.clone(), "t".into())),
            (&["tasks"], Target::App(PathId::lenient("tasks"))),
        ];
        for (path, expected) in table {
            assert_eq!(target(path), expected);
        }
    }
}
