//! What every request goes through before and after its handler: who asks, what for, the body, the deadline, the
//! numbers and the log line.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::ACCEPT_ENCODING;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::app::Shared;
use crate::body;
use crate::paths::Paths;
use crate::problem::{Cause, Problem};
use crate::proxy::{Asked, Proxy, Repeat, Whose, whose};
use crate::routes;
use crate::text::Escaped;

/// Answers smaller than this are not compressed, as in the original.
const COMPRESS_FROM: u64 = 1024;

type Compressed = Compression<Router, tower_http::compression::predicate::And<SizeAbove, NotForContentType>>;

/// Says that the router knows no handler. Travels in the answer's extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unrouted;

/// The router with everything around it.
pub(crate) struct Front {
    shared: Arc<Shared>,
    paths: Paths,
    /// By the operation's number.
    whose: Vec<Whose>,
    proxy: Proxy,
    router: Router,
    compressed: Compressed,
}

impl Front {
    pub(crate) fn new(shared: Arc<Shared>, paths: Paths, router: Router, to_leader: TaskTracker) -> Self {
        let sizes = SizeAbove::new(COMPRESS_FROM).and(NotForContentType::SSE);
        let compressed = Compression::new(router.clone()).compress_when(sizes);
        let whose =
            paths.operations().iter().map(|operation| whose(operation.method, &operation.path)).collect();
        let proxy = Proxy::new(shared.clone(), to_leader);
        Self { shared, paths, whose, proxy, router, compressed }
    }

    /// Answers a request. Always ends: within the limits, or with the stream that was asked for.
    pub(crate) async fn answer<B>(&self, request: Request<B>, client: IpAddr) -> Response
    where
        B: http_body::Body + Unpin,
        B::Error: std::fmt::Display,
    {
        let began = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (operation, response) = self.pass(request, client, began).await;
        let status = response.status();
        let took = began.elapsed();
        self.shared.metrics.answered(operation, status.as_u16(), took);
        if let Some(cause) = response.extensions().get::<Cause>() {
            self.shared.metrics.problem(*cause);
        }
        tracing::info!(
            context = "Middlewares",
            "{} \"{}\" {} {} {client}",
            method,
            Escaped(target(&uri)),
            status.as_u16(),
            took.as_millis(),
        );
        response
    }

    async fn pass<B>(&self, request: Request<B>, client: IpAddr, began: Instant) -> (Option<usize>, Response)
    where
        B: http_body::Body + Unpin,
        B::Error: std::fmt::Display,
    {
        let (mut parts, sent_body) = request.into_parts();
        let sent = parts.uri.clone();
        let admitted = self.shared.app.credentials.admit(&parts.method, sent.path(), &parts.headers, client);
        if !admitted {
            return (None, crate::auth::unauthorised());
        }
        let found = match self.paths.find(sent.path()) {
            Ok(Some(found)) => found,
            Ok(None) => return (None, Problem::not_found(target(&sent)).into_response()),
            Err(_) => {
                let message = "the path has a broken percent-escape";
                return (None, Problem::bad(Cause::BadEscape, message).into_response());
            }
        };
        let Some(operation) = self.paths.operation(&found, &parts.method) else {
            return (None, Problem::not_found(target(&sent)).into_response());
        };
        let limits = &self.shared.limits;
        if matches!(parts.method, Method::POST | Method::PUT | Method::DELETE) {
            let deadline = began + limits.read_timeout.min(limits.request_timeout);
            match body::read(&parts.headers, sent_body, limits.body_limit, deadline).await {
                Ok(posted) => {
                    parts.extensions.insert(posted);
                }
                Err(problem) => return (Some(operation), problem.into_response()),
            }
        }
        if let Some(path) = found.rewritten {
            match respell(&sent, path) {
                Some(uri) => parts.uri = uri,
                None => return (None, Problem::not_found(target(&sent)).into_response()),
            }
        }
        let bounded = !is_long(&self.paths.operations()[operation].path);
        let due = bounded.then_some(began + limits.request_timeout);
        let local = |parts| self.route(Request::from_parts(parts, Body::empty()));
        let leaders = |parts, repeat, is_stream| {
            self.proxy.serve(Asked { parts, sent: &sent, client, repeat, due, is_stream }, local)
        };
        let answer = async {
            match self.whose[operation] {
                Whose::Leaders(repeat) => leaders(parts, repeat, false).await,
                Whose::Stream if routes::needs_leader(sent.query().unwrap_or_default()) => {
                    leaders(parts, Repeat::Safe, true).await
                }
                Whose::Stream | Whose::Here => local(parts).await,
            }
        };
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answered = if bounded {
            tokio::time::timeout_at(began + limits.request_timeout, answer).await
        } else {
            Ok(answer.await)
        };
        let response = match answered {
            Ok(Ok(response)) if response.extensions().get::<Unrouted>().is_some() => {
                Problem::not_found(target(&sent)).into_response()
            }
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!(
                    context = "IndexRouter",
                    "a request's handler panicked: {}",
                    Escaped(target(&sent))
                );
                let message = "an error in mconn itself: please report it together with the log";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Cause::Internal, message).into_response()
            }
            Err(_) => {
                let message = format!("no answer within {:.1?}", limits.request_timeout);
                Problem::unavailable(Cause::Timeout, message).hint("the node is overloaded").into_response()
            }
        };
        (Some(operation), response)
    }

    async fn route(&self, request: Request<Body>) -> Response {
        if accepts_gzip(request.headers()) {
            let Ok(response) = self.compressed.clone().oneshot(request).await;
            return response.map(Body::new);
        }
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT_ENCODING).is_some_and(|value| value.as_bytes().windows(4).any(|part| part == b"gzip"))
}

/// Path and query as they were sent.
fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// The same address with another path.
fn respell(sent: &Uri, path: String) -> Option<Uri> {
    let text = match sent.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    PathAndQuery::from_maybe_shared(text.into_bytes()).ok().map(Uri::from)
}

/// Whether an answer may take longer than the request timeout: it has a deadline of its own, or never ends.
fn is_long(path: &str) -> bool {
    matches!(path, "/v1/events" | "/v1/module/sync/{m}")
}
