//! What the binary hands over, and what every request may look at.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{Snapshot, SourceId};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::Credentials;
use crate::freshness::SourceClock;
use crate::metrics::Metrics;
use crate::seat::{Seat, StepDown};

/// Everything that the API shows and changes. The binary builds it.
#[derive(Debug, Clone)]
pub struct App {
    /// What this node is at the moment. Whatever only the leader has is reached through it.
    pub seat: watch::Receiver<Seat>,
    /// `host:port` of this node, whoever leads: how it names itself to the others.
    pub authority: String,
    /// The catalog's snapshots; a channel with the default snapshot where no source is followed.
    pub catalog: watch::Receiver<Arc<Snapshot>>,
    /// Those who follow the sources, for `/metrics`, and for the `source` of posted events.
    pub followers: Vec<Follower>,
    /// Which sources must have been read once before `/v1/health/ready` says so.
    pub ready: ReadyWhen,
    /// Who may come in.
    pub credentials: Credentials,
    /// What `/v1/info` shows, in this order. Secrets are masked already.
    pub env: Vec<(String, String)>,
    /// What is running.
    pub build: Build,
    /// Where the data lie, for `/v1/health/ready`. Without secrets.
    pub store: String,
    /// Whether events may be posted; `false` when they are taken from Marathon's stream alone (`MCONN_INTAKE`).
    pub callbacks: bool,
    /// Cancelled by `POST /v1/exit/node`. The request that asked for it is still answered.
    pub exit: CancellationToken,
    /// What `POST /v1/exit/leader` does when this node leads.
    pub step_down: StepDown,
}

/// Which sources must have been read once before a node is ready (MCONN_MARATHON_READY).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadyWhen {
    /// Every one.
    #[default]
    EverySource,
    /// At least one, if there are any.
    AnySource,
    /// Sources do not matter.
    NoSource,
}

/// One who follows a source.
#[derive(Clone)]
pub struct Follower {
    /// The source.
    pub source: SourceId,
    /// What its task events carry as [`mconn_model::TaskEvent::source`].
    pub mark: Option<SourceId>,
    /// Reads its counters, without waiting.
    pub counts: Arc<dyn Fn() -> FollowerCounts + Send + Sync>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What a follower has counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FollowerCounts {
    /// Events of streams that were read.
    pub events: u64,
    /// Events that could not be read.
    pub undecodable: u64,
    /// Bytes of streams.
    pub stream_bytes: u64,
    /// Streams that were attached.
    pub attached: u64,
    /// Requests for listings or apps that failed.
    pub failed_requests: u64,
    /// Parts of listings that could not be read and were left out.
    pub left_out: u64,
    /// Requests to the source, by kind (`listing`, `app`, `stream`, `other`).
    pub requests: [RequestCounts; 4],
    /// For requests that changes cause: how many a minute in the long run.
    pub budget_per_minute: u32,
    /// How many of them could be made at once now.
    pub budget_left: f64,
}

/// Requests of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// A word for metrics.
    pub kind: &'static str,
    /// That were answered as they should.
    pub ok: u64,
    /// That no host answered as it should.
    pub failed: u64,
}

/// What is running, for `/metrics`.
#[derive(Debug, Clone)]
pub struct Build {
    /// Version of mconn.
    pub version: String,
    /// Commit it was built from, if known.
    pub commit: Option<String>,
}

/// Bounds of the HTTP side. [`Limits::default`] has the values of a node that is told nothing.
#[derive(Debug, Clone)]
pub struct Limits {
    /// An answer is due after this. Not for event streams, nor for a sync, which waits for Marathon's own deadline. 10
    /// seconds (MCONN_REQUEST_TIMEOUT).
    pub request_timeout: Duration,
    /// How long a request for the leader waits when nobody leads, or the leader does not answer, from the moment on at
    /// which that is noticed. 8 seconds (MCONN_LEADER_WAIT): longer than a takeover where ZooKeeper's shortest session (4 s)
    /// is noticed to be over a tick and a half late; never more than `request_timeout`.
    pub leader_wait: Duration,
    /// A request's head, and then its body, must have arrived after this. 5 seconds; never more than `request_timeout`.
    pub read_timeout: Duration,
    /// A client that takes nothing of an answer for this long is cut off. 30 seconds.
    pub write_timeout: Duration,
    /// A connection without request is closed after this. 60 seconds.
    pub idle_timeout: Duration,
    /// Bytes of a request's body. 1 MiB (MCONN_BODY_LIMIT): a hundred times the largest event seen.
    pub body_limit: usize,
    /// Connections that are served at once. For one more, the one that has waited longest for a request is closed; if
    /// none does, it waits: as many again here, the rest in the kernel's queue. So the process needs file descriptors for
    /// twice as many. 1024 (MCONN_MAX_CONNECTIONS).
    pub max_connections: usize,
    /// Event streams at once. 64: each may hold its connection for days.
    pub max_streams: usize,
    /// Silence on an event stream before a comment is sent. 15 seconds.
    pub keep_alive: Duration,
    /// What a clean end may take before the remaining connections are cut. 5 seconds (MCONN_SHUTDOWN_TIMEOUT).
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            leader_wait: Duration::from_secs(8),
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            body_limit: 1024 * 1024,
            max_connections: 1024,
            max_streams: 64,
            keep_alive: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// What every handler may look at.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) app: App,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) sources: SourceClock,
    pub(crate) streams: Arc<Semaphore>,
    /// Cancelled when this server ends: open streams end with it.
    pub(crate) closing: CancellationToken,
    /// The OpenAPI document, rendered once.
    pub(crate) document: String,
}
