//! The HTTP side: connections, who may come in, what goes wrong on purpose, and which route answers.

mod apps;
mod control;
mod events;
mod fault;
mod groups;
mod pods;
mod scenario;
mod small;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;

pub use fault::Fault;
pub(crate) use scenario::perform;

use crate::cluster::{Answer, PathId};
use crate::driver::Driver;
use crate::options::SimOptions;
use crate::profile::EventStream;
use base64::Engine;
use bytes::{Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Manner, NoRequest, Request, Response, read_request, write_response};

/// Connections at one time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// Smaller bodies are not worth compressing.
const GZIP_FROM: usize = 256;
/// Larger bodies are compressed aside, so that other connections are not held up.
const GZIP_ASIDE_FROM: usize = 64 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: SimOptions,
    driver: Driver,
    addr: SocketAddr,
    shutdown: CancellationToken,
    fault: Mutex<Fault>,
    stalled: watch::Sender<bool>,
    stage: scenario::Stage,
    /// The `Authorization` header that is let in.
    authorization: Option<String>,
}

impl Shared {
    pub(crate) fn new(
        options: SimOptions,
        driver: Driver,
        addr: SocketAddr,
        shutdown: CancellationToken,
    ) -> Shared {
        let encode =
            |text: &String| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        let authorization = options.credentials.as_ref().map(encode);
        let (stalled, _) = watch::channel(false);
        let stage = scenario::Stage::default();
        Shared { options, driver, addr, shutdown, fault: Mutex::default(), stalled, stage, authorization }
    }

    pub(crate) fn stall(&self, on: bool) {
        self.stalled.send_replace(on);
    }

    /// Plays a scenario from now on, instead of whatever was playing.
    pub(crate) fn play(&self, scenario: crate::scenario::Scenario) {
        self.stage.play(Some(scenario));
    }

    /// How far the scenario has got.
    pub(crate) fn scenario_state(&self) -> Value {
        self.stage.state()
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self) -> Fault {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The headers of every answer.
    async fn common_headers(&self) -> Vec<(&'static str, String)> {
        let profile = &self.options.profile;
        let mut headers = Vec::with_capacity(6);
        if profile.leader_header {
            let leader = self.driver.query(|cluster| cluster.leader().to_owned()).await.unwrap_or_default();
            headers.push(("X-Marathon-Leader", format!("http://{leader}")));
        }
        headers.push(("Cache-Control", "no-cache, no-store, must-revalidate".into()));
        headers.push(("Pragma", "no-cache".into()));
        headers.push(("Expires", "0".into()));
        if profile.security_headers {
            headers.push(("X-Frame-Options", "DENY".into()));
            headers.push(("X-XSS-Protection", "1; mode=block".into()));
        }
        headers
    }
}

/// Accepts connections until the simulation ends.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>, tracker: TaskTracker) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            accepted = async {
                let slot = slots.clone().acquire_owned().await.ok();
                (slot, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (slot, Ok((stream, peer))) => {
                let shared = shared.clone();
                tracker.spawn(async move {
                    let shutdown = shared.shutdown.clone();
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = serve(stream, peer, &shared) => {}
                    }
                    drop(slot);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: &Shared) {
    // Heartbeat bytes have to travel alone.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        let mut request = match read_request(&mut stream, &mut buffer).await {
            Ok(request) => request,
            Err(NoRequest::Over) => return,
            Err(NoRequest::Refused(status, why)) => {
                let manner = Manner { keep_alive: false, head_only: false, truncated: false };
                // The connection ends in any case.
                let _ = write_response(&mut stream, html(status, why), manner).await;
                return;
            }
        };
        request.client_ip = peer.ip().to_string();
        let mut manner =
            Manner { keep_alive: request.keep_alive, head_only: request.method == "HEAD", truncated: false };
        let response = match admit(&request, shared, &mut manner).await {
            Some(refused) => refused,
            None if is_events(&request) && has_events(shared) => match events::check(&request) {
                Some(refused) => refused,
                None => return events::serve(stream, &request, shared).await,
            },
            None => route(&request, shared).await,
        };
        let response = finish(response, &request, shared).await;
        if write_response(&mut stream, response, manner).await.is_err() || !manner.keep_alive {
            return;
        }
    }
}

fn is_events(request: &Request) -> bool {
    segments(&request.path).iter().map(String::as_str).eq(["v2", "events"])
}

fn has_events(shared: &Shared) -> bool {
    shared.options.profile.event_stream != EventStream::Absent
}

/// Who may not come in, and what goes wrong on purpose.
async fn admit(request: &Request, shared: &Shared, manner: &mut Manner) -> Option<Response> {
    let control = request.path.starts_with("/sim/");
    if let Some(wanted) = &shared.authorization
        && !request.header("authorization").any(|given| given == wanted)
    {
        let refused = message(401, "Invalid username or password.");
        return Some(refused.with("WWW-Authenticate", "Basic realm=\"Mesosphere\""));
    }
    let fault = shared.fault();
    if control || !request.path.starts_with("/v2") {
        return None;
    }
    if !fault.delay().is_zero() {
        tokio::time::sleep(fault.delay()).await;
    }
    if fault.truncate_bodies {
        (manner.truncated, manner.keep_alive) = (true, false);
    }
    if fault.refuse_streams && is_events(request) {
        return Some(message(fault.status.unwrap_or(503), "Could not determine the current leader"));
    }
    match fault.status {
        Some(status) if fault.html => Some(html(status, "fault")),
        Some(status) => Some(message(status, "fault set by /sim/fault")),
        None => None,
    }
}

/// Adds the common headers and compresses.
async fn finish(mut response: Response, request: &Request, shared: &Shared) -> Response {
    response.headers.extend(shared.common_headers().await);
    let textual =
        response.content_type.starts_with("application/json") || response.content_type.starts_with("text/");
    if !textual || response.body.len() < GZIP_FROM || !request.accepts_gzip() {
        return response;
    }
    let body = response.body.clone();
    let packed = if body.len() < GZIP_ASIDE_FROM {
        gzip(&body)
    } else {
        tokio::task::spawn_blocking(move || gzip(&body)).await.ok().flatten()
    };
    if let Some(packed) = packed {
        response.body = packed;
        response.headers.push(("Content-Encoding", "gzip".into()));
        response.headers.push(("Vary", "Accept-Encoding, User-Agent".into()));
    }
    response
}

fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

async fn route(request: &Request, shared: &Shared) -> Response {
    let path = segments(&request.path);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let found = match path.as_slice() {
        ["v2", "apps", rest @ ..] => apps::route(request, rest, shared).await,
        ["v2", "tasks", rest @ ..] => tasks::route(request, rest, shared).await,
        ["v2", "groups", rest @ ..] => groups::route(request, rest, shared).await,
        ["v2", "pods", rest @ ..] => pods::route(request, rest, shared).await,
        ["sim", rest @ ..] => control::route(request, rest, shared).await,
        rest => small::route(request, rest, shared).await,
    };
    found.unwrap_or_else(|| match shared.options.profile.unknown_path_status {
        404 => message(404, &format!("URI not found: {}", request.path)),
        status => message(status, "URI not found"),
    })
}

/// The path's segments, decoded; an encoded slash separates like a plain one, empty segments do not count.
fn segments(path: &str) -> Vec<String> {
    let decoded = percent_decode(path);
    decoded.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) if bytes[at] == b'%' => {
                decoded.push(code);
                at += 3;
            }
            _ => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn path_id(segments: &[&str]) -> PathId {
    PathId::lenient(&segments.join("/"))
}

fn json(body: String) -> Response {
    Response::new(200, "application/json", body)
}

fn message(status: u16, text: &str) -> Response {
    answer(Answer::message(status, text), None)
}

/// An error of the servlet container, which does not speak JSON.
fn html(status: u16, why: &str) -> Response {
    let body = format!(
        "<html><head><title>Error {status}</title></head><body><h2>HTTP ERROR {status}</h2><p>Reason: {why}</p></body></html>\n"
    );
    Response::new(status, "text/html;charset=ISO-8859-1", body)
}

/// An answer of the cluster as HTTP. `base` makes its location absolute.
fn answer(answer: Answer, base: Option<&Shared>) -> Response {
    let mut response = Response::new(answer.status, "application/json", answer.body.unwrap_or_default());
    let tells = base.is_some_and(|shared| shared.options.profile.deployment_header);
    if let Some(deployment) = answer.deployment.filter(|_| tells) {
        response = response.with("Marathon-Deployment-Id", deployment);
    }
    if let (Some(location), Some(shared)) = (answer.location, base) {
        response = response.with("Location", format!("http://{}{location}", shared.addr));
    }
    response
}

fn late(result: Result<Answer, Answer>) -> Response {
    answer(result.unwrap_or_else(|late| late), None)
}

/// The body as JSON, or the answer that says it is none.
fn body_json(request: &Request) -> Result<Value, Response> {
    serde_json::from_slice(&request.body).map_err(|error| answer(Answer::malformed(&error.to_string()), None))
}
