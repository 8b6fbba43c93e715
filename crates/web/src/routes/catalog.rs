//! What runs, and whether and why it is reachable.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mconn_model::AppId;

use super::Ctx;
use crate::dto::catalog::{AppPage, Catalog};
use crate::json::Json;
use crate::problem::{Cause, Problem};

/// The newest snapshot: sources, and all apps with their endpoints counted.
#[utoipa::path(get, path = "/v1/catalog", tag = "catalog", responses((status = 200, body = Catalog<'static>)))]
pub(crate) async fn all(State(ctx): Ctx) -> Response {
    let snapshot = ctx.app.catalog.borrow().clone();
    Json(Catalog::from(&*snapshot)).into_response()
}

/// One app or pod with its tasks, endpoints and verdicts.
#[utoipa::path(get, path = "/v1/catalog/{app}", tag = "catalog",
    params(("app" = String, Path, description = "Whole id; slashes may be escaped or not")),
    responses((status = 200, body = AppPage<'static>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn one(State(ctx): Ctx, Path(app): Path<String>) -> Result<Response, Problem> {
    let app = AppId::parse(&app).map_err(|error| Problem::bad(Cause::BadType, error.to_string()))?;
    let snapshot = ctx.app.catalog.borrow().clone();
    let Some(page) = AppPage::find(&snapshot, app.as_str()) else {
        let hint = if snapshot.is_complete() {
            "GET /v1/catalog lists all apps"
        } else {
            "not every source has been read yet: GET /v1/health/freshness"
        };
        let message = format!("App not found: {app}");
        return Err(Problem::new(StatusCode::NOT_FOUND, Cause::NotFound, message).hint(hint));
    };
    Ok(Json(page).into_response())
}
