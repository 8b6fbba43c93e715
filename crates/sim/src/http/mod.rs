//! The HTTP side: connections, who may come in, what goes wrong on purpose, and which route answers.

mod apps;
mod auth;
mod conn;
mod control;
mod events;
mod fault;
mod finish;
mod groups;
mod node;
mod pods;
mod proxy;
mod scenario;
mod small;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;

pub use fault::Fault;
pub(crate) use node::run as run_node;
pub(crate) use scenario::perform;

use crate::cluster::{Answer, PathId};
use crate::driver::Driver;
use crate::faults::{Damage, Faults};
use crate::options::SimOptions;
use crate::profile::EventStream;
use auth::Guard;
use bytes::BytesMut;
use conn::Conn;
use finish::finish;
use rustls::ServerConfig;
use serde_json::Value;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use wire::{Manner, NoRequest, Request, Response, read_request, write_response};

/// How long a connection is kept whose request is not answered on purpose.
const HANG_TIME: Duration = Duration::from_secs(600);

/// One node as its connections see it.
#[derive(Debug)]
pub(crate) struct Shared {
    common: Arc<Common>,
    node: usize,
    addr: SocketAddr,
}

/// What all nodes share.
#[derive(Debug)]
pub(crate) struct Common {
    options: SimOptions,
    driver: Driver,
    shutdown: CancellationToken,
    faults: Arc<Faults>,
    stalled: watch::Sender<bool>,
    stage: scenario::Stage,
    guard: Guard,
    tls: Option<Arc<ServerConfig>>,
    ports: Vec<Port>,
}

/// What the others know of a node.
#[derive(Debug)]
struct Port {
    addr: SocketAddr,
    listening: watch::Sender<bool>,
    /// Its connections to the leader.
    proxied: Arc<Semaphore>,
}

impl Deref for Shared {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

impl Common {
    /// # Errors
    /// Why nobody could log in.
    pub(crate) fn new(
        options: SimOptions,
        driver: Driver,
        addresses: &[SocketAddr],
        faults: Arc<Faults>,
        tls: Option<Arc<ServerConfig>>,
        shutdown: CancellationToken,
    ) -> Result<Common, String> {
        let guard = Guard::new(&options)?;
        let port = |&addr: &SocketAddr| Port {
            addr,
            listening: watch::channel(true).0,
            proxied: Arc::new(Semaphore::new(options.profile.nodes.proxied_max)),
        };
        let ports = addresses.iter().map(port).collect();
        let (stalled, _) = watch::channel(false);
        Ok(Common {
            options,
            driver,
            shutdown,
            faults,
            stalled,
            stage: scenario::Stage::default(),
            guard,
            tls,
            ports,
        })
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

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// No token is good any more; false if there are none.
    pub(crate) fn expire_tokens(&self) -> bool {
        self.guard.expire_tokens()
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Waits until all nodes listen that are up, and no others.
    pub(crate) async fn settle(&self) {
        let mut view = self.driver.view();
        for (node, port) in self.ports.iter().enumerate() {
            let up = view.borrow_and_update().up[node];
            // The sender lives as long as this.
            let _ = port.listening.subscribe().wait_for(|listening| *listening == up).await;
        }
    }
}

impl Shared {
    /// The node of this number.
    pub(crate) fn new(common: Arc<Common>, node: usize) -> Shared {
        let addr = common.ports[node].addr;
        Shared { common, node, addr }
    }

    fn at(&self, node: usize) -> Shared {
        Shared::new(self.common.clone(), node)
    }

    fn base_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.addr)
    }

    /// Whether this node serves requests itself.
    fn leads(&self) -> bool {
        self.driver.view().borrow().serving() == Some(self.node)
    }
}

/// What becomes of a request.
enum Outcome {
    Answer(Response, Manner),
    Stream(events::Opening),
    /// No answer, ever.
    Hang,
    /// The connection is reset.
    Reset,
}

/// Answers the requests of one connection, one after the other, until the node's `life` ends.
async fn serve(mut conn: Conn, peer: SocketAddr, shared: &Shared, life: &CancellationToken) {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        let read = tokio::select! {
            () = life.cancelled() => return,
            read = read_request(&mut conn, &mut buffer) => read,
        };
        let mut request = match read {
            Ok(request) => request,
            Err(NoRequest::Over) => return,
            Err(NoRequest::Refused(status, why)) => {
                // The connection ends in any case.
                let _ = write_response(&mut conn, html(status, why), Manner::LAST).await;
                return;
            }
        };
        request.client_ip = peer.ip().to_string();
        let control = is_control(&request);
        let answer = async {
            match shared.guard.check(&mut request) {
                Some(refused) => {
                    let (response, manner) = finish(refused, &request, shared, &Damage::default()).await;
                    Outcome::Answer(response, manner)
                }
                None => handle(&request, shared, false).await,
            }
        };
        // A control that ends this node is still answered.
        let answer = if control { Some(answer.await) } else { life.run_until_cancelled(answer).await };
        let Some(outcome) = answer else { return };
        match carry_out(&mut conn, outcome, shared, life).await {
            After::Next => {}
            After::Close => return,
            After::Reset => return conn.reset(),
        }
    }
}

/// What becomes of a connection.
enum After {
    Next,
    Close,
    Reset,
}

/// Whether the version has event streams at all.
fn has_events(shared: &Shared) -> bool {
    shared.options.profile.event_stream != EventStream::Absent
}

async fn carry_out(conn: &mut Conn, outcome: Outcome, shared: &Shared, life: &CancellationToken) -> After {
    match outcome {
        Outcome::Answer(response, manner) => {
            let written = write_response(conn, response, manner);
            // Small answers are out at once; others end with the node.
            let written = tokio::select! {
                biased;
                written = written => written.is_ok(),
                () = life.cancelled() => false,
            };
            if written && manner.keep_alive { After::Next } else { After::Close }
        }
        Outcome::Stream(opening) => {
            events::serve(conn, opening, shared, life).await;
            After::Close
        }
        Outcome::Hang => {
            let mut ignored = [0; 1024];
            let gone = async { while conn.read(&mut ignored).await.is_ok_and(|count| count > 0) {} };
            // Either way the connection ends without a word.
            let _ = tokio::time::timeout(HANG_TIME, life.run_until_cancelled(gone)).await;
            After::Close
        }
        Outcome::Reset => After::Reset,
    }
}

/// What this node makes of a request that may come in. `passed_on` is by a node that follows this one.
async fn handle(request: &Request, shared: &Shared, passed_on: bool) -> Outcome {
    if is_control(request) {
        let response = route(request, shared).await;
        let (response, manner) = finish(response, request, shared, &Damage::default()).await;
        return Outcome::Answer(response, manner);
    }
    let path = format!("/{}", segments(&request.path).join("/"));
    let damage = shared.faults.request(shared.node, &path);
    if !damage.delay.is_zero() {
        tokio::time::sleep(damage.delay).await;
    }
    if damage.reset {
        return Outcome::Reset;
    }
    if damage.hang {
        return Outcome::Hang;
    }
    let response = match instead(request, shared, &damage) {
        Some(response) => response,
        // A leader that has just lost the leadership still answers what was passed on to it.
        None if passed_on => match own(request, shared).await {
            Own::Answer(response) => response,
            Own::Stream(opening) => return Outcome::Stream(opening),
        },
        None => match proxy::duty(request, shared).await {
            proxy::Duty::Nobody(response) => response,
            proxy::Duty::Leader(leader) => return proxy::forward(request, leader, shared, &damage).await,
            proxy::Duty::Own => match own(request, shared).await {
                Own::Answer(response) => response,
                Own::Stream(opening) => return Outcome::Stream(opening),
            },
        },
    };
    let (response, manner) = finish(response, request, shared, &damage).await;
    Outcome::Answer(response, manner)
}

/// The answer in place of the real one, if that goes wrong as a whole.
fn instead(request: &Request, shared: &Shared, damage: &Damage) -> Option<Response> {
    if damage.refuse_streams && is_events(request) {
        return Some(message(damage.status.unwrap_or(503), "Could not determine the current leader"));
    }
    if damage.redirect {
        return Some(proxy::loop_back(request, shared));
    }
    match damage.status {
        Some(status) if damage.html => Some(html(status, "fault")),
        Some(status) => Some(message(status, "fault set by /sim/fault")),
        None => None,
    }
}

/// What a node that need not ask another one has to say.
enum Own {
    Answer(Response),
    Stream(events::Opening),
}

async fn own(request: &Request, shared: &Shared) -> Own {
    if !is_events(request) || !has_events(shared) {
        return Own::Answer(route(request, shared).await);
    }
    match events::check(request) {
        Some(refused) => Own::Answer(refused),
        None => events::open(request, shared).await,
    }
}

fn is_control(request: &Request) -> bool {
    request.path == "/sim" || request.path.starts_with("/sim/")
}

fn is_events(request: &Request) -> bool {
    segments(&request.path).iter().map(String::as_str).eq(["v2", "events"])
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
        response = response.with("Location", format!("{}{location}", shared.base_url()));
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
