//! The node itself (spec/mconn.md section 4.9).

use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::{Ctx, is_set};
use crate::dto::Done;
use crate::dto::health::{Info, Leader, Members};
use crate::dto::module::ByName;
use crate::json::{self, Json};
use crate::leads::Leads;
use crate::problem::{Cause, Problem};
use crate::seat::Position;

/// The text `pong`. Never needs credentials.
#[utoipa::path(get, path = "/v1/ping", tag = "system", security(()),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn ping() -> Html<&'static str> {
    Html("pong")
}

/// Who leads, as this node knows.
#[utoipa::path(get, path = "/v1/leader", tag = "system",
    responses((status = 200, body = Leader<'static>),
        (status = 503, body = crate::dto::Refusal<'static>, description = "Nobody leads at the moment")))]
pub(crate) async fn leader(State(ctx): Ctx) -> Result<Response, Problem> {
    let seat = ctx.app.seat.borrow().clone();
    match &seat.position {
        Position::Vacant { why } => Err(Problem::no_leader(why)),
        Position::Leading(_) | Position::Following(_) => {
            let leader = seat.leader().map_or("", |leader| &leader.authority);
            Ok(Json(Leader { leader }).into_response())
        }
    }
}

/// All nodes of the cluster with their role, as this node knows them.
#[utoipa::path(get, path = "/v1/members", tag = "system", responses((status = 200, body = Members<'static>)))]
pub(crate) async fn members(State(ctx): Ctx) -> Response {
    let seat = ctx.app.seat.borrow().clone();
    Json(Members::of(&seat)).into_response()
}

/// Who leads, and how this node is set up.
#[utoipa::path(get, path = "/v1/info", tag = "system", responses((status = 200, body = Info<'static>)))]
pub(crate) async fn info(State(ctx): Ctx) -> Response {
    let seat = ctx.app.seat.borrow().clone();
    let leader = seat.leader().map(|leader| leader.authority.as_str());
    let env = ctx.app.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Json(Info { leader, env: ByName(env.collect()) }).into_response()
}

/// Ends this node, cleanly, after the answer.
#[utoipa::path(post, path = "/v1/exit/node", tag = "system", responses((status = 200, body = Done)))]
pub(crate) async fn exit_node(State(ctx): Ctx) -> Response {
    // The server finishes what is under way before it ends, this answer too.
    ctx.app.exit.cancel();
    Json(Done::new("Exit node")).into_response()
}

/// Ends the leader, cleanly, after the answer; whichever node is asked.
#[utoipa::path(post, path = "/v1/exit/leader", tag = "system",
    params(("keep" = Option<bool>, Query, description = "Gives the lead to another node, and the process stays")),
    responses((status = 200, body = Done),
        (status = 409, body = crate::dto::Refusal<'static>, description = "No other node could lead"),
        (status = 503, body = crate::dto::Refusal<'static>, description = "Nobody leads at the moment")))]
pub(crate) async fn exit_leader(
    State(ctx): Ctx,
    Leads(lead): Leads,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let keep = is_set(&query.unwrap_or_default(), "keep");
    let refused = |reason: String| Problem::new(StatusCode::CONFLICT, Cause::Conflict, reason);
    ctx.app.step_down.act(keep).map_err(refused)?;
    let what = if keep { "Leader steps down" } else { "Exit leader" };
    Ok(Json(Done::new(format!("{what}: {}", lead.leader.authority))).into_response())
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "system", responses((status = 200, body = serde_json::Value)))]
pub(crate) async fn openapi(State(ctx): Ctx) -> Response {
    json::raw(StatusCode::OK, ctx.document.clone())
}
