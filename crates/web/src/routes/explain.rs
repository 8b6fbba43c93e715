//! Why something is, or is not, reachable.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use mconn_model::{AppId, SourceId};

use super::{Ctx, catalog};
use crate::app::Shared;
use crate::dto::explain::{At, ExplainPage, ExplainSummary};
use crate::json::Json;
use crate::problem::{Cause, Problem};

/// All apps and pods with tasks that get no traffic, counted by the rule that decided.
#[utoipa::path(get, path = "/v1/explain", tag = "catalog",
    responses((status = 200, body = ExplainSummary<'static>)))]
pub(crate) async fn all(State(ctx): Ctx) -> Response {
    let snapshot = ctx.app.catalog.borrow().clone();
    let age = |source: &SourceId| ctx.sources.ages(source).map(|ages| ages.state);
    Json(ExplainSummary::of(&snapshot, &at(&age))).into_response()
}

/// One app or pod: each task and port with its verdict, the rule, since when, and the last changes with their cause.
#[utoipa::path(get, path = "/v1/explain/{app}", tag = "catalog",
    params(("app" = String, Path, description = "Whole id; slashes may be escaped or not")),
    responses((status = 200, body = ExplainPage<'static>, description = "It is there, or was there lately"),
        (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn one(State(ctx): Ctx, Path(app): Path<String>) -> Result<Response, Problem> {
    let app = AppId::parse(&app).map_err(|error| Problem::bad(Cause::BadType, error.to_string()))?;
    let snapshot = ctx.app.catalog.borrow().clone();
    let shared: &Shared = &ctx;
    let age = |source: &SourceId| shared.sources.ages(source).map(|ages| ages.state);
    let page = ExplainPage::find(&snapshot, app.as_str(), &at(&age));
    page.map(|page| Json(page).into_response()).ok_or_else(|| catalog::unknown(&snapshot, &app))
}

fn at<'a>(state_age: &'a dyn Fn(&SourceId) -> Option<Duration>) -> At<'a> {
    At { now: super::now(), state_age }
}
