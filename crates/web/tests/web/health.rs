//! Health and numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use mconn_model::{Freshness, Snapshot, SourceId, SourceState};

use crate::catalog::{snapshot, state};
use crate::client::Ask;
use crate::node::{Node, Setup};

#[tokio::test]
async fn a_node_that_works_is_live_and_ready() {
    let node = Node::start().await;
    assert_eq!(node.get("/v1/health/live").await.status, 200);
    let ready = node.get("/v1/health/ready").await;
    assert_eq!(ready.status, 200);
    insta::assert_snapshot!("ready", ready.text());
    assert_eq!(node.get("/v1/health/freshness").await.status, 200, "no source, nothing stale");
}

#[tokio::test]
async fn a_source_that_is_away_is_told() {
    let node = Node::start().await;
    let id = SourceId::new("marathon:8080").unwrap();
    let with = |state: SourceState| Snapshot {
        sources: BTreeMap::from([(id.clone(), state)]),
        ..Snapshot::default()
    };
    for (freshness, status, text) in [
        (Freshness::Never, 503, "marathon:8080 was never read completely"),
        (Freshness::Fresh, 200, "\"status\": \"ok\""),
        (Freshness::Stale, 503, "its last good state is served: connection refused"),
    ] {
        let last_error = (freshness == Freshness::Stale).then(|| "connection refused".into());
        node.catalog.send_replace(Arc::new(with(SourceState { last_error, ..state(freshness) })));
        let answer = node.get("/v1/health/freshness").await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text().contains(text), "{answer:?}");
        assert_eq!(answer.json()["sources"]["marathon:8080"]["freshness"], freshness.as_str());
    }
}

#[tokio::test]
async fn a_node_is_ready_when_its_sources_were_read_once() {
    use Freshness::{Fresh, Never, Stale};
    use mconn_web::ReadyWhen::{AnySource, EverySource, NoSource};
    for (ready, sources, status) in [
        (EverySource, &[][..], 200),
        (EverySource, &[Never, Fresh], 503),
        (EverySource, &[Stale, Fresh], 200),
        (AnySource, &[Never, Stale], 200),
        (AnySource, &[Never, Never], 503),
        (NoSource, &[Never], 200),
    ] {
        let node = Node::with(Setup { ready, ..Setup::default() }).await;
        let named = ["east", "west"].iter().zip(sources);
        let sources = named.map(|(name, freshness)| (SourceId::new(name).unwrap(), state(*freshness)));
        node.catalog.send_replace(Arc::new(Snapshot { sources: sources.collect(), ..Snapshot::default() }));
        let answer = node.get("/v1/health/ready").await;
        assert_eq!(answer.status, status, "{ready:?}: {answer:?}");
        assert_eq!(answer.text().contains("never read completely: east"), status == 503, "{answer:?}");
    }
}

#[tokio::test]
async fn the_page_of_numbers_has_everything() {
    let node = Node::start().await;
    node.catalog.send_replace(Arc::new(snapshot(7)));
    node.event("t1", "TASK_RUNNING", "/a").await;
    let page = node.ask(Ask::new("GET", "/metrics")).await;
    assert_eq!(
        page.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for line in [
        "mconn_build_info{version=\"0.1.0\",commit=\"abc\"} 1",
        "mconn_queue_answers 1",
        "mconn_events_accepted_total 1",
        "mconn_events_refused_total{reason=\"full\"} 0",
        "mconn_store_ok 1",
        "mconn_lane_waiting{module=\"Test\"} 0",
        "mconn_dead_letters{module=\"Test\"} 0",
        "mconn_outcomes_total{module=\"Test\",state=\"finished\"} 0",
        "mconn_retries_total{module=\"Test\"} 0",
        "mconn_store_commits_total",
        "mconn_store_commit_time_seconds_total",
        "mconn_journal_limit_events 100000",
        "mconn_follower_undecodable_events_total{source=\"m\"} 7",
        "mconn_catalog_version 7",
        "mconn_catalog_apps 1",
        "mconn_catalog_tasks 1",
        "mconn_catalog_endpoints{verdict=\"routable\"} 1",
        "mconn_catalog_rule_endpoints{source=\"marathon:8080\",verdict=\"routable\",rule=\"healthy\"} 1",
        "mconn_catalog_rule_endpoints{source=\"marathon:8080\",verdict=\"draining\",rule=\"killing\"} 0",
        "mconn_catalog_verdict_changes_total{source=\"marathon:8080\",verdict=\"gone\",rule=\"gone\"} 0",
        "mconn_catalog_draining_age_seconds{source=\"marathon:8080\"} 0.0",
        "mconn_source_freshness{source=\"marathon:8080\",freshness=\"fresh\"} 1",
        "mconn_source_differences_total{source=\"marathon:8080\"} 1",
        "mconn_http_requests_total{method=\"POST\",route=\"/v1/queue\",status=\"200\"} 1",
        "mconn_http_request_duration_seconds_bucket{le=\"+Inf\",method=\"POST\",route=\"/v1/queue\"} 1",
        "mconn_process_resident_memory_bytes",
        "mconn_process_open_fds",
        "# EOF",
    ] {
        assert!(page.text().contains(line), "{line} is not in\n{}", page.text());
    }
}
