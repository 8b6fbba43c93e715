//! Talking to a node from the command line: sends one request, understands the API's errors.

mod changes;
mod commands;
mod explain;
mod filter;
mod known;
mod stream;
mod table;
mod watch;

use std::io::Write as _;

use bytes::Bytes;
use jiff::tz::TimeZone;
use mconn_wire::http::{Credentials, HttpClient, HttpSettings, Method, Request, Response, StreamResponse};
use serde_json::Value;
use url::Url;

pub(crate) use self::changes::watch;
pub(crate) use self::commands::{inventory, module, preset, queue, sync};
pub(crate) use self::explain::explain;

use crate::cli::NodeArgs;
use crate::report::Report;

/// A node's API.
pub(crate) struct Client {
    http: HttpClient,
    base: Url,
    credentials: Option<Credentials>,
    args: NodeArgs,
}

impl Client {
    pub(crate) fn new(args: &NodeArgs) -> Result<Self, Report> {
        let base = Url::parse(&args.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Report::usage(format!("\"{}\" is no address of a node", args.url))
                    .hint("give it as http://host:port with --url or MCONN_URL")
            })?;
        let http = HttpClient::new(&HttpSettings::default())
            .map_err(|error| Report::could_not_run("cannot set up HTTP").because(&error))?;
        let given = args.credentials.as_deref().filter(|text| !text.is_empty());
        let credentials = given
            .map(|text| {
                Credentials::parse(text).ok_or_else(|| Report::usage("credentials have to be user:password"))
            })
            .transpose()?;
        Ok(Self { http, base, credentials, args: args.clone() })
    }

    /// Whether the user wants the node's JSON.
    pub(crate) fn wants_json(&self) -> bool {
        self.args.json
    }

    /// Sends a request and gives the JSON of a good answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Report> {
        let response = self.send(method, path, &[], body).await?;
        self.understand(&response)
    }

    /// As [`Client::call`], with a query.
    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, Report> {
        let response = self.send(method, path, query, None).await?;
        self.understand(&response)
    }

    /// The JSON of an answer of any status.
    pub(crate) async fn look(&self, path: &[&str]) -> Result<Value, Report> {
        let response = self.send(Method::GET, path, &[], None).await?;
        Ok(serde_json::from_slice(&response.body).unwrap_or_default())
    }

    /// Opens a stream.
    pub(crate) async fn open(&self, path: &[&str], query: &[(&str, &str)]) -> Result<StreamResponse, Report> {
        let mut request = self.request(Method::GET, path, query, None)?;
        request.accept = "text/event-stream";
        let response = self.http.open(request).await.map_err(|error| self.unreachable(&error))?;
        if !response.status.is_success() {
            // What the node has to say about it comes with the same request, read whole.
            let response = self.send(Method::GET, path, query, None).await?;
            self.understand(&response)?;
            return Err(Report::failed(format!("the node answered {}", response.status)));
        }
        Ok(response)
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, Report> {
        let request = self.request(method, path, query, body)?;
        self.http.send(request).await.map_err(|error| self.unreachable(&error))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Request, Report> {
        let mut url = self.base.clone();
        // Segments are escaped, so that a module's name can never become another route.
        url.path_segments_mut()
            .map_err(|()| Report::usage(format!("\"{}\" is no address of a node", self.args.url)))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Request {
            method,
            credentials: self.credentials.clone(),
            body: body.map(|json| ("application/json", Bytes::from(json.to_string()))),
            deadline: self.args.timeout,
            ..Request::get(url)
        })
    }

    fn unreachable(&self, error: &mconn_wire::http::HttpError) -> Report {
        Report::failed(format!("cannot talk to the node at {}", self.base))
            .because(error)
            .hint("is it running there? name another with --url or MCONN_URL")
    }

    /// The API says `status: error`, sometimes with HTTP 200 (spec/mconn.md section 3).
    fn understand(&self, response: &Response) -> Result<Value, Report> {
        if response.status.as_u16() == 401 {
            return Err(Report::failed("the node wants credentials")
                .hint("set MCONN_CREDENTIALS to user:password, or use --credentials"));
        }
        let json: Value = if response.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&response.body).map_err(|error| {
                Report::failed(format!("{} did not answer like a node of mconn", self.base)).because(&error)
            })?
        };
        if json["status"] == "error" || !response.status.is_success() {
            let message = json["message"]
                .as_str()
                .map_or_else(|| format!("the node answered {}", response.status), ToOwned::to_owned);
            let report = Report::failed(message);
            return Err(match json["hint"].as_str() {
                Some(hint) => report.hint(hint),
                None => report,
            });
        }
        Ok(json)
    }
}

/// Writes to standard output; `false` if nobody reads it any more, which is how `| head` says that it has seen enough.
fn put(lines: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A point in time as the user's clock shows it.
fn when(at: &Value, zone: &TimeZone, form: &str) -> String {
    let read = at.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    read.map_or_else(|| text(at), |at| at.to_zoned(zone.clone()).strftime(form).to_string())
}
