//! Live events.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppEntry, Cause, Changes, Rule, Snapshot};
use serde_json::{Value, json};

use crate::client::Connection;
use crate::explain::happened;
use crate::node::{Node, Setup};

/// A stream that is being read.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    text: String,
}

impl Reader {
    pub(crate) async fn open(node: &Node, query: &str) -> Self {
        let mut connection = node.open().await;
        connection.send(format!("GET /v1/events{query} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes()).await;
        let head = connection.head().await.unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        let mut reader = Self { connection, text: String::new() };
        assert_eq!(reader.frame().await, "retry: 2000\n: connected");
        reader
    }

    async fn frame(&mut self) -> String {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let frame = frame.to_owned();
                self.text = rest.to_owned();
                return frame;
            }
            let chunk = self.connection.chunk().await.expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Number, name and data of the next event.
    pub(crate) async fn event(&mut self) -> (u64, String, Value) {
        let frame = self.frame().await;
        let mut lines = frame.lines();
        let id = lines.next().unwrap().strip_prefix("id: ").unwrap().parse().unwrap();
        let name = lines.next().unwrap().strip_prefix("event: ").unwrap().to_owned();
        let data = serde_json::from_str(lines.next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
        (id, name, data)
    }
}

#[tokio::test]
async fn events_are_numbered_and_filtered() {
    let node = Node::start().await;
    let mut all = Reader::open(&node, "").await;
    let mut some = Reader::open(&node, "?types=module,preset").await;
    node.event("t1", "TASK_RUNNING", "/a").await;
    node.post("/v1/module/queue/pause/Test", "").await;
    node.preset("/a", "{}").await;
    let (id, name, data) = some.event().await;
    assert_eq!((id, name.as_str(), &data["what"]), (1, "module", &Value::from("paused")));
    let (_, _, reached) = some.event().await;
    assert_eq!(reached["what"], "pauseReached");
    let (id, name, data) = some.event().await;
    assert_eq!((id, name.as_str(), &data["app"]), (3, "preset", &Value::from("/a")));
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "preset created") {
        let (id, name, data) = all.event().await;
        assert_eq!(id, seen.len() as u64 + 1);
        seen.push(format!("{name} {}", data["what"].as_str().unwrap()));
    }
    for wanted in ["queue created", "queue ended", "queue removed", "module paused"] {
        assert!(seen.iter().any(|seen| seen == wanted), "{wanted} is not in {seen:?}");
    }
}

#[tokio::test]
async fn a_new_snapshot_is_an_event() {
    let node = Node::start().await;
    let mut reader = Reader::open(&node, "?types=catalog").await;
    let snapshot = crate::catalog::snapshot(7);
    node.catalog.send_replace(Arc::new(snapshot));
    let (_, name, data) = reader.event().await;
    assert_eq!((name.as_str(), &data["version"]), ("catalog", &Value::from(7)));
    assert_eq!(data["changes"][0]["what"], "appAdded");
    assert_eq!(data["changes"][1]["verdict"], "routable");
    node.catalog.send_replace(Arc::new(Snapshot { version: 8, ..Snapshot::default() }));
    assert_eq!(reader.event().await.2["version"], 8);
}

#[tokio::test]
async fn every_change_of_a_verdict_between_two_snapshots_is_told() {
    let node = Node::start().await;
    let first = crate::catalog::snapshot(7);
    node.catalog.send_replace(Arc::new(first.clone()));
    let mut reader = Reader::open(&node, "?types=catalog").await;
    let mut next = Snapshot { version: 8, ..first };
    let mut changes = Changes::default();
    let steps = [
        (Some(Rule::Healthy), Some(Rule::Unhealthy), Cause::Health(Some(false))),
        (Some(Rule::Unhealthy), Some(Rule::Healthy), Cause::Health(Some(true))),
        (Some(Rule::Healthy), None, Cause::Terminated),
    ];
    let mut history = Vec::new();
    for (before, after, cause) in steps {
        history.push(happened(changes.count(after), before, after, cause));
    }
    // One more that the history does not hold.
    history.remove(0);
    for state in next.sources.values_mut() {
        state.changes = changes.clone();
    }
    for entry in next.apps.values_mut() {
        *entry = Arc::new(AppEntry { history: history.clone(), tasks: Vec::new(), ..AppEntry::clone(entry) });
    }
    node.catalog.send_replace(Arc::new(next));
    let (_, _, data) = reader.event().await;
    assert_eq!((&data["version"], &data["moreVerdicts"]), (&8.into(), &1.into()));
    assert_eq!(
        data["verdicts"],
        json!([
            {
                "number": 2, "at": "2023-11-14T22:13:22.000Z", "source": "marathon:8080", "app": "/group/app",
                "task": "group_app.1", "addresses": ["agent1:31000"],
                "before": {"verdict": "not ready", "rule": "unhealthy"},
                "after": {"verdict": "routable", "rule": "healthy"}, "cause": "health event, healthy: true",
            },
            {
                "number": 3, "at": "2023-11-14T22:13:23.000Z", "source": "marathon:8080", "app": "/group/app",
                "task": "group_app.1", "addresses": ["agent1:31000"],
                "before": {"verdict": "routable", "rule": "healthy"}, "after": null, "cause": "app_terminated_event",
            },
        ])
    );
}

#[tokio::test]
async fn a_reader_that_lags_is_told_and_goes_on() {
    let node = Node::with(Setup { modules: vec!["Test", "Other"], ..Setup::default() }).await;
    let mut reader = Reader::open(&node, "?types=module").await;
    // More than the channel holds and the socket takes while nobody reads.
    for _ in 0..40_000 {
        node.queue.pause("Test").await.unwrap();
        node.queue.resume("Test").await.unwrap();
    }
    node.post("/v1/module/queue/pause/Other", "").await;
    let mut last = 0;
    let mut lagged = false;
    loop {
        let (id, name, data) = reader.event().await;
        assert_eq!(id, last + 1, "numbers have no gap");
        last = id;
        if name == "lagged" {
            assert!(data["missed"].as_u64().unwrap() > 0);
            lagged = true;
        }
        if data["module"] == "Other" {
            break;
        }
    }
    assert!(lagged, "{last} events came through");
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let mut setup = Setup::default();
    setup.limits.keep_alive = Duration::from_millis(20);
    let node = Node::with(setup).await;
    let mut reader = Reader::open(&node, "?types=preset").await;
    assert_eq!(reader.frame().await, ": still here");
    assert_eq!(reader.frame().await, ": still here");
}

#[tokio::test]
async fn streams_are_limited_and_given_back() {
    let mut setup = Setup::default();
    setup.limits.max_streams = 1;
    let node = Node::with(setup).await;
    let first = Reader::open(&node, "").await;
    let answer = node.get("/v1/events").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.message(), "1 event streams are open already");
    drop(first);
    // The server learns of it when it reads or writes next.
    while node.ask(crate::client::Ask::new("HEAD", "/v1/events")).await.status == 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.get("/v1/events?types=queue,nope").await.message(), "Unknown type of events: nope");
}
