//! Health, for load balancers and people.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mconn_model::{Freshness, SourceState};
use mconn_queue::Stats;

use super::Ctx;
use crate::app::{ReadyWhen, Shared};
use crate::dto::health::{FreshnessPage, Live, QueueHealth, Ready, SourceFreshness, StoreHealth};
use crate::dto::seconds;
use crate::json::{self, Json};

/// 200 as long as this process answers at all.
#[utoipa::path(get, path = "/v1/health/live", tag = "health", responses((status = 200, body = Live)))]
pub(crate) async fn live() -> Response {
    Json(Live { status: "ok" }).into_response()
}

/// Whether this node can do its work: the queue answers, the store works, and the sources were read once
/// (MCONN_MARATHON_READY says which). A source that goes away later does not matter here, but for freshness.
#[utoipa::path(get, path = "/v1/health/ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(crate) async fn ready(State(ctx): Ctx) -> Response {
    let stats = ctx.app.queue.stats().await;
    let mut reasons = Vec::new();
    match &stats {
        Err(error) => reasons.push(error.to_string()),
        Ok(stats) => {
            if !stats.store_ok {
                reasons
                    .push(format!("the store ({}) does not take writes: see the node's log", ctx.app.store));
            }
            if stats.journal >= stats.journal_limit {
                let limit = stats.journal_limit;
                reasons.push(format!("the queue is full: {limit} events wait (MCONN_QUEUE_LIMIT)"));
            }
        }
    }
    reasons.extend(never_read(&ctx));
    let page = Ready {
        status: word(reasons.is_empty()),
        message: (!reasons.is_empty()).then(|| reasons.join("; ")),
        reasons,
        store: StoreHealth {
            location: ctx.app.store.clone(),
            ok: stats.as_ref().ok().map(|stats| stats.store_ok),
        },
        queue: stats.ok().map(|stats| queue(&stats)),
    };
    json::respond(status(page.message.is_none()), &page)
}

/// The sources that were never read, if that matters.
fn never_read(ctx: &Shared) -> Option<String> {
    let snapshot = ctx.app.catalog.borrow().clone();
    let never = |state: &SourceState| state.freshness == Freshness::Never;
    let missing: Vec<_> = snapshot.sources.iter().filter(|(_, state)| never(state)).collect();
    let matters = match ctx.app.ready {
        ReadyWhen::EverySource => !missing.is_empty(),
        ReadyWhen::AnySource => !missing.is_empty() && missing.len() == snapshot.sources.len(),
        ReadyWhen::NoSource => false,
    };
    let names = || missing.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
    matters.then(|| format!("never read completely: {} (see /v1/health/freshness)", names()))
}

fn queue(stats: &Stats) -> QueueHealth {
    let paused = stats.modules.iter().filter(|module| module.paused);
    QueueHealth {
        waiting: stats.journal,
        limit: stats.journal_limit,
        paused: paused.map(|module| module.name.to_string()).collect(),
        dead_letters: stats.modules.iter().map(|module| module.dead_letters).sum(),
    }
}

/// Whether what is known of each source is current. Without sources there is nothing to be stale.
#[utoipa::path(get, path = "/v1/health/freshness", tag = "health",
    responses((status = 200, body = FreshnessPage), (status = 503, body = FreshnessPage)))]
pub(crate) async fn freshness(State(ctx): Ctx) -> Response {
    let page = freshness_page(&ctx);
    json::respond(status(page.message.is_none()), &page)
}

fn freshness_page(ctx: &Shared) -> FreshnessPage {
    let snapshot = ctx.app.catalog.borrow().clone();
    let mut reasons = Vec::new();
    let mut sources = std::collections::BTreeMap::new();
    for (id, state) in &snapshot.sources {
        let last_error = state.last_error.as_deref();
        let because = last_error.map_or(String::new(), |error| format!(": {error}"));
        match state.freshness {
            Freshness::Fresh => {}
            Freshness::Never => reasons.push(format!("{id} was never read completely{because}")),
            Freshness::Stale => reasons.push(format!("{id} is away, its last good state is served{because}")),
        }
        let ages = ctx.sources.ages(id);
        let source = SourceFreshness {
            freshness: state.freshness.as_str(),
            since_seconds: ages.map(|ages| seconds(ages.state)),
            comparison_age_seconds: age(ages.and_then(|ages| ages.comparison)),
            event_age_seconds: age(ages.and_then(|ages| ages.event)),
            comparisons: state.comparisons,
            events: state.events,
            last_error: last_error.map(str::to_owned),
        };
        sources.insert(id.to_string(), source);
    }
    let message = (!reasons.is_empty()).then(|| reasons.join("; "));
    FreshnessPage { status: word(message.is_none()), message, sources }
}

fn age(age: Option<Duration>) -> Option<f64> {
    age.map(seconds)
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}

fn status(ok: bool) -> StatusCode {
    if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
