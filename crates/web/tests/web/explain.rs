//! Why something is, or is not, reachable.

use std::sync::Arc;

use mconn_model::{
    App, AppEntry, Cause, Deployment, DeploymentId, Freshness, Gone, Happened, HealthCheck, HealthCheckKind,
    HealthResult, Held, Rule, Snapshot, SourceState, TaskEntry, TaskId, TaskStatus, Timestamp, Verdict,
};

use crate::catalog::{snapshot, state};
use crate::node::Node;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
}

pub(crate) fn happened(number: u64, before: Option<Rule>, after: Option<Rule>, cause: Cause) -> Happened {
    let at = at(i64::try_from(number).unwrap());
    Happened { number, at, task: TaskId::new("group_app.1").unwrap(), before, after, cause }
}

/// The one app has a second task that fails, and a history; another app is gone.
fn troubled() -> Snapshot {
    let mut snapshot = snapshot(7);
    let (key, entry) = snapshot.apps.pop_first().unwrap();
    let healthy = entry.tasks[0].clone();
    let verdict = Verdict::from(Rule::Unhealthy);
    let mut failing = TaskEntry { verdict, since: at(9), ..TaskEntry::clone(&healthy) };
    failing.task.id = TaskId::new("group_app.2").unwrap();
    failing.task.version = Some(at(0));
    failing.task.health = vec![HealthResult { alive: false, consecutive_failures: 2, succeeded_once: true }];
    failing.endpoints[0].verdict = verdict;
    failing.endpoints[0].task = failing.task.id.clone();
    let check = HealthCheck {
        protocol: "HTTP".into(),
        kind: HealthCheckKind::Marathon,
        path: Some("/health".into()),
        port_index: Some(0),
        port: None,
        grace_seconds: 300.0,
        interval_seconds: 60.0,
        timeout_seconds: 20.0,
        max_consecutive_failures: 3,
    };
    let app = App {
        version: Some(at(0)),
        health_checks: vec![check],
        deployments: vec![Deployment { id: DeploymentId::new("d1").unwrap() }],
        ..App::clone(entry.app.as_ref().unwrap())
    };
    let history = vec![
        happened(1, None, Some(Rule::NotRunning), Cause::Status(TaskStatus::Staging)),
        happened(2, Some(Rule::NotRunning), Some(Rule::Healthy), Cause::Health(Some(true))),
    ];
    let entry = AppEntry {
        app: Some(Arc::new(app)),
        tasks: vec![healthy, Arc::new(failing)],
        history,
        ..AppEntry::clone(&entry)
    };
    let gone = Gone {
        source: key.0.clone(),
        id: mconn_model::AppId::parse("/old").unwrap(),
        at: at(5),
        cause: Cause::Terminated,
        history: vec![happened(4, Some(Rule::Healthy), None, Cause::Terminated)].into(),
    };
    let held = Held { apps: 2, tasks: 9, since: at(1), until: at(121) };
    let state = SourceState {
        held: Some(held),
        last_error: Some("connection refused".into()),
        ..state(Freshness::Stale)
    };
    snapshot.sources.insert(key.0.clone(), state);
    snapshot.apps.insert(key, Arc::new(entry));
    snapshot.gone = vec![gone].into();
    snapshot
}

/// What depends on the time of the test is left out.
fn timeless(text: &str) -> String {
    let passing = ["\"now\":", "\"ageSeconds\":", "\"sinceSeconds\":"];
    text.lines()
        .filter(|line| !passing.iter().any(|name| line.contains(name)))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[tokio::test]
async fn shapes() {
    let node = Node::start().await;
    node.catalog.send_replace(Arc::new(troubled()));
    let escaped = node.get("/v1/explain/%2Fgroup%2Fapp").await;
    insta::assert_snapshot!("one", timeless(escaped.text()));
    for spelling in ["/v1/explain/group/app", "/v1/EXPLAIN//group/app/", "/v1/explain/group%2Fapp"] {
        assert_eq!(timeless(node.get(spelling).await.text()), timeless(escaped.text()), "{spelling}");
    }
    assert!(escaped.json()["apps"][0]["tasks"][1]["ageSeconds"].as_f64().unwrap() > 1e6);
    insta::assert_snapshot!("summary", timeless(node.get("/v1/explain").await.text()));
    insta::assert_snapshot!("verdicts", node.get("/v1/verdicts").await.text());
}

#[tokio::test]
async fn one_that_went_is_still_explained() {
    let node = Node::start().await;
    node.catalog.send_replace(Arc::new(troubled()));
    let answer = node.get("/v1/explain/old").await;
    assert_eq!(answer.status, 200);
    let app = &answer.json()["apps"][0];
    assert_eq!(app["tasks"], serde_json::json!([]));
    assert_eq!(app["gone"]["cause"], "app_terminated_event");
    assert_eq!(app["gone"]["history"][0]["before"]["rule"], "healthy");
    assert_eq!(app["gone"]["history"][0]["after"], serde_json::Value::Null);
    assert_eq!(node.get("/v1/catalog/old").await.status, 404);
}

#[tokio::test]
async fn an_unknown_one_is_answered_with_what_may_have_been_meant() {
    let node = Node::start().await;
    let answer = node.get("/v1/explain/grup/app").await;
    assert_eq!((answer.status, answer.message().as_str()), (404, "App not found: /grup/app"));
    assert!(answer.json()["hint"].as_str().unwrap().contains("not every source has been read yet"));
    node.catalog.send_replace(Arc::new(troubled()));
    assert_eq!(node.get("/v1/explain/grup/app").await.json()["hint"], "similar: /group/app");
    assert_eq!(node.get("/v1/explain/something-else").await.json()["hint"], "GET /v1/catalog lists all apps");
    assert_eq!(node.get("/v1/explain/a/../b").await.status, 400);
}

#[tokio::test]
async fn what_to_look_at_is_told_by_the_node_that_is_ready() {
    let node = Node::start().await;
    node.catalog.send_replace(Arc::new(troubled()));
    let ready = node.get("/v1/health/ready").await;
    assert_eq!(ready.status, 200, "a source that is away does not stop this node");
    let warnings = ready.json()["warnings"].to_string();
    assert!(warnings.contains("its last good state is served: connection refused"), "{warnings}");
    assert!(warnings.contains("its listings lack 2 apps and 9 tasks"), "{warnings}");
    let source = &ready.json()["sources"]["marathon:8080"];
    assert_eq!((&source["freshness"], &source["held"]["tasks"]), (&"stale".into(), &9.into()));
    let page = node.get("/metrics").await;
    for line in [
        "mconn_catalog_held_tasks{source=\"marathon:8080\"} 9",
        "mconn_catalog_panic_apps{source=\"marathon:8080\"} 0",
    ] {
        assert!(page.text().contains(line), "{line} is not in\n{}", page.text());
    }
}
