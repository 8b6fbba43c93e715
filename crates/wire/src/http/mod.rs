//! The HTTP client: reqwest with limits around it.
//!
//! A request ends in one of two ways: [`HttpClient::send`] gives a whole, decompressed body within its deadline and
//! its limit; [`HttpClient::open`] gives a stream whose reads notice silence. Any status is an answer, redirects too:
//! who may be followed where, with which credentials, is the caller's policy (spec/marathon.md section 1.1).

mod body;
mod credentials;
mod error;
mod tls;
mod token;

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use ::http::{HeaderMap, Method, StatusCode};
pub use body::BodyStream;
pub use credentials::Credentials;
pub use error::{Fault, HttpError, Phase, SetupError, ShownUrl};
pub use tls::Trust;
pub use token::Token;

/// The largest body that is accepted by default, in bytes after decompression. The largest clusters known (2,700 apps,
/// tens of thousands of tasks at 0.8 KB each; spec/marathon.md section 10) stay below a quarter of it.
pub const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// How long an idle connection is kept. Marathon closes them after 30 s; we let go first.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// What holds for all requests of one client.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Whom TLS trusts; default the system's certificates.
    pub trust: Trust,
    /// Limit for name resolution, TCP and TLS handshake together; default 3 s.
    pub connect_timeout: Duration,
    /// The `User-Agent`; default `mconn/<version>`.
    pub user_agent: String,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            connect_timeout: Duration::from_secs(3),
            user_agent: concat!("mconn/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// One request. `Debug` shows neither what a URL may hide nor the body.
#[derive(Clone)]
pub struct Request {
    /// Method; default GET.
    pub method: Method,
    /// Where to. User and password in it are ignored: they belong into `credentials`.
    pub url: Url,
    /// The `Accept` header, exactly as it is sent.
    pub accept: &'static str,
    /// Basic authentication.
    pub credentials: Option<Credentials>,
    /// A login's token. Where there is one it is sent, and `credentials` are not: a request has room for one of them.
    pub token: Option<Token>,
    /// Content type and body.
    pub body: Option<(&'static str, Bytes)>,
    /// Limit for everything: connecting, the answer's head, and (with [`HttpClient::send`]) its whole body; default 10 s.
    pub deadline: Duration,
    /// Limit for connecting and the answer's head, where that is less; default none.
    pub head_deadline: Option<Duration>,
    /// Largest accepted body in bytes after decompression; default [`MAX_BODY_BYTES`].
    pub body_limit: usize,
}

impl Request {
    /// A GET that wants JSON, without credentials.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            accept: "application/json",
            credentials: None,
            token: None,
            body: None,
            deadline: Duration::from_secs(10),
            head_deadline: None,
            body_limit: MAX_BODY_BYTES,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &ShownUrl::new(&self.url))
            .field("credentials", &self.credentials)
            .field("token", &self.token)
            .field("deadline", &self.deadline)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

/// A whole answer, of any status.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body, decompressed.
    pub body: Bytes,
}

impl Response {
    /// The time by the other side's clock when it answered, to the second below; `None` without a readable `Date` header.
    #[must_use]
    pub fn date(&self) -> Option<SystemTime> {
        let text = self.headers.get(header::DATE)?.to_str().ok()?;
        httpdate::parse_http_date(text).ok()
    }
}

/// An answer whose body is read piece by piece.
#[derive(Debug)]
pub struct StreamResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: BodyStream,
}

/// The client. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    connect_timeout: Duration,
}

impl HttpClient {
    /// Reads certificates and builds the client. Opens no connection.
    ///
    /// # Errors
    /// [`SetupError`] when certificates cannot be read or used.
    pub fn new(settings: &HttpSettings) -> Result<Self, SetupError> {
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&settings.trust)?)
            .user_agent(&settings.user_agent)
            .connect_timeout(settings.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .pool_idle_timeout(POOL_IDLE)
            .build()
            .map_err(|error| SetupError::Client { reason: error::chain(&error) })?;
        Ok(Self { inner, connect_timeout: settings.connect_timeout })
    }

    /// Sends and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`HttpError`]: no connection, no answer within the deadline, a body that broke off or is too large.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let shown = ShownUrl::new(&request.url);
        let (end, deadline, limit) =
            (Instant::now() + request.deadline, request.deadline, request.body_limit);
        let mut response = self.head(request, end, true).await?;
        let late = |_| HttpError::Timeout { url: shown.clone(), phase: Phase::Body, after: deadline };
        let body = timeout_at(end, body::collect(&mut response, &shown, limit)).await.map_err(late)??;
        Ok(Response { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
    }

    /// Sends and waits for the answer's head only (within the deadline). The body is not asked to be compressed, since
    /// compression would hold events back.
    ///
    /// # Errors
    /// [`HttpError`]: no connection, or no answer within the deadline.
    pub async fn open(&self, request: Request) -> Result<StreamResponse, HttpError> {
        let shown = ShownUrl::new(&request.url);
        let end = Instant::now() + request.deadline;
        let mut response = self.head(request, end, false).await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(StreamResponse { status, headers, body: BodyStream::new(response, shown) })
    }

    async fn head(&self, request: Request, end: Instant, gzip: bool) -> Result<reqwest::Response, HttpError> {
        let mut url = request.url;
        let shown = ShownUrl::new(&url);
        // Neither fails for URLs with a host, and others are refused by the client itself.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        let mut builder = self
            .inner
            .request(request.method, url)
            .header(header::ACCEPT, HeaderValue::from_static(request.accept));
        if !gzip {
            builder = builder.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let credentials = request.credentials.as_ref().map(Credentials::header);
        if let Some(authorization) = request.token.as_ref().map(Token::header).or(credentials) {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        if let Some((content_type, body)) = request.body {
            builder = builder.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type)).body(body);
        }
        let limit = request.head_deadline.map_or(request.deadline, |limit| limit.min(request.deadline));
        match timeout_at(end.min(Instant::now() + limit), builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(error::of_send(&error, shown, self.connect_timeout)),
            Err(_) => Err(HttpError::Timeout { url: shown, phase: Phase::Head, after: limit }),
        }
    }
}
