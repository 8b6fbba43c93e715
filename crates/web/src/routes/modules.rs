//! Modules: settings, inventories, queues, pause (spec/mconn.md sections 4.3 to 4.6).

use axum::extract::Path;
use axum::response::{IntoResponse, Response};

use crate::dto::module::{ByName, Dump, Item, Settings};
use crate::dto::queue::LaneEntry;
use crate::json::Json;
use crate::leads::Leads;
use crate::problem::Problem;
use crate::seat::Lead;

/// All loaded modules.
#[utoipa::path(get, path = "/v1/module/list", tag = "modules",
    responses((status = 200, body = std::collections::BTreeMap<String, Settings<'static>>)))]
pub(crate) async fn list(Leads(lead): Leads) -> Response {
    let setups = lead.queue.modules();
    let modules = setups.iter().map(|setup| (setup.module.name().as_str(), Settings::from(setup)));
    Json(ByName(modules.collect())).into_response()
}

/// One module.
#[utoipa::path(get, path = "/v1/module/list/{m}", tag = "modules", params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Settings<'static>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn one(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    let setups = lead.queue.modules();
    let setup = setups.iter().find(|setup| setup.module.name().as_str() == module);
    let setup = setup.ok_or_else(|| Problem::unknown_module(&module))?;
    Ok(Json(Settings::from(setup)).into_response())
}

/// What a module has done, one item per task.
#[utoipa::path(get, path = "/v1/module/inventory/{m}", tag = "modules",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Vec<Item<'static>>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn inventory(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    let items = lead.queue.inventory(&module)?;
    let items: Vec<_> = items.iter().map(|item| Item::from(&**item)).collect();
    Ok(Json(items).into_response())
}

/// A module's queue: runs under way first, then the waiting copies.
#[utoipa::path(get, path = "/v1/module/queue/list/{m}", tag = "modules",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Vec<LaneEntry<'static>>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn lane(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    let lane = lead.queue.lane(&module).await?;
    let lane: Vec<_> = lane.iter().map(LaneEntry::from).collect();
    Ok(Json(lane).into_response())
}

/// Starts no further run of a module. Takes effect at once; forgotten when the node ends.
#[utoipa::path(post, path = "/v1/module/queue/pause/{m}", tag = "modules",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Dump<'static>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn pause(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    lead.queue.pause(&module).await?;
    dump(&lead, &module).await
}

/// Ends a pause.
#[utoipa::path(post, path = "/v1/module/queue/resume/{m}", tag = "modules",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Dump<'static>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn resume(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    lead.queue.resume(&module).await?;
    dump(&lead, &module).await
}

async fn dump(lead: &Lead, module: &str) -> Result<Response, Problem> {
    let view = lead.queue.module(module).await?;
    Ok(Json(Dump::from(&view)).into_response())
}
