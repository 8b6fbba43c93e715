//! The node itself (spec/mconn.md section 4.9).

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

use super::Ctx;
use crate::dto::Done;
use crate::dto::health::{Info, Leader};
use crate::dto::module::ByName;
use crate::json::{self, Json};

/// The text `pong`. Never needs credentials.
#[utoipa::path(get, path = "/v1/ping", tag = "system", security(()),
    responses((status = 200, body = String, content_type = "text/html")))]
pub(crate) async fn ping() -> Html<&'static str> {
    Html("pong")
}

/// Who leads.
#[utoipa::path(get, path = "/v1/leader", tag = "system", responses((status = 200, body = Leader<'static>)))]
pub(crate) async fn leader(State(ctx): Ctx) -> Response {
    Json(Leader { leader: &ctx.app.authority }).into_response()
}

/// Who leads, and how this node is set up.
#[utoipa::path(get, path = "/v1/info", tag = "system", responses((status = 200, body = Info<'static>)))]
pub(crate) async fn info(State(ctx): Ctx) -> Response {
    let env = ctx.app.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Json(Info { leader: &ctx.app.authority, env: ByName(env.collect()) }).into_response()
}

/// Ends this node, cleanly, after the answer.
#[utoipa::path(post, path = "/v1/exit/node", tag = "system", responses((status = 200, body = Done)))]
pub(crate) async fn exit_node(State(ctx): Ctx) -> Response {
    // The server finishes what is under way before it ends, this answer too.
    ctx.app.exit.cancel();
    Json(Done::new("Exit node")).into_response()
}

/// Ends the leader, cleanly, after the answer.
#[utoipa::path(post, path = "/v1/exit/leader", tag = "system", responses((status = 200, body = Done)))]
pub(crate) async fn exit_leader(State(ctx): Ctx) -> Response {
    ctx.app.exit.cancel();
    Json(Done::new(format!("Exit leader: {}", ctx.app.authority))).into_response()
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "system", responses((status = 200, body = serde_json::Value)))]
pub(crate) async fn openapi(State(ctx): Ctx) -> Response {
    json::raw(StatusCode::OK, ctx.document.clone())
}
