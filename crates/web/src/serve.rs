//! The accept loop: connections within their limits, and a clean end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, Limits, Shared};
use crate::freshness::SourceClock;
use crate::front::Front;
use crate::guard::Guarded;
use crate::idle::Idle;
use crate::metrics::Metrics;
use crate::paths::Paths;
use crate::problem::Cause;
use crate::routes;
use crate::seat;

/// Bytes of a request's head. Browsers and proxies stay below 16 kB.
const HEAD_LIMIT: usize = 64 * 1024;
/// Pause after the system refused a connection (no file descriptors left): it does so again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Connections that were still busy when [`Limits::shutdown_timeout`] had passed, and were cut.
    pub cut_off: usize,
}

/// Serves until `cancel` is cancelled. Then no connection is taken any more, requests under way are answered, event
/// streams end, and what is left after [`Limits::shutdown_timeout`] is cut.
pub async fn serve(listener: TcpListener, app: App, limits: Limits, cancel: CancellationToken) -> Served {
    let closing = cancel.child_token();
    let to_leader = TaskTracker::new();
    let snapshots = app.catalog.clone();
    let (front, shared) = build(app, limits, closing.clone(), to_leader.clone());
    let clock = tokio::spawn({
        let shared = shared.clone();
        async move { tokio::join!(shared.sources.follow(snapshots), count_seats(&shared)) }
    });
    let idle = Idle::new(shared.limits.max_connections);
    // As many again may wait for a place; the rest waits in the kernel's queue.
    let at_most = shared.limits.max_connections.max(1) * 2;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => {}
            (stream, peer) = accept(&listener), if connections.len() < at_most => {
                connections.spawn(connection(stream, peer, front.clone(), shared.clone(), idle.clone()));
            }
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(shared.limits.shutdown_timeout, all_ended).await.is_ok();
    let cut_off = if in_time { 0 } else { connections.len() };
    connections.shutdown().await;
    clock.abort();
    // Nobody waits for the leader any more, so these end with their client.
    drop(front);
    to_leader.close();
    // One that is still being made may take longer; it ends by itself.
    let _ = tokio::time::timeout(shared.limits.shutdown_timeout, to_leader.wait()).await;
    Served { cut_off }
}

/// Counts how often this node was another, or saw another leader.
async fn count_seats(shared: &Shared) {
    let mut seats = shared.app.seat.clone();
    let mut before = seats.borrow_and_update().clone();
    loop {
        seat::next(&mut seats).await;
        let now = seats.borrow_and_update().clone();
        let same = now.position.role() == before.position.role() && now.leader() == before.leader();
        if !same {
            shared.metrics.seat_changes.fetch_add(1, Ordering::Relaxed);
        }
        before = now;
    }
}

/// Everything but the sockets.
pub(crate) fn build(
    app: App,
    limits: Limits,
    closing: CancellationToken,
    to_leader: TaskTracker,
) -> (Arc<Front>, Arc<Shared>) {
    let (router, document) = routes::router().split_for_parts();
    let paths = Paths::new(&document);
    let shared = Arc::new(Shared {
        metrics: Metrics::new(paths.operations()),
        sources: SourceClock::default(),
        streams: Arc::new(Semaphore::new(limits.max_streams)),
        closing,
        document: routes::render(&document),
        app,
        limits,
    });
    let router: Router = router
        .fallback(routes::unrouted)
        .method_not_allowed_fallback(routes::unrouted)
        .with_state(shared.clone());
    (Arc::new(Front::new(shared.clone(), paths, router, to_leader)), shared)
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client was gone before we took it.
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                tracing::error!(context = "App", "cannot take connections: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    front: Arc<Front>,
    shared: Arc<Shared>,
    idle: Arc<Idle>,
) {
    let Some(place) = shared.closing.run_until_cancelled(idle.admit()).await else { return };
    let _open = Open::new(&shared);
    place.waits();
    // Without it answers are a little later, which is no reason to refuse a client.
    let _ = stream.set_nodelay(true);
    let client = peer.ip().to_canonical();
    let limits = &shared.limits;
    let socket = Guarded::new(stream, limits.read_timeout, limits.write_timeout);
    let phase = socket.phase();
    let service = service_fn(|request: Request<Incoming>| {
        phase.busy();
        place.works();
        let (front, phase, place) = (&front, &phase, &place);
        async move {
            let response = front.answer(request, client).await;
            phase.idle();
            // An event stream has its answer still ahead of it.
            if !is_stream(&response) {
                place.waits();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout).max_header_size(HEAD_LIMIT);
    let serving = http.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = async { tokio::select! {
            () = shared.closing.cancelled() => {}
            () = place.closed().cancelled() => {}
        } } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        note_end(&error, &shared, client);
    }
}

fn is_stream<B>(response: &Response<B>) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

fn note_end(error: &hyper::Error, shared: &Shared, client: std::net::IpAddr) {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
        shared.metrics.problem(Cause::SlowClient);
        tracing::info!(context = "Middlewares", "Client \"{client}\" was too slow and was cut off");
    } else if error.is_parse() {
        shared.metrics.problem(Cause::BadRequest);
        tracing::debug!(context = "Middlewares", "Client \"{client}\" does not speak HTTP: {error}");
    } else {
        tracing::debug!(context = "Middlewares", "Connection of client \"{client}\" ended: {error}");
    }
}

/// A connection that is open, for the numbers.
struct Open<'a> {
    shared: &'a Shared,
}

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.metrics.connections.up();
        Self { shared }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.metrics.connections.down();
    }
}
