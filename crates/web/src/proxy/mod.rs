//! Requests for what only the leader has, on every node.
//!
//! ```text
//!            +--> this node leads --> its own handler --lost the lead--+
//!   seat ----+--> another leads ----> passed on --no answer------------+--> wait for the next seat, a bounded time
//!            +--> nobody leads ----------------------------------------+       |        then 503 with Retry-After
//!            ^-----------------------------------------------------------------+
//! ```
//!
//! * A request's body was read whole before (within the body limit, by the front), so that it can be sent again. Answers
//!   are passed on as they come.
//! * A request of which nothing was sent goes to the next leader, whatever it is. One that may have been done goes there
//!   only if twice is as good as once ([`whose::Repeat`]); else its sender is told that nobody knows.
//! * Each node that passes a request on writes its name into it, so that confused nodes cannot send it round: see
//!   [`HOPS_MAX`].
//! * An answer is the leader's, or a 503. Nothing is confirmed that no leader has confirmed.

mod body;
mod headers;
mod trouble;
mod whose;

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

pub(crate) use self::whose::{Repeat, Whose, whose};

use self::trouble::Trouble;
use crate::app::Shared;
use crate::body::Posted;
use crate::leads::Leads;
use crate::metrics::Passed;
use crate::problem::{Cause, Problem};
use crate::seat::{self, Lead, Leader, Position, Seat};
use crate::text::Escaped;

/// How many nodes may pass a request on. The second one is for the moment in which the first has old news of who leads;
/// what comes after a third would say nothing but that the news are old everywhere.
const HOPS_MAX: usize = 2;
/// A connection to a node of the same network is there in a millisecond, or not at all. A lost packet is sent again
/// after one second.
const CONNECT: Duration = Duration::from_secs(2);
/// An idle connection is closed after this: before the leader does ([`crate::Limits::idle_timeout`]).
const POOL_IDLE: Duration = Duration::from_secs(20);
/// Idle connections to a leader that are kept. What a busy node has under way at a time; 32 sockets cost nothing.
const POOL_SIZE: usize = 32;
/// First and longest pause before a leader that did not answer is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(500));
/// For requests that may take longer than the request timeout (a sync waits for every Marathon, each of which has its own
/// deadline): a leader that is silent for so long is no leader.
const LONGEST: Duration = Duration::from_secs(300);
/// Signs of life of an event stream that may be missed.
const MISSED: u32 = 3;

/// A request for the leader.
pub(crate) struct Asked<'a> {
    /// As the router knows it, with the body that was read.
    pub(crate) parts: Parts,
    /// As it was sent.
    pub(crate) sent: &'a Uri,
    pub(crate) client: IpAddr,
    pub(crate) repeat: Repeat,
    /// When an answer is due, if it is.
    pub(crate) due: Option<Instant>,
    /// Whether the answer has no end.
    pub(crate) is_stream: bool,
}

/// Serves what only the leader has.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// For requests on their way to the leader. A quarter of the connections: the leader has as many as this node, and
    /// its own clients.
    places: Arc<Semaphore>,
}

/// Runs the client's connections.
#[derive(Clone)]
struct Runs(TaskTracker);

impl<F> hyper::rt::Executor<F> for Runs
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, connection: F) {
        self.0.spawn(connection);
    }
}

impl Proxy {
    pub(crate) fn new(shared: Arc<Shared>, connections: TaskTracker) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client = Client::builder(Runs(connections))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .build(connector);
        let places = Arc::new(Semaphore::new((shared.limits.max_connections / 4).max(1)));
        Self { shared, client, places }
    }

    /// Answers with the help of whoever leads. `local` is this node's own router.
    pub(crate) async fn serve<F>(&self, asked: Asked<'_>, local: impl Fn(Parts) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let mut seats = self.shared.app.seat.clone();
        let mut patience = Patience::new(asked.due, self.shared.limits.leader_wait);
        let mut told = false;
        loop {
            let position = seats.borrow_and_update().position.clone();
            let trouble = match position {
                Position::Leading(lead) => {
                    let mut parts = asked.parts.clone();
                    parts.extensions.insert(Leads(lead.clone()));
                    let response = local(parts).await;
                    if !lost(&response, &lead, &seats) {
                        return response;
                    }
                    Trouble::Lost(response)
                }
                Position::Following(leader) => {
                    if let Some(refused) = self.too_far(&asked) {
                        return refused;
                    }
                    match self.follow(&asked, leader, &mut seats).await {
                        Ok(response) => return response,
                        Err(trouble) => trouble,
                    }
                }
                Position::Vacant { why } => {
                    if let Some(refused) = self.too_far(&asked) {
                        return refused;
                    }
                    Trouble::Vacant(why)
                }
            };
            if let Some(error) = trouble.for_log().filter(|_| !std::mem::replace(&mut told, true)) {
                tracing::error!(
                    context = "Middlewares",
                    "Error by proxying request to leader \"{}\"",
                    Escaped(&error)
                );
            }
            // The next leader is known already if that is what ended the attempt.
            let goes_on = trouble.may_go_on(asked.repeat)
                && (matches!(trouble, Trouble::Deposed(_))
                    || patience.wait(&mut seats, &self.shared, trouble.may_pass()).await);
            if !goes_on {
                return self.give_up(trouble, &asked);
            }
            self.shared.metrics.proxy.repeated();
        }
    }

    /// The answer to a request that enough nodes have passed on, none of which leads.
    fn too_far(&self, asked: &Asked<'_>) -> Option<Response> {
        let hops = headers::passed_by(&asked.parts.headers);
        (hops.len() >= HOPS_MAX).then(|| {
            tracing::warn!(
                context = "Middlewares",
                "A request was passed on by {} and this node does not lead either",
                Escaped(&hops.join(", "))
            );
            self.shared.metrics.proxy.passed(Passed::NoLeader, Duration::ZERO);
            let mut response =
                Problem::no_leader("no node that was asked leads; news of the last change are on their way")
                    .into_response();
            response.headers_mut().insert(headers::NOT_HANDLED, HeaderValue::from_static("1"));
            response
        })
    }

    fn give_up(&self, trouble: Trouble, asked: &Asked<'_>) -> Response {
        self.shared.metrics.proxy.passed(trouble.outcome(), Duration::ZERO);
        let left_undone = trouble.left_undone();
        let mut response = trouble.into_response(asked.repeat);
        if left_undone && !headers::passed_by(&asked.parts.headers).is_empty() {
            response.headers_mut().insert(headers::NOT_HANDLED, HeaderValue::from_static("1"));
        }
        response
    }

    async fn follow(
        &self,
        asked: &Asked<'_>,
        leader: Arc<Leader>,
        seats: &mut watch::Receiver<Seat>,
    ) -> Result<Response, Trouble> {
        let me = &self.shared.app.authority;
        if leader.authority == *me {
            tracing::warn!(
                context = "Middlewares",
                "Leader data is the same as localhost, but could not verify this host to be leader. Waiting for the \
                 next leader-election"
            );
            return Err(Trouble::Myself);
        }
        if headers::passed_by(&asked.parts.headers).contains(&leader.authority.as_str()) {
            return Err(Trouble::Circle(leader));
        }
        let places = if asked.is_stream { &self.shared.streams } else { &self.places };
        let place = if asked.is_stream {
            places.clone().try_acquire_owned().ok()
        } else {
            // Bounded by the time in which an answer is due.
            places.clone().acquire_owned().await.ok()
        };
        let Some(place) = place else {
            let message = format!("{} event streams are open already", self.shared.limits.max_streams);
            return Ok(Problem::unavailable(Cause::Overloaded, message)
                .hint("close one that is not read")
                .into_response());
        };
        let began = Instant::now();
        let answer = self.ask(asked, &leader, seats, began).await?;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE
            && answer.headers().contains_key(headers::NOT_HANDLED)
        {
            return Err(Trouble::NotLeading(leader));
        }
        self.shared.metrics.proxy.passed(Passed::Answered, began.elapsed());
        let version = answer.version();
        let (mut head, body) = answer.into_parts();
        head.headers = headers::to_client(head.headers, version, me, &leader.authority);
        let limits = &self.shared.limits;
        let body = if body.is_end_stream() {
            Body::empty()
        } else if asked.is_stream && head.status == StatusCode::OK {
            body::events(body, limits.keep_alive * MISSED, leader, self.shared.clone(), place)
        } else {
            body::answer(body, limits.request_timeout, place)
        };
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
        Ok(response)
    }

    /// Sends a request and waits for the head of its answer.
    async fn ask(
        &self,
        asked: &Asked<'_>,
        leader: &Arc<Leader>,
        seats: &mut watch::Receiver<Seat>,
        began: Instant,
    ) -> Result<Response<Incoming>, Trouble> {
        let path = asked.sent.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        tracing::info!(
            context = "Middlewares",
            "Proxying request to leader \"http://{}{}\"",
            leader.authority,
            Escaped(path.as_str())
        );
        let to =
            Uri::builder().scheme(Scheme::HTTP).authority(leader.authority.as_str()).path_and_query(path);
        let to = to
            .build()
            .map_err(|error| Trouble::Unreachable(leader.clone(), format!("its address is none: {error}")))?;
        let posted = asked.parts.extensions.get::<Posted>().map(|posted| posted.bytes.clone());
        let mut request = Request::new(Full::new(posted.unwrap_or_default()));
        *request.method_mut() = asked.parts.method.clone();
        *request.uri_mut() = to;
        *request.headers_mut() = headers::to_leader(
            &asked.parts.headers,
            asked.parts.version,
            asked.client,
            &self.shared.app.authority,
            &self.shared.app.credentials,
        );
        let due = match asked.due {
            Some(due) => due,
            None if asked.is_stream => began + self.shared.limits.request_timeout,
            None => began + LONGEST,
        };
        tokio::select! {
            biased;
            answer = self.client.request(request) => answer.map_err(|error| {
                let reason = in_full(&error);
                if error.is_connect() {
                    Trouble::Unreachable(leader.clone(), reason)
                } else {
                    Trouble::Broken(leader.clone(), reason)
                }
            }),
            // It may hang for long, frozen or cut off, and what it says would not count any more.
            () = moved(leader, seats), if asked.repeat == Repeat::Safe => Err(Trouble::Deposed(leader.clone())),
            () = sleep_until(due) => Err(Trouble::Silent(leader.clone(), due - began)),
        }
    }
}

/// Waits until another leadership is known than this one. That nobody is known to lead may be this node's own trouble.
async fn moved(leader: &Leader, seats: &mut watch::Receiver<Seat>) {
    while seats.borrow_and_update().leader().is_none_or(|now| now == leader) {
        seat::next(seats).await;
    }
}

/// Whether this node's own handler got nothing out of its queue because the lead is gone.
fn lost(response: &Response, lead: &Arc<Lead>, seats: &watch::Receiver<Seat>) -> bool {
    let cause = response.extensions().get::<Cause>();
    response.status() == StatusCode::SERVICE_UNAVAILABLE
        && matches!(cause, Some(Cause::Timeout | Cause::Store))
        && (lead.queue.has_ended() || !seats.borrow().position.holds(lead))
}

/// An error with its causes.
fn in_full(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// How long a request waits for a leader: from the first trouble on.
struct Patience {
    due: Option<Instant>,
    wait: Duration,
    until: Option<Instant>,
    /// When this node's own end has to leave the request unanswered.
    end: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn new(due: Option<Instant>, wait: Duration) -> Self {
        Self { due, wait, until: None, end: None, pause: PAUSE.0 }
    }

    /// Waits for another seat, or for a pause if the trouble may pass by itself. False when the time is up.
    async fn wait(&mut self, seats: &mut watch::Receiver<Seat>, shared: &Shared, may_pass: bool) -> bool {
        let (due, wait) = (self.due, self.wait);
        let until = *self.until.get_or_insert_with(|| {
            let until = Instant::now() + wait;
            due.map_or(until, |due| until.min(due))
        });
        // A node that ends has given up the lead before, so the next leader is about to answer what is held here.
        let grace = shared.limits.shutdown_timeout / 2;
        if shared.closing.is_cancelled() {
            self.end.get_or_insert_with(|| Instant::now() + grace);
        }
        let end = self.end;
        let closed = async {
            shared.closing.cancelled().await;
            sleep_until(end.unwrap_or_else(|| Instant::now() + grace)).await;
        };
        let pause = self.pause;
        if may_pass {
            self.pause = (pause * 2).min(PAUSE.1);
        }
        tokio::select! {
            biased;
            () = sleep_until(until) => false,
            () = closed => false,
            () = seat::next(seats) => true,
            () = sleep(pause), if may_pass => true,
        }
    }
}
