//! What the demo asks of its nodes.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use mconn_wire::http::{HttpClient, HttpSettings, Method, Request, Response};
use serde_json::{Value, json};
use url::Url;

use super::MODULE;
use crate::report::Report;

/// Longer than a node takes for any answer (MCONN_REQUEST_TIMEOUT).
const DEADLINE: Duration = Duration::from_secs(15);
/// Of a look that is repeated at once: a node that does not answer must not hold up the others.
const GLANCE: Duration = Duration::from_secs(2);

/// A client of all nodes, which are named by their `host:port`.
#[derive(Debug, Clone)]
pub(super) struct Api {
    http: HttpClient,
}

/// What a node that leads says of its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Events that the module has finished on this node.
    pub(super) finished: u64,
    /// Events accepted and not finished.
    pub(super) waiting: u64,
}

impl Api {
    pub(super) fn new() -> Result<Self, Report> {
        let http = HttpClient::new(&HttpSettings::default());
        let http = http.map_err(|error| Report::could_not_run("cannot set up HTTP").because(&error))?;
        Ok(Self { http })
    }

    async fn send(
        &self,
        node: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Response, Report> {
        let url = format!("http://{node}{path}");
        let parsed = Url::parse(&url).map_err(|error| Report::failed(url.clone()).because(&error))?;
        let body = body.map(|json| ("application/json", Bytes::from(json.to_string())));
        let request = Request { method: method.clone(), body, deadline, ..Request::get(parsed) };
        let sent = self.http.send(request).await;
        sent.map_err(|error| Report::failed(format!("{method} {url}")).because(&error))
    }

    /// The JSON of an answer with status 200.
    async fn call(
        &self,
        node: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        deadline: Duration,
    ) -> Result<Value, Report> {
        let response = self.send(node, method.clone(), path, body, deadline).await?;
        let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        // Presets that are wrong are answered with 200, too.
        if response.status.is_success() && json["status"] != "error" {
            return Ok(json);
        }
        let text = String::from_utf8_lossy(&response.body);
        Err(Report::failed(format!("{method} http://{node}{path} answered {}: {text}", response.status)))
    }

    /// Who leads, as this node knows: `host:port` and epoch; and how many members there are.
    pub(super) async fn members(&self, node: &str) -> Option<(String, u64, usize)> {
        let answer = self.call(node, Method::GET, "/v1/members", None, GLANCE).await.ok()?;
        let leader = answer["leader"].as_str()?.to_owned();
        Some((leader, answer["epoch"].as_u64()?, answer["members"].as_array()?.len()))
    }

    /// What a node that leads says of its work; a node that does not says nothing.
    pub(super) async fn work(&self, node: &str) -> Option<Work> {
        let response = self.send(node, Method::GET, "/metrics", None, GLANCE).await.ok()?;
        work_in(&String::from_utf8_lossy(&response.body))
    }

    /// The keys of the module's inventory, through this node.
    pub(super) async fn inventory(&self, node: &str) -> Result<BTreeSet<String>, Report> {
        let path = format!("/v1/module/inventory/{MODULE}");
        let answer = self.call(node, Method::GET, &path, None, DEADLINE).await?;
        let items = answer
            .as_array()
            .ok_or_else(|| Report::failed(format!("the inventory through {node} is no list: {answer}")))?;
        Ok(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect())
    }

    /// Has the module work on the tasks of this app.
    pub(super) async fn preset(&self, node: &str, app: &str) -> Result<(), Report> {
        let preset = json!({"moduleName": MODULE, "appId": app, "status": "enabled",
                            "options": {"actions": {"add": "Moin, Moin", "remove": "Tschues"}}});
        self.call(node, Method::POST, "/v1/module/preset", Some(&preset), DEADLINE).await.map(drop)
    }

    /// Has the leader hand over, and stay.
    pub(super) async fn hand_over(&self, node: &str) -> Result<(), Report> {
        self.call(node, Method::POST, "/v1/exit/leader?keep=true", None, DEADLINE).await.map(drop)
    }

    /// Posts an event; gives whether it was acknowledged.
    pub(super) async fn post(&self, node: &str, event: &Value) -> bool {
        let answer = self.call(node, Method::POST, "/v1/queue", Some(event), DEADLINE).await;
        answer.is_ok_and(|answer| answer["taskId"].is_string())
    }
}

/// Reads it from the metrics' text.
fn work_in(metrics: &str) -> Option<Work> {
    let value = |name: &str, label: &str| {
        let fits = |line: &&str| {
            line.starts_with(name)
                && (label.is_empty() || line.contains(label))
                && (label.is_empty() || line.contains(&format!("module=\"{MODULE}\"")))
        };
        let line = metrics.lines().find(fits)?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let waiting = value("mconn_journal_events ", "")?;
    let finished = value("mconn_outcomes_total{", "state=\"finished\"").unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters of a short demo")]
    Some(Work { finished: finished as u64, waiting: waiting as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read_from_a_leaders_metrics_only() {
        let leads = "# HELP x y\nmconn_journal_events 12\nmconn_outcomes_total{module=\"Test\",state=\"finished\"} 3\n\
                     mconn_outcomes_total{module=\"HelloWorld\",state=\"failed\"} 4\n\
                     mconn_outcomes_total{module=\"HelloWorld\",state=\"finished\"} 5\n";
        assert_eq!(work_in(leads), Some(Work { finished: 5, waiting: 12 }));
        assert_eq!(work_in("mconn_journal_events 0\n"), Some(Work::default()));
        assert_eq!(work_in("mconn_role{role=\"following\"} 1\n"), None);
    }
}
