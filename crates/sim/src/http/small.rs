//! The small endpoints: deployments, queue, info, leader, ping, metrics, subscriptions.

use super::wire::{Request, Response};
use super::{Shared, answer, json, late, message, path_id};
use crate::cluster::{Cluster, Command};
use crate::driver::NodeChange;
use crate::nodes::ElectionTimes;
use serde_json::{Value, json};

pub(super) async fn route(request: &Request, path: &[&str], shared: &Shared) -> Option<Response> {
    let method = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
    Some(match (method, path) {
        ("GET", []) => Response::new(302, "text/plain", "").with("Location", "/ui/"),
        ("GET", ["ping"]) => ping(request),
        ("GET", ["metrics"]) => json(metrics(shared).await),
        ("GET", ["v2", "info"]) => info(shared).await,
        ("GET", ["v2", "leader"]) => match leader(shared).await {
            Some(leader) => json(json!({ "leader": leader }).to_string()),
            None => message(404, "There is no leader"),
        },
        ("DELETE", ["v2", "leader"]) => abdicate(shared).await,
        ("GET", ["v2", "deployments"]) => late(shared.driver.query(Cluster::deployments).await),
        ("DELETE", ["v2", "deployments", id]) => {
            let command =
                Command::CancelDeployment { id: (*id).to_owned(), force: request.flag("force", false) };
            answer(shared.driver.command(command).await, Some(shared))
        }
        ("GET", ["v2", "queue"]) => late(shared.driver.query(Cluster::queue).await),
        ("DELETE", ["v2", "queue", app @ .., "delay"]) => {
            answer(shared.driver.command(Command::ResetDelay { id: path_id(app) }).await, None)
        }
        // Switched on, they are there whatever the version; switched off, versions that never had them know no path.
        (_, ["v2", "eventSubscriptions"]) if shared.options.callbacks || shared.options.profile.callbacks => {
            subscriptions(request, method, shared).await
        }
        (_, ["ping" | "metrics"] | ["v2", "info" | "leader" | "deployments" | "queue"]) => {
            message(405, "method is not supported")
        }
        _ => return None,
    })
}

/// `pong` as text; as JSON or HTML on demand.
fn ping(request: &Request) -> Response {
    if request.accepts("application/json") {
        json("\"pong\"".to_owned())
    } else if request.accepts("text/html") {
        Response::new(200, "text/html", "pong")
    } else {
        Response::new(200, "text/plain", "pong")
    }
}

/// A few of the numbers that tools read.
async fn metrics(shared: &Shared) -> String {
    let (apps, instances) = shared.driver.query(Cluster::sizes).await.unwrap_or_default();
    let gauges = json!({
        "marathon.apps.active.gauge": { "value": apps },
        "marathon.instances.running.gauge": { "value": instances },
        "marathon.http.event-streams.active.gauge": { "value": shared.driver.count_streams().await },
    });
    json!({ "version": "4.0.0", "gauges": gauges, "counters": {}, "histograms": {}, "meters": {}, "timers": {} })
        .to_string()
}

/// `host:port` of who has been elected, as every node knows it: also while it still loads its state.
async fn leader(shared: &Shared) -> Option<String> {
    let (elected, serving) = {
        let view = shared.driver.view();
        let view = view.borrow();
        (view.leader?, view.serving())
    };
    if serving.is_none() {
        return Some(shared.ports[elected].addr.to_string());
    }
    // The one that serves may go by another name.
    shared.driver.query(|cluster| cluster.leader().to_owned()).await.ok()
}

/// The cluster's own answer, but for what each node has to say about itself.
async fn info(shared: &Shared) -> Response {
    let port = shared.addr.port();
    let urls = shared.driver.subscriptions().await.unwrap_or_default();
    let info = match shared.driver.query(move |cluster| cluster.info(port, &urls)).await {
        Ok(info) | Err(info) => info,
    };
    let body = info.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    let Some(Value::Object(mut body)) = body.filter(|_| info.status == 200) else {
        return answer(info, None);
    };
    body.insert("elected".to_owned(), shared.leads().into());
    body.insert("leader".to_owned(), leader(shared).await.into());
    json(Value::Object(body).to_string())
}

/// The leader gives up, and another one is elected.
async fn abdicate(shared: &Shared) -> Response {
    let change = NodeChange::Leader { wanted: None, times: ElectionTimes::default() };
    match shared.driver.change_nodes(change).await {
        Ok(()) => message(200, "Leadership abdicated"),
        Err(late) => answer(late, None),
    }
}

async fn subscriptions(request: &Request, method: &str, shared: &Shared) -> Response {
    if !shared.options.callbacks {
        let text = "http event callback system is not running on this Marathon instance. Please re-start this instance \
                    with \"--event_subscriber http_callback\".";
        return message(404, text);
    }
    if method == "GET" {
        let urls = shared.driver.subscriptions().await;
        return urls.map_or_else(
            |late| answer(late, None),
            |urls| json(json!({ "callbackUrls": urls }).to_string()),
        );
    }
    let Some(url) = request.param("callbackUrl").map(str::to_owned) else {
        return message(400, "callbackUrl is missing");
    };
    let client_ip = request.client_ip.clone();
    match method {
        "POST" => answer(shared.driver.subscribe(url, client_ip).await, None),
        "DELETE" => answer(shared.driver.unsubscribe(url, client_ip).await, None),
        _ => message(405, "method is not supported"),
    }
}
