//! Numbers of the HTTP side, counted as it goes, and the page that shows them together with the queue's and the
//! catalog's, which are asked for when somebody looks.

mod catalog;
mod cluster;
mod process;
mod queue;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use mconn_model::{Snapshot, Timestamp};
use mconn_queue::Stats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::cluster::{Passed, Proxied};

use crate::app::Build;
use crate::app::Follower;
use crate::freshness::SourceClock;
use crate::paths::Operation;
use crate::problem::Cause;
use crate::seat::Seat;

/// Statuses that have a counter of their own; all others share the last one.
const STATUSES: [u16; 12] = [200, 400, 401, 404, 408, 409, 413, 415, 500, 503, 204, 0];

/// Upper ends of the buckets: from a tenth of the time of a durable event to the request timeout. In seconds.
const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0];

/// Counters of the HTTP side.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// One per operation, and one for everything that is none.
    operations: Vec<OperationMetrics>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
    problems: [AtomicU64; Cause::ALL.len()],
    pub(crate) connections: Level,
    pub(crate) streams: Level,
    pub(crate) lagged: AtomicU64,
    /// How often this node was another, or saw another leader.
    pub(crate) seat_changes: AtomicU64,
    pub(crate) proxy: Proxied,
}

#[derive(Debug)]
struct OperationMetrics {
    labels: RouteLabels,
    answers: [AtomicU64; STATUSES.len()],
    /// Made when it is used for the first time, so that the page shows no routes that nobody uses.
    latency: OnceLock<Histogram>,
}

/// Something that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicI64);

impl Level {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    method: String,
    route: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl Metrics {
    pub(crate) fn new(operations: &[Operation]) -> Self {
        let known = operations.iter().map(|operation| (operation.method, operation.path.as_str()));
        let operations = known.chain([("", "none")]).map(|(method, route)| OperationMetrics {
            labels: RouteLabels { method: method.to_owned(), route: route.to_owned() },
            answers: std::array::from_fn(|_| AtomicU64::new(0)),
            latency: OnceLock::new(),
        });
        Self {
            operations: operations.collect(),
            latency: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            problems: std::array::from_fn(|_| AtomicU64::new(0)),
            connections: Level::default(),
            streams: Level::default(),
            lagged: AtomicU64::new(0),
            seat_changes: AtomicU64::new(0),
            proxy: Proxied::default(),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, operation: Option<usize>, status: u16, took: Duration) {
        let Some(metrics) = self.operations.get(operation.unwrap_or(self.operations.len() - 1)) else {
            return;
        };
        let place = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        metrics.answers[place].fetch_add(1, Ordering::Relaxed);
        let latency = metrics.latency.get_or_init(|| self.latency.get_or_create(&metrics.labels).clone());
        latency.observe(took.as_secs_f64());
    }

    /// Something was wrong with a request.
    pub(crate) fn problem(&self, cause: Cause) {
        if let Some(place) = Cause::ALL.iter().position(|known| *known == cause) {
            self.problems[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often something was wrong in this way.
    pub(crate) fn problems(&self, cause: Cause) -> u64 {
        let place = Cause::ALL.iter().position(|known| *known == cause);
        place.map_or(0, |place| self.problems[place].load(Ordering::Relaxed))
    }

    fn show(&self, registry: &mut Registry) {
        let answers = Family::<AnswerLabels, Counter>::default();
        for operation in &self.operations {
            for (place, status) in STATUSES.iter().enumerate() {
                let count = operation.answers[place].load(Ordering::Relaxed);
                if count > 0 {
                    let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                    let RouteLabels { method, route } = operation.labels.clone();
                    answers.get_or_create(&AnswerLabels { method, route, status }).inc_by(count);
                }
            }
        }
        registry.register("http_requests", "Answered requests", answers);
        let help = "From a request's head to its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.latency.clone());
        let problems = Family::<ReasonLabels, Counter>::default();
        for cause in Cause::ALL {
            problems.get_or_create(&ReasonLabels { reason: cause.as_str() }).inc_by(self.problems(cause));
        }
        registry.register("http_problems", "What was wrong with requests", problems);
        gauge(registry, "http_connections", "Open connections", self.connections.get());
        gauge(registry, "http_event_streams", "Open event streams", self.streams.get());
        let lagged = self.lagged.load(Ordering::Relaxed);
        counter(registry, "http_events_missed", "Live events that slow readers missed", lagged);
        let help = "How often this node was another than before, or saw another leader";
        counter(registry, "seat_changes", help, self.seat_changes.load(Ordering::Relaxed));
        self.proxy.show(registry);
    }
}

/// Everything that the page shows.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) http: &'a Metrics,
    pub(crate) build: &'a Build,
    pub(crate) seat: &'a Seat,
    /// Missing where there is no queue, because another node leads; `Some(None)` while it does not answer.
    pub(crate) queue: Option<Option<&'a Stats>>,
    pub(crate) snapshot: &'a Snapshot,
    /// Now, by the clock that dates verdicts.
    pub(crate) now: Timestamp,
    pub(crate) sources: &'a SourceClock,
    pub(crate) followers: &'a [Follower],
}

impl Page<'_> {
    /// The page in OpenMetrics' text form.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("mconn");
        let commit = self.build.commit.clone().unwrap_or_else(|| "unknown".to_owned());
        let build = vec![("version", self.build.version.clone()), ("commit", commit)];
        registry.register("build", "What is running", Info::new(build));
        process::show(&mut registry);
        cluster::show(&mut registry, self.seat);
        if let Some(answer) = self.queue {
            gauge(&mut registry, "queue_answers", "Whether the queue answers", answer.is_some().into());
        }
        if let Some(stats) = self.queue.flatten() {
            queue::show(&mut registry, stats);
        }
        catalog::show(&mut registry, self.snapshot, self.sources, self.now);
        catalog::followers(&mut registry, self.followers);
        self.http.show(&mut registry);
        let mut page = String::with_capacity(16 * 1024);
        encode(&mut page, &registry)?;
        Ok(page)
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

/// Counts of things fit: nobody has 2^63 of anything.
fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
