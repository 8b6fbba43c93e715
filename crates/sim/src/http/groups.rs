//! `/v2/groups`

use super::wire::{Request, Response};
use super::{Shared, answer, body_json, late, message, path_id};
use crate::cluster::{Command, Embeds, PathId};

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    let force = request.flag("force", false);
    let id = path_id(path);
    let command = match request.method.as_str() {
        "GET" | "HEAD" => return Some(read(request, path, shared).await),
        "DELETE" => Command::DeleteGroup { id, force },
        method @ ("POST" | "PUT") => match body_json(request) {
            Ok(body) => Command::UpdateGroup {
                id,
                body,
                force,
                dry_run: method == "PUT" && request.flag("dryRun", false),
                must_be_new: method == "POST",
            },
            Err(refused) => return Some(refused),
        },
        _ => return Some(message(405, "method is not supported")),
    };
    Some(answer(shared.driver.command(command).await, Some(shared)))
}

async fn read(request: &Request, path: &[&str], shared: &Shared) -> Response {
    let names = super::apps::embeds(request, shared);
    let of_group = |id: PathId| {
        let embeds = Embeds::of_group(names.iter().map(String::as_str));
        shared.driver.query(move |cluster| cluster.group(&id, &embeds))
    };
    match path {
        [group @ .., "versions"] => {
            let id = path_id(group);
            late(shared.driver.query(move |cluster| cluster.group_versions(&id)).await)
        }
        [group @ .., "apps"] if !group.is_empty() => {
            let id = path_id(group);
            let embeds = Embeds::of_apps(names.iter().map(String::as_str));
            late(shared.driver.query(move |cluster| cluster.apps_below(&id, &embeds)).await)
        }
        group => late(of_group(path_id(group)).await),
    }
}
