//! All numbers, for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::Ctx;
use crate::metrics::Page;
use crate::problem::{Cause, Problem};
use crate::seat::Position;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All numbers in Prometheus' text form (OpenMetrics).
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(crate) async fn page(State(ctx): Ctx) -> Result<Response, Problem> {
    let seat = ctx.app.seat.borrow().clone();
    let stats = match &seat.position {
        Position::Leading(lead) => Some(lead.queue.stats().await.ok()),
        Position::Following(_) | Position::Vacant { .. } => None,
    };
    let snapshot = ctx.app.catalog.borrow().clone();
    let page = Page {
        http: &ctx.metrics,
        build: &ctx.app.build,
        seat: &seat,
        queue: stats.as_ref().map(Option::as_ref),
        snapshot: &snapshot,
        now: super::now(),
        sources: &ctx.sources,
        followers: &ctx.app.followers,
    };
    let text = page.render().map_err(|_| {
        let status = http::StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, Cause::Internal, "the numbers could not be written")
    })?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
