//! Live events (server-sent events).
//!
//! Each stream reads the queue's notices and the newest snapshot at its own pace. Nothing is kept for it: a reader that
//! falls behind is told how many notices it missed, and goes on with the newest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use mconn_model::Snapshot;
use mconn_queue::Notice;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::Ctx;
use crate::app::Shared;
use crate::dto::live::{Topic, describe, describe_catalog, topic};
use crate::leads::MayLead;
use crate::problem::{Cause, Problem};
use crate::seat::{self, Lead, Seat};

/// Time between two events about the catalog at least. What changes meanwhile is in the next one.
const CATALOG_PACE: Duration = Duration::from_millis(250);

/// What happens, as it happens. `event` is the topic, `data` a small object, `id` a number that grows by one.
#[utoipa::path(get, path = "/v1/events", tag = "live",
    params(("types" = Option<String>, Query,
        description = "Comma-separated topics: queue, module, preset, inventory, sync, catalog. All if missing")),
    responses((status = 200, body = String, content_type = "text/event-stream",
            description = "An endless stream. An event `lagged` tells how many events this reader missed"),
        (status = 400, body = crate::dto::Refusal<'static>, description = "An unknown topic"),
        (status = 503, body = crate::dto::Refusal<'static>, description = "Too many streams")))]
pub(crate) async fn stream(
    State(ctx): Ctx,
    MayLead(lead): MayLead,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let topics = topics(&query.unwrap_or_default())?;
    if lead.is_none() && wants_notices(&topics) {
        return Err(Problem::no_leader("this node does not lead"));
    }
    let Ok(permit) = ctx.streams.clone().try_acquire_owned() else {
        let message = format!("{} event streams are open already", ctx.limits.max_streams);
        return Err(Problem::unavailable(Cause::Overloaded, message).hint("close one that is not read"));
    };
    let live = Live::new(ctx, lead, topics, permit);
    let frames = stream::unfold(live, |mut live| async move {
        let frame = live.next().await?;
        Some((Ok::<_, Infallible>(frame), live))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

fn topics(query: &str) -> Result<Vec<Topic>, Problem> {
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "types");
    let Some((_, asked)) = asked.filter(|(_, asked)| !asked.is_empty()) else {
        return Ok(Topic::ALL.to_vec());
    };
    let read = |name: &str| {
        let found = Topic::ALL.into_iter().find(|topic| topic.as_str() == name);
        found.ok_or_else(|| {
            let names = Topic::ALL.map(Topic::as_str).join(", ");
            Problem::bad(Cause::BadType, format!("Unknown type of events: {name}"))
                .hint(format!("there are: {names}"))
        })
    };
    asked.split(',').map(|name| read(name.trim())).collect()
}

/// One reader.
struct Live {
    ctx: Arc<Shared>,
    topics: Vec<Topic>,
    /// What the notices are of.
    lead: Option<Arc<Lead>>,
    seats: watch::Receiver<Seat>,
    notices: Option<broadcast::Receiver<Arc<Notice>>>,
    snapshots: Option<watch::Receiver<Arc<Snapshot>>>,
    shown: Arc<Snapshot>,
    next_catalog: Instant,
    id: u64,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

enum Woken {
    Closing,
    Deposed,
    Silence,
    Notice(Result<Arc<Notice>, RecvError>),
    Catalog(bool),
}

impl Live {
    fn new(
        ctx: Arc<Shared>,
        lead: Option<Arc<Lead>>,
        topics: Vec<Topic>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        ctx.metrics.streams.up();
        let mut snapshots = ctx.app.catalog.clone();
        let shown = snapshots.borrow_and_update().clone();
        // The catalog is every node's own: a stream of it alone does not end with the lead.
        let lead = lead.filter(|_| wants_notices(&topics));
        Self {
            notices: lead.as_ref().map(|lead| lead.queue.subscribe()),
            snapshots: topics.contains(&Topic::Catalog).then_some(snapshots),
            topics,
            lead,
            seats: ctx.app.seat.clone(),
            shown,
            next_catalog: Instant::now(),
            id: 0,
            greeted: false,
            ctx,
            _permit: permit,
        }
    }

    /// The next piece of the stream; `None` when this server ends, or does not lead any more: the client comes back and
    /// is sent to the next leader.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            // Tells the client at once that it is connected, and how soon to come back.
            self.greeted = true;
            return Some(Bytes::from_static(b"retry: 2000\n: connected\n\n"));
        }
        let silence = tokio::time::sleep(self.ctx.limits.keep_alive);
        tokio::pin!(silence);
        loop {
            let woken = tokio::select! {
                () = self.ctx.closing.cancelled() => Woken::Closing,
                () = deposed(self.lead.as_ref(), &mut self.seats) => Woken::Deposed,
                notice = receive(&mut self.notices) => Woken::Notice(notice),
                alive = changed(&mut self.snapshots, self.next_catalog) => Woken::Catalog(alive),
                () = &mut silence => Woken::Silence,
            };
            match woken {
                Woken::Closing | Woken::Deposed => return None,
                Woken::Silence => return Some(Bytes::from_static(b": still here\n\n")),
                Woken::Notice(Ok(notice)) => {
                    let topic = topic(&notice);
                    if self.topics.contains(&topic) {
                        return Some(self.frame(topic.as_str(), &describe(&notice)));
                    }
                }
                Woken::Notice(Err(RecvError::Lagged(missed))) => {
                    self.ctx.metrics.lagged.fetch_add(missed, std::sync::atomic::Ordering::Relaxed);
                    return Some(self.frame("lagged", &json!({ "missed": missed })));
                }
                Woken::Notice(Err(RecvError::Closed)) => self.notices = None,
                Woken::Catalog(false) => self.snapshots = None,
                Woken::Catalog(true) => return Some(self.catalog()),
            }
        }
    }

    fn catalog(&mut self) -> Bytes {
        self.next_catalog = Instant::now() + CATALOG_PACE;
        let newest =
            self.snapshots.as_mut().map_or_else(|| self.shown.clone(), |s| s.borrow_and_update().clone());
        let old = std::mem::replace(&mut self.shown, newest);
        let data = describe_catalog(&old, &self.shown.clone());
        self.frame(Topic::Catalog.as_str(), &data)
    }

    fn frame(&mut self, name: &str, data: &Value) -> Bytes {
        self.id += 1;
        // JSON on one line: escapes whatever could end the frame early.
        format!("id: {}\nevent: {name}\ndata: {data}\n\n", self.id).into()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.ctx.metrics.streams.down();
    }
}

/// Whether a request for a stream has to go to the leader. The catalog's events are every node's own, and numbered as
/// its `GET /v1/verdicts` is; and a request that is wrong is answered anywhere.
pub(crate) fn needs_leader(query: &str) -> bool {
    topics(query).is_ok_and(|topics| wants_notices(&topics))
}

/// Whether these topics need the queue's notices, which only the leader has.
fn wants_notices(topics: &[Topic]) -> bool {
    topics.iter().any(|topic| *topic != Topic::Catalog)
}

/// Waits until the lead is another's.
async fn deposed(lead: Option<&Arc<Lead>>, seats: &mut watch::Receiver<Seat>) {
    let Some(lead) = lead else { return std::future::pending().await };
    while seats.borrow_and_update().position.holds(lead) {
        seat::next(seats).await;
    }
}

async fn receive(notices: &mut Option<broadcast::Receiver<Arc<Notice>>>) -> Result<Arc<Notice>, RecvError> {
    match notices {
        Some(notices) => notices.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits for a new snapshot, not before `from`; false when there will be none any more.
async fn changed(snapshots: &mut Option<watch::Receiver<Arc<Snapshot>>>, from: Instant) -> bool {
    match snapshots {
        Some(snapshots) => {
            sleep_until(from).await;
            snapshots.changed().await.is_ok()
        }
        None => std::future::pending().await,
    }
}
