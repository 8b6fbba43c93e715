//! Runs that failed for good: look, try again, give up.

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mconn_store::Seq;

use crate::dto::Done;
use crate::dto::queue::Letter;
use crate::json::Json;
use crate::leads::Leads;
use crate::problem::{Cause, Problem};
use crate::seat::Lead;

/// A module's dead letters, oldest first.
#[utoipa::path(get, path = "/v1/module/dead-letters/{m}", tag = "dead letters",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Vec<Letter<'static>>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn list(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    let letters = lead.queue.dead_letters(&module).await?;
    let letters: Vec<_> = letters.iter().map(|letter| Letter::from(&**letter)).collect();
    Ok(Json(letters).into_response())
}

/// Hands a dead letter to its module once more.
#[utoipa::path(post, path = "/v1/module/dead-letters/{m}/{seq}/retry", tag = "dead letters",
    params(("m" = String, Path, description = "Module"), ("seq" = u64, Path, description = "As listed"),
        ("force" = Option<bool>, Query, description = "Also if a later event of the task was handled since")),
    responses((status = 200, body = Done), (status = 404, body = crate::dto::Refusal<'static>),
        (status = 409, body = crate::dto::Refusal<'static>, description = "Superseded, or being retried already")))]
pub(crate) async fn retry(
    Leads(lead): Leads,
    Path((module, seq)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let seq = known(&lead, &module, &seq).await?;
    let force = super::is_set(&query.unwrap_or_default(), "force");
    lead.queue.retry_dead_letter(&module, seq, force).await?;
    Ok(Json(Done::new(format!("Dead letter {seq} of module {module} is queued again"))).into_response())
}

/// Gives up a dead letter.
#[utoipa::path(delete, path = "/v1/module/dead-letters/{m}/{seq}", tag = "dead letters",
    params(("m" = String, Path, description = "Module"), ("seq" = u64, Path, description = "As listed")),
    responses((status = 200, body = Done), (status = 404, body = crate::dto::Refusal<'static>),
        (status = 409, body = crate::dto::Refusal<'static>, description = "Being retried")))]
pub(crate) async fn drop_one(
    Leads(lead): Leads,
    Path((module, seq)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let seq = known(&lead, &module, &seq).await?;
    lead.queue.drop_dead_letter(&module, seq).await?;
    Ok(Json(Done::new(format!("Dead letter {seq} of module {module} deleted"))).into_response())
}

/// The number of a dead letter that is there. (It may go before the command arrives; that is a 409 then.)
async fn known(lead: &Lead, module: &str, seq: &str) -> Result<Seq, Problem> {
    let letters = lead.queue.dead_letters(module).await?;
    let wanted = seq.parse().map(Seq).ok().filter(|seq| letters.iter().any(|letter| letter.seq == *seq));
    wanted.ok_or_else(|| {
        let message = format!("Dead letter not found: {seq}");
        Problem::new(StatusCode::NOT_FOUND, Cause::NotFound, message)
            .hint(format!("GET /v1/module/dead-letters/{module} lists them"))
    })
}
