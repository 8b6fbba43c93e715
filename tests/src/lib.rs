//! What the end-to-end tests share: the real binary on free loopback ports in a temporary directory, ended by process id
//! whatever happens; a client; waiting for conditions.
//!
//! **Never** a fixed port, a fixed path, or a pause instead of a condition.

mod fake;
mod front;
pub mod ha;
pub mod level;
mod process;

use std::collections::BTreeMap;
use std::time::Duration;

use mconn_wire::http::{Credentials, HttpClient, HttpSettings, Method, Request};
use serde_json::Value;

pub use fake::FakeMarathon;
pub use front::Front;
pub use process::{Mconn, Node, Sim, binary, run_to_end};

/// How long a condition may take to come true. Far more than it takes: only a failure waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not within {PATIENCE:?}: {what}");
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body as text.
    pub text: String,
    /// Body as JSON; `Null` if it is none.
    pub json: Value,
    /// Headers, names in small letters; of those that are there twice the last one.
    pub headers: BTreeMap<String, String>,
}

impl Answer {
    /// A header's text, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient,
    base: String,
    credentials: Option<Credentials>,
}

impl Client {
    /// For a server at `http://host:port`.
    ///
    /// # Panics
    /// If HTTP cannot be set up.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = HttpClient::new(&HttpSettings::default()).expect("an HTTP client");
        Self { http, base: base.to_owned(), credentials: None }
    }

    /// The same with Basic authentication.
    #[must_use]
    pub fn with_credentials(&self, user: &str, password: &str) -> Self {
        Self { credentials: Some(Credentials::new(user, password)), ..self.clone() }
    }

    /// Sends JSON, if there is any, and reads the whole answer.
    ///
    /// # Errors
    /// In words, if there is no answer.
    ///
    /// # Panics
    /// If the path does not make a URL.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let body = body.map(|json| ("application/json", json.to_string().into()));
        let url = format!("{}{path}", self.base).parse().expect("a URL");
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).expect("a method"),
            body,
            credentials: self.credentials.clone(),
            deadline: Duration::from_secs(30),
            ..Request::get(url)
        };
        let response = self.http.send(request).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        let headers = response.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(Answer { status: response.status.as_u16(), text, json, headers: headers.collect() })
    }

    /// As [`Client::try_send`].
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let answer = self.try_send(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    /// The keys of a module's inventory, sorted.
    pub async fn inventory(&self, module: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/module/inventory/{module}")).await;
        let items = answer.json.as_array().cloned().unwrap_or_default();
        let mut keys: Vec<_> =
            items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect();
        keys.sort();
        keys
    }

    /// Enables the module for the app, with texts for HelloWorld and Test.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn preset(&self, module: &str, app: &str) {
        let preset = serde_json::json!({
            "moduleName": module, "appId": app, "status": "enabled",
            "options": {"actions": {"add": "Moin, Moin", "remove": "Tschues"}},
        });
        let answer = self.post("/v1/module/preset", &preset).await;
        assert_eq!(answer.json["status"], "ok", "{}", answer.text);
    }
}

/// A status update as Marathon sends it.
#[must_use]
pub fn status_update(task: &str, status: &str, app: &str) -> Value {
    serde_json::json!({
        "eventType": "status_update_event", "timestamp": "2015-05-25T15:12:24.140Z",
        "slaveId": "20150516-151938-1029963786-5050-2012-S1", "taskId": task, "taskStatus": status, "appId": app,
        "host": "slave1.dev", "ports": [31004, 31005], "version": "2015-05-25T15:12:19.075Z",
    })
}
