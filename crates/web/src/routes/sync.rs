//! Inventory sync on request (spec/mconn.md section 4.8).

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use mconn_queue::SyncTrigger;

use crate::dto::Done;
use crate::json::Json;
use crate::leads::Leads;
use crate::problem::Problem;
use crate::text::Escaped;

/// Asks for a sync of all modules, and does not wait for it.
#[utoipa::path(post, path = "/v1/module/sync", tag = "sync",
    responses((status = 200, body = Done), (status = 503, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn all(Leads(lead): Leads) -> Result<Response, Problem> {
    tracing::info!(context = "IndexRouter", "Force sync of all modules!");
    for setup in lead.queue.modules() {
        tracing::info!(context = "IndexRouter", "Syncing \"{}\"", setup.module.name());
    }
    lead.queue.sync_all(SyncTrigger::Request).await?;
    Ok(Json(Done::new("Force sync of all modules")).into_response())
}

/// Syncs one module, and answers when Marathon's list is in and its differences are queued.
#[utoipa::path(post, path = "/v1/module/sync/{m}", tag = "sync",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Done), (status = 404, body = crate::dto::Refusal<'static>),
        (status = 500, body = crate::dto::Refusal<'static>, description = "No Marathon gave a usable list")))]
pub(crate) async fn one(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    let queue = &lead.queue;
    if queue.modules().iter().any(|setup| setup.module.name().as_str() == module) {
        tracing::info!(context = "IndexRouter", "Force sync of module \"{}\"!", Escaped(&module));
    }
    let outcome = queue.sync(&module, SyncTrigger::Request).await?;
    let mut message = format!("Force sync of module: {module}");
    if outcome.unread > 0 {
        // Nobody has several sources who knows the original's message alone.
        message += &format!(" ({} sources gave no list, their tasks were left alone)", outcome.unread);
    }
    Ok(Json(Done::new(message)).into_response())
}
