//! A client for everything that is not the load itself.

use std::time::Duration;

use mconn_wire::http::{BodyStream, HttpClient, HttpSettings, Method, Request, Trust};
use serde_json::Value;

use crate::Result;

/// Limit for one request.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: HttpClient,
    base: String,
}

impl Api {
    /// For a server at `http://host:port`.
    pub(crate) fn new(base: &str) -> Result<Self> {
        let http = HttpClient::new(&HttpSettings { trust: Trust::Anybody, ..HttpSettings::default() })?;
        Ok(Self { http, base: base.to_owned() })
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Request> {
        let url = format!("{}{path}", self.base).parse()?;
        let body = body.map(|json| ("application/json", json.to_string().into()));
        let method = Method::from_bytes(method.as_bytes())?;
        Ok(Request { method, body, deadline: DEADLINE, ..Request::get(url) })
    }

    /// Status and body of the answer.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String)> {
        let response = self.http.send(self.request(method, path, body)?).await?;
        Ok((response.status.as_u16(), String::from_utf8_lossy(&response.body).into_owned()))
    }

    /// The body of an answer that has to be a success.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let (status, text) = self.try_send(method, path, body).await?;
        if (200..300).contains(&status) {
            return Ok(text);
        }
        Err(format!("{method} {path} was answered with {status}: {text}").into())
    }

    /// GET of a JSON document.
    pub(crate) async fn json(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.send("GET", path, None).await?)?)
    }

    /// An event stream.
    pub(crate) async fn stream(&self, path: &str) -> Result<BodyStream> {
        let request = Request { accept: "text/event-stream", ..self.request("GET", path, None)? };
        let response = self.http.open(request).await?;
        if response.status.as_u16() == 200 {
            return Ok(response.body);
        }
        Err(format!("GET {path} was answered with {}", response.status).into())
    }

    /// Values of the metrics page by the beginning of their lines; 0 for those that are not there.
    pub(crate) async fn metrics<const N: usize>(&self, names: [&str; N]) -> Result<[f64; N]> {
        let page = self.send("GET", "/metrics", None).await?;
        Ok(names.map(|name| metric(&page, name).unwrap_or_default()))
    }
}

fn metric(page: &str, name: &str) -> Option<f64> {
    let rest = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_their_whole_name() {
        let page = "# TYPE a counter\na_total{m=\"x\",s=\"y\"} 12\na_total 3\nab 4.5\n";
        assert_eq!(metric(page, "a_total{m=\"x\",s=\"y\"}"), Some(12.0));
        assert_eq!(metric(page, "a_total"), Some(3.0));
        assert_eq!(metric(page, "a"), None);
    }
}
