//! Intake and main queue (spec/mconn.md sections 4.1 and 4.2).

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mconn_model::{SourceId, TaskEvent};
use mconn_queue::SyncTrigger;

use super::Ctx;
use crate::app::Shared;
use crate::body::Posted;
use crate::dto::queue::Entry;
use crate::dto::task::{Accepted, Event};
use crate::event::{PostedEvent, REGISTERED, STATUS_UPDATE};
use crate::json::{self, Json};
use crate::leads::Leads;
use crate::problem::{Cause, Problem};
use crate::seat::Lead;
use crate::text::Escaped;

/// The main queue: the active task first, then the waiting ones in order.
#[utoipa::path(get, path = "/v1/queue", tag = "queue",
    responses((status = 200, body = Vec<Entry<'static>>), (status = 503, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn list(Leads(lead): Leads) -> Result<Response, Problem> {
    let items = lead.queue.queue().await?;
    Ok(Json(Entry::all(&items)).into_response())
}

/// Takes an event of Marathon. A 200 with a task id promises that the event is durable.
#[utoipa::path(post, path = "/v1/queue", tag = "queue", security(()), request_body = Event,
    params(("source" = Option<String>, Query, description = "The Marathon that the event is of, if it is not the one of \
        MCONN_MARATHON_HOSTS. Callbacks that a node registers have it")),
    responses(
        (status = 200, body = Accepted, description = "Accepted; or a Refusal for event types that are of no interest; \
            or nothing for scheduler_registered_event"),
        (status = 400, body = crate::dto::Refusal<'static>, description = "No event"),
        (status = 413, body = crate::dto::Refusal<'static>),
        (status = 503, body = crate::dto::Refusal<'static>, description = "Not accepted: send it again after Retry-After"),
    ))]
pub(crate) async fn accept(
    State(ctx): Ctx,
    Leads(lead): Leads,
    RawQuery(query): RawQuery,
    posted: Posted,
) -> Result<Response, Problem> {
    let event = PostedEvent::read(&posted)?;
    match event.kind() {
        Some(STATUS_UPDATE) if ctx.app.callbacks => {
            let source = source(&ctx, query.as_deref().unwrap_or_default())?;
            take(&lead, event.into_task_event(source)?).await
        }
        Some(STATUS_UPDATE) => Err(Problem::mild(
            Cause::RejectedEvent,
            "Events are taken from Marathon's event stream, not from callbacks",
        )
        .hint("MCONN_INTAKE=both takes them from both")),
        Some(REGISTERED) => {
            tracing::info!(context = "Middlewares", "Marathon has changed his leader! Sync all modules");
            lead.queue.sync_all(SyncTrigger::LeaderChange).await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => {
            let kind = event.kind_for_people();
            tracing::info!(context = "Middlewares", "Ignoring eventType \"{}\"", Escaped(&kind));
            Err(Problem::mild(Cause::RejectedEvent, format!("EventType has been rejected: {kind}")))
        }
    }
}

/// What the event's source is called in the queue. One that nobody follows could never be compared with what runs.
fn source(ctx: &Shared, query: &str) -> Result<Option<SourceId>, Problem> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let Some((_, named)) = pairs.find(|(name, _)| name == "source") else { return Ok(None) };
    let followers = &ctx.app.followers;
    match followers.iter().find(|follower| follower.source.as_str() == named) {
        Some(follower) => Ok(follower.mark.clone()),
        None => {
            let known: Vec<_> = followers.iter().map(|follower| follower.source.as_str()).collect();
            let reason = format!("no Marathon \"{}\" is followed", Escaped(&named));
            Err(Problem::bad(Cause::BadEvent, reason)
                .hint(format!("source is one of: {} (MCONN_MARATHON_CLUSTERS)", known.join(", "))))
        }
    }
}

async fn take(lead: &Lead, event: TaskEvent) -> Result<Response, Problem> {
    let mut answer = Vec::with_capacity(lead.accepted.len() + event.task.as_str().len() + 32);
    answer.extend_from_slice(lead.accepted.as_bytes());
    finish(&mut answer, &event);
    lead.queue.accept(vec![event]).await?;
    Ok(json::raw(StatusCode::OK, answer))
}

/// What every answer to an accepted event begins with.
pub(crate) fn accepted_prefix(server_url: &str) -> String {
    format!("{{\n    \"leader\": {},\n    \"taskId\": ", serde_json::Value::from(server_url))
}

fn finish(answer: &mut Vec<u8>, event: &TaskEvent) {
    // A text into memory: cannot fail.
    let _ = serde_json::to_writer(&mut *answer, &format_args!("{}_{}", event.task, event.status));
    answer.extend_from_slice(b"\n}");
}
