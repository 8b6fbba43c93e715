//! What runs, and whether and why it is reachable.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mconn_model::{AppId, Snapshot};

use super::Ctx;
use crate::dto::catalog::{AppPage, Catalog, Verdicts};
use crate::json::Json;
use crate::problem::{Cause, Problem};
use crate::similar::similar;

/// The newest snapshot: sources, and all apps with their endpoints counted.
#[utoipa::path(get, path = "/v1/catalog", tag = "catalog", responses((status = 200, body = Catalog<'static>)))]
pub(crate) async fn all(State(ctx): Ctx) -> Response {
    let snapshot = ctx.app.catalog.borrow().clone();
    Json(Catalog::from(&*snapshot)).into_response()
}

/// The verdict on every task. Whoever follows `GET /v1/events?types=catalog` begins with this, and with `changes` of each
/// source knows which of the numbered changes are in it.
#[utoipa::path(get, path = "/v1/verdicts", tag = "catalog", responses((status = 200, body = Verdicts<'static>)))]
pub(crate) async fn verdicts(State(ctx): Ctx) -> Response {
    let snapshot = ctx.app.catalog.borrow().clone();
    Json(Verdicts::from(&*snapshot)).into_response()
}

/// One app or pod with its tasks, endpoints and verdicts.
#[utoipa::path(get, path = "/v1/catalog/{app}", tag = "catalog",
    params(("app" = String, Path, description = "Whole id; slashes may be escaped or not")),
    responses((status = 200, body = AppPage<'static>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn one(State(ctx): Ctx, Path(app): Path<String>) -> Result<Response, Problem> {
    let app = AppId::parse(&app).map_err(|error| Problem::bad(Cause::BadType, error.to_string()))?;
    let snapshot = ctx.app.catalog.borrow().clone();
    let page = AppPage::find(&snapshot, app.as_str());
    page.map(|page| Json(page).into_response()).ok_or_else(|| unknown(&snapshot, &app))
}

/// No source has it: what it may have been called, or why nothing can be said yet.
pub(super) fn unknown(snapshot: &Snapshot, app: &AppId) -> Problem {
    let known = snapshot.apps.values().map(|entry| entry.id.as_str());
    let similar = similar(app.as_str(), known);
    let hint = if !similar.is_empty() {
        format!("similar: {}", similar.join(", "))
    } else if snapshot.is_complete() {
        "GET /v1/catalog lists all apps".to_owned()
    } else {
        "not every source has been read yet: GET /v1/health/freshness".to_owned()
    };
    let message = format!("App not found: {app}");
    Problem::new(StatusCode::NOT_FOUND, Cause::NotFound, message).hint(hint)
}
