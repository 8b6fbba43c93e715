//! Health, for load balancers and people.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mconn_model::{Freshness, Held, Snapshot, SourceId, SourceState, Timestamp};
use mconn_queue::Stats;

use super::Ctx;
use crate::app::{ReadyWhen, Shared};
use crate::dto::catalog::HeldOut;
use crate::dto::explain::Standing;
use crate::dto::health::{
    FreshnessPage, Live, QueueHealth, Ready, SourceFreshness, SourceHealth, StoreHealth,
};
use crate::dto::seconds;
use crate::json::{self, Json};
use crate::seat::Position;

/// 200 as long as this process answers at all.
#[utoipa::path(get, path = "/v1/health/live", tag = "health", responses((status = 200, body = Live)))]
pub(crate) async fn live() -> Response {
    Json(Live { status: "ok" }).into_response()
}

/// How long a node may be cut off from ZooKeeper and count as ready. Shorter troubles are over before a load balancer has
/// acted; after longer ones the leader that this node knows may be no leader any more.
const APART_GRACE: Duration = Duration::from_secs(10);

/// Whether this node can do its work: it leads, its queue answers and the store works, or it knows who leads; and the
/// sources were read once (MCONN_MARATHON_READY says which). A source that goes away later does not matter here, but for freshness.
#[utoipa::path(get, path = "/v1/health/ready", tag = "health",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(crate) async fn ready(State(ctx): Ctx) -> Response {
    let seat = ctx.app.seat.borrow().clone();
    let mut reasons = Vec::new();
    let stats = match &seat.position {
        Position::Leading(lead) => Some(lead.queue.stats().await),
        Position::Following(_) => None,
        Position::Vacant { why } => {
            reasons.push(format!("nobody leads: {why}"));
            None
        }
    };
    match &stats {
        None => {}
        Some(Err(error)) => reasons.push(error.to_string()),
        Some(Ok(stats)) => {
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
    let snapshot = ctx.app.catalog.borrow().clone();
    reasons.extend(never_read(&ctx));
    let mut notices = warnings(&snapshot);
    if let Some(apart) = &seat.apart {
        let text = format!("cut off from ZooKeeper since {}: {}", apart.since, apart.why);
        // By the wall clock, as `since` is; one that was set back makes this a warning for longer.
        let now = Timestamp::from_system_time(SystemTime::now()).unwrap_or(apart.since);
        let ago = now.as_millis().saturating_sub(apart.since.as_millis());
        if ago >= APART_GRACE.as_millis() as i64 { reasons.push(text) } else { notices.push(text) }
    }
    let stats = stats.and_then(Result::ok);
    let page = Ready {
        status: word(reasons.is_empty()),
        role: seat.position.role().as_str(),
        leader: seat.leader().map(|leader| leader.authority.clone()),
        message: (!reasons.is_empty()).then(|| reasons.join("; ")),
        reasons,
        warnings: notices,
        store: StoreHealth {
            location: ctx.app.store.clone(),
            ok: stats.as_ref().map(|stats| stats.store_ok),
        },
        queue: stats.as_ref().map(queue),
        sources: sources(&ctx, &snapshot),
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

fn sources(ctx: &Shared, snapshot: &Snapshot) -> BTreeMap<String, SourceHealth> {
    let health = |(id, state): (&SourceId, &SourceState)| {
        let health = SourceHealth {
            freshness: state.freshness.as_str(),
            since_seconds: ctx.sources.ages(id).map(|ages| seconds(ages.state)),
            held: state.held.map(HeldOut::from),
            last_error: state.last_error.as_deref().map(str::to_owned),
        };
        (id.to_string(), health)
    };
    snapshot.sources.iter().map(health).collect()
}

fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let mut warnings: Vec<String> =
        snapshot.sources.iter().filter_map(|(id, state)| staleness(id, state)).collect();
    for (id, state) in &snapshot.sources {
        if let Some(Held { apps, tasks, since, until }) = state.held {
            warnings.push(format!(
                "{id}: since {since} its listings lack {apps} apps and {tasks} tasks, and no event tells why; they stay \
                 until {until} at most (MCONN_HOLD_SHARE, MCONN_HOLD_FOR)"
            ));
        }
    }
    let panic = snapshot.apps.values().filter(|entry| Standing::of(entry).panic).count();
    if panic > 0 {
        warnings.push(format!(
            "{panic} apps are in panic: failing tasks are served as well (MCONN_PANIC_BELOW); mconn explain names them"
        ));
    }
    warnings
}

/// What is wrong with what is known of a source.
fn staleness(id: &SourceId, state: &SourceState) -> Option<String> {
    let because = state.last_error.as_deref().map_or(String::new(), |error| format!(": {error}"));
    match state.freshness {
        Freshness::Fresh => None,
        Freshness::Never => Some(format!("{id} was never read completely{because}")),
        Freshness::Stale => Some(format!("{id} is away, its last good state is served{because}")),
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
    let mut sources = BTreeMap::new();
    for (id, state) in &snapshot.sources {
        reasons.extend(staleness(id, state));
        let ages = ctx.sources.ages(id);
        let source = SourceFreshness {
            freshness: state.freshness.as_str(),
            since_seconds: ages.map(|ages| seconds(ages.state)),
            comparison_age_seconds: age(ages.and_then(|ages| ages.comparison)),
            event_age_seconds: age(ages.and_then(|ages| ages.event)),
            comparisons: state.comparisons,
            events: state.events,
            held: state.held.map(HeldOut::from),
            last_error: state.last_error.as_deref().map(str::to_owned),
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
