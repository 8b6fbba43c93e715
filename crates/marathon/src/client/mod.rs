//! Calls to one Marathon of several nodes: fail-over, leader, redirects, credentials.
//!
//! ```text
//!   call --> routes: leader, last good, others --> attempt on one node (redirects, deadline) --> read the answer
//!              ^                                        | unusable: why, and on to the next node
//!              +--- X-Marathon-Leader, /v2/leader ------+
//! ```

mod calls;
mod endpoint;
mod error;
mod routes;
mod settings;
mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use mconn_model::Timestamp;
use mconn_wire::dcos::DcosLogin;
use mconn_wire::http::{HttpClient, MAX_BODY_BYTES, Request, Response, ShownUrl, StreamResponse, Token};
use tokio::time::Instant;
use url::Url;

pub use calls::{Listed, RunningTasks, is_addressable};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{Attempt, AttemptError, ClientError, ClientSetupError};
pub use settings::ClientSettings;
pub use stream::{EventFilter, EventStream};

use calls::PodsKnown;
use routes::Routes;

/// How many redirects are followed for one request.
const MAX_REDIRECTS: usize = 5;
/// Bodies larger than this are decoded on a thread of their own, in bytes: 1 MB takes some 10 ms.
const DECODE_ASIDE: usize = 1024 * 1024;
/// Limit for asking who leads before a redirect is followed.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);
const LEADER_HEADER: &str = "x-marathon-leader";

/// A client of one Marathon. Cheap to clone; clones share connections and what was learnt.
#[derive(Debug, Clone)]
pub struct MarathonClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: HttpClient,
    /// For nodes that have no user and password of their own.
    login: Option<DcosLogin>,
    settings: ClientSettings,
    routes: Mutex<Routes>,
    pods: Mutex<PodsKnown>,
    /// It was said that Marathon does not tell about pods.
    pods_untold: std::sync::atomic::AtomicBool,
}

/// One request, before it is known whom it goes to.
#[derive(Debug, Clone)]
struct Ask {
    /// For error texts.
    call: &'static str,
    method: Method,
    /// Path and query below an endpoint's base, encoded.
    path: String,
    accept: &'static str,
    deadline: Duration,
    /// How long a node may take until its answer begins, while there is another one to ask.
    head_deadline: Duration,
    limit: usize,
}

/// A whole answer of one node.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    /// By the node's own clock.
    date: Option<Timestamp>,
    body: Bytes,
}

impl Answer {
    /// The body of a 200; anything else is a refusal.
    fn ok(&self) -> Result<&[u8], AttemptError> {
        if self.status == StatusCode::OK { Ok(&self.body) } else { Err(self.refusal()) }
    }

    fn refusal(&self) -> AttemptError {
        AttemptError::Status { status: self.status, message: crate::json::error_message(&self.body) }
    }
}

/// Both kinds of answers, as far as redirects are concerned.
trait Head: Sized {
    fn status(&self) -> StatusCode;
    fn headers(&self) -> &HeaderMap;
    fn send(http: &HttpClient, request: Request) -> impl Future<Output = Result<Self, AttemptError>> + Send;
}

impl Head for Response {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    async fn send(http: &HttpClient, request: Request) -> Result<Self, AttemptError> {
        Ok(http.send(request).await?)
    }
}

impl Head for StreamResponse {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    async fn send(http: &HttpClient, request: Request) -> Result<Self, AttemptError> {
        Ok(http.open(request).await?)
    }
}

impl MarathonClient {
    /// Reads certificates and makes the client. Opens no connection: a Marathon that is down now may come later.
    ///
    /// # Errors
    /// [`ClientSetupError`]: no endpoint, or unusable TLS settings.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientSetupError> {
        if settings.endpoints.is_empty() {
            return Err(ClientSetupError::NoEndpoint);
        }
        let http = HttpClient::new(&settings.http)?;
        let inner = Inner {
            login: settings.dcos.clone().map(|dcos| DcosLogin::new(http.clone(), dcos)),
            http,
            routes: Mutex::new(Routes::new(settings.endpoints.clone())),
            pods: Mutex::new(PodsKnown::default()),
            pods_untold: false.into(),
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The leader's `host:port`, as Marathon last named it in a header or document. No request is made.
    #[must_use]
    pub fn known_leader(&self) -> Option<String> {
        self.routes().leader().map(str::to_owned)
    }

    /// Held for moments only, never across an await.
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.inner.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, call: &'static str, path: impl Into<String>) -> Ask {
        Ask {
            call,
            method: Method::GET,
            path: path.into(),
            accept: "application/json",
            deadline: self.inner.settings.request_timeout,
            head_deadline: self.inner.settings.request_timeout,
            limit: MAX_BODY_BYTES.min(self.inner.settings.listing_limit),
        }
    }

    /// Asks node by node until `read` accepts an answer.
    async fn call<T, R>(&self, ask: &Ask, read: R) -> Result<T, ClientError>
    where
        T: Send + 'static,
        R: Fn(&Answer) -> Result<T, AttemptError> + Clone + Send + 'static,
    {
        let mut attempts = Vec::new();
        let candidates = self.routes().candidates(Instant::now());
        let last = candidates.len().saturating_sub(1);
        for (index, endpoint) in candidates.into_iter().enumerate() {
            let read = read.clone();
            // The last one gets all the time: a Marathon that is slow to begin is better than none.
            let head_deadline = if index == last { ask.deadline } else { ask.head_deadline };
            let ask = &Ask { head_deadline, ..ask.clone() };
            let outcome = match self.attempt::<Response>(&endpoint, ask).await {
                Ok(response) => {
                    let date = response.date().and_then(Timestamp::from_system_time);
                    read_aside(Answer { status: response.status, date, body: response.body }, read).await
                }
                Err(error) => Err(error),
            };
            if let Some(value) = self.take_note(endpoint, outcome, &mut attempts) {
                return Ok(value);
            }
        }
        Err(ClientError::NoneAnswered { call: ask.call, attempts })
    }

    /// Remembers who was good; gives the value, or keeps the failure.
    fn take_note<T>(
        &self,
        endpoint: Endpoint,
        outcome: Result<T, AttemptError>,
        attempts: &mut Vec<Attempt>,
    ) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.routes().succeeded(&endpoint);
                Some(value)
            }
            Err(error) => {
                tracing::debug!(%endpoint, %error, "a Marathon gave no usable answer");
                if error.is_of_node() {
                    self.routes().failed(&endpoint, Instant::now());
                }
                attempts.push(Attempt { endpoint, error });
                None
            }
        }
    }

    /// The token for a node; `None` where it gets its own user and password, or nothing. Every node that is asked is a
    /// configured one, or was named by Marathon itself (see [`routes`]): nobody else gets a token.
    async fn token_for(&self, endpoint: &Endpoint) -> Result<Option<Token>, AttemptError> {
        match &self.inner.login {
            Some(login) if endpoint.credentials().is_none() => Ok(Some(login.token().await?)),
            _ => Ok(None),
        }
    }

    /// Sends to one node, and once more with a fresh token if the first one is not good any more.
    async fn attempt<H: Head>(&self, endpoint: &Endpoint, ask: &Ask) -> Result<H, AttemptError> {
        let mut renewed = false;
        loop {
            let (answer, token) = self.walk::<H>(endpoint, ask).await?;
            let refused = answer.status() == StatusCode::UNAUTHORIZED;
            let (Some(login), Some(token)) = (&self.inner.login, token) else {
                return if refused && wants_login(answer.headers()) {
                    Err(AttemptError::LoginWanted)
                } else {
                    Ok(answer)
                };
            };
            if !refused {
                login.accepted(&token);
                return Ok(answer);
            }
            login.refused(&token);
            if renewed || self.token_for(endpoint).await? == Some(token) {
                return Err(AttemptError::TokenRefused);
            }
            renewed = true;
        }
    }

    /// Sends to one node and follows its redirects, all within one deadline (and that of a login, if one is due). Gives
    /// the token that the answer is an answer to.
    async fn walk<H: Head>(
        &self,
        endpoint: &Endpoint,
        ask: &Ask,
    ) -> Result<(H, Option<Token>), AttemptError> {
        let mut token = self.token_for(endpoint).await?;
        let end = Instant::now() + ask.deadline;
        let head_end = Instant::now() + ask.head_deadline;
        let (mut at, mut url) = (endpoint.clone(), endpoint.url(&ask.path));
        for _ in 0..=MAX_REDIRECTS {
            let request = Request {
                method: ask.method.clone(),
                url: url.clone(),
                accept: ask.accept,
                credentials: at.credentials().cloned(),
                token: token.clone(),
                body: None,
                deadline: end.saturating_duration_since(Instant::now()),
                head_deadline: Some(head_end.saturating_duration_since(Instant::now())),
                body_limit: ask.limit,
            };
            let answer = H::send(&self.inner.http, request).await?;
            if answer.status().is_success() {
                let leader = answer.headers().get(LEADER_HEADER).and_then(|value| value.to_str().ok());
                if let Some(leader) = leader {
                    self.routes().learn(&at, leader);
                }
            }
            if !answer.status().is_redirection() || ask.method != Method::GET {
                return Ok((answer, token));
            }
            let Some(target) = redirect_target(&url, answer.headers()) else { break };
            at = self.trusted(&at, &target).await?;
            token = self.token_for(&at).await?;
            url = target;
        }
        Err(AttemptError::RedirectLoop { limit: MAX_REDIRECTS })
    }

    /// Whether a redirect may be followed: to a place that is known, or that the redirecting node names as leader when
    /// asked for it. A header on the redirect itself proves nothing: whoever forged the one forged the other.
    async fn trusted(&self, from: &Endpoint, target: &Url) -> Result<Endpoint, AttemptError> {
        if let Some(endpoint) = self.routes().behind(from, target) {
            return Ok(endpoint);
        }
        let mut question = Request::get(from.url("v2/leader"));
        question.credentials = from.credentials().cloned();
        question.token = self.token_for(from).await?;
        question.deadline = LEADER_TIMEOUT;
        if let Ok(answer) = self.inner.http.send(question).await
            && answer.status == StatusCode::OK
            && let Ok(leader) = crate::json::leader(&answer.body)
        {
            self.routes().learn(from, &leader);
        }
        let foreign = || AttemptError::ForeignRedirect { to: ShownUrl::new(target).to_string() };
        self.routes().behind(from, target).ok_or_else(foreign)
    }
}

/// Whether Admin Router says that it takes logins and nothing else (spec/marathon.md section 9).
fn wants_login(headers: &HeaderMap) -> bool {
    let schemes = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut schemes = schemes.map(str::to_ascii_lowercase);
    schemes.any(|scheme| scheme.contains("acsjwt") || scheme.contains("oauthjwt"))
}

/// Where a redirect leads; its query is the request's own where it has none.
fn redirect_target(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let mut target = url.join(location).ok()?;
    if target.query().is_none() {
        target.set_query(url.query());
    }
    Some(target)
}

async fn read_aside<T, R>(answer: Answer, read: R) -> Result<T, AttemptError>
where
    T: Send + 'static,
    R: Fn(&Answer) -> Result<T, AttemptError> + Send + 'static,
{
    if answer.body.len() <= DECODE_ASIDE {
        return read(&answer);
    }
    tokio::task::spawn_blocking(move || read(&answer)).await.unwrap_or(Err(AttemptError::Crashed))
}
