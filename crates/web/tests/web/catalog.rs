//! The catalog for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use mconn_model::{
    App, AppEntry, AppId, AppTask, Changes, Endpoint, Freshness, NetworkMode, Protocols, Rule, Snapshot,
    SourceId, SourceState, TaskEntry, TaskId, TaskStatus, Timestamp, Transport, Verdict, VerdictKind,
};

use crate::node::Node;

/// One source with one app with one task.
pub(crate) fn snapshot(version: u64) -> Snapshot {
    let source = SourceId::new("marathon:8080").unwrap();
    let app = AppId::parse("/group/app").unwrap();
    let task = TaskId::new("group_app.1").unwrap();
    let verdict = Verdict { kind: VerdictKind::Routable, rule: Rule::Healthy };
    let endpoint = Endpoint {
        source: source.clone(),
        app: app.clone(),
        task: task.clone(),
        port_index: 0,
        port_name: Some("http".into()),
        service_port: Some(10000),
        transport: Transport::Host { host: "agent1".into(), port: 31000 },
        protocols: Protocols::TCP,
        verdict,
    };
    let definition = App {
        id: app.clone(),
        version: None,
        last_config_change: None,
        instances: 2,
        labels: BTreeMap::from([("HAPROXY_GROUP".into(), "external".into())]),
        network: NetworkMode::Host,
        ports: Vec::new(),
        require_ports: false,
        health_checks: Vec::new(),
        readiness_checks: Vec::new(),
        deployments: Vec::new(),
        kill_grace_seconds: None,
    };
    let listed = AppTask {
        id: task,
        app: app.clone(),
        instance: None,
        host: Some("agent1".into()),
        agent: None,
        status: TaskStatus::Running,
        ports: vec![31000],
        service_ports: Vec::new(),
        addresses: Vec::new(),
        staged_at: None,
        started_at: None,
        version: None,
        health: Vec::new(),
        ready: None,
    };
    let entry = TaskEntry {
        task: listed,
        endpoints: vec![endpoint],
        verdict,
        since: Timestamp::from_millis(1_700_000_000_000),
        unresolved: vec!["port 1 has no host port".into()],
    };
    let entry = AppEntry {
        source: source.clone(),
        id: app.clone(),
        app: Some(Arc::new(definition)),
        pod: None,
        tasks: vec![Arc::new(entry)],
        history: Vec::new(),
    };
    Snapshot {
        version,
        digest: 0xabc,
        apps: BTreeMap::from([((source.clone(), app), Arc::new(entry))]),
        sources: BTreeMap::from([(source, state(Freshness::Fresh))]),
        gone: Arc::default(),
    }
}

pub(crate) fn state(freshness: Freshness) -> SourceState {
    SourceState {
        freshness,
        events: 12,
        comparisons: 3,
        differences: 1,
        leader: Some("marathon:8080".into()),
        last_error: None,
        held: None,
        changes: Changes::default(),
    }
}

#[tokio::test]
async fn shapes() {
    let node = Node::start().await;
    insta::assert_snapshot!("empty", node.get("/v1/catalog").await.text());
    node.catalog.send_replace(Arc::new(snapshot(7)));
    insta::assert_snapshot!("all", node.get("/v1/catalog").await.text());
    let escaped = node.get("/v1/catalog/%2Fgroup%2Fapp").await;
    insta::assert_snapshot!("one", escaped.text());
    for spelling in ["/v1/catalog/group/app", "/v1/CATALOG//group/app/", "/v1/catalog/group%2Fapp"] {
        assert_eq!(node.get(spelling).await.text(), escaped.text(), "{spelling}");
    }
    let answer = node.get("/v1/catalog/nope").await;
    assert_eq!((answer.status, answer.message().as_str()), (404, "App not found: /nope"));
    assert_eq!(node.get("/v1/catalog/a/../b").await.status, 400);
}
