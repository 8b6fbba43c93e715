//! `POST /v1/queue`: what a 200 promises, and when there is none.

use mconn_queue::{Notice, Settings};
use mconn_store::{StoreError, StoreErrorKind};
use serde_json::json;

use crate::client::Ask;
use crate::node::{Node, Setup, event, until};

#[tokio::test]
async fn an_accepted_event_is_durable_and_named() {
    let node = Node::start().await;
    node.post("/v1/module/queue/pause/Test", "").await;
    let answer = node.event("t \"1\"/ä", "TASK_RUNNING", "group/app/").await;
    assert_eq!(
        answer.text(),
        "{\n    \"leader\": \"http://node.example:1234\",\n    \"taskId\": \"t \\\"1\\\"/ä_TASK_RUNNING\"\n}"
    );
    assert_eq!(node.store.commits(), 1, "durable before it is answered");
    let queue = node.get("/v1/queue").await.json();
    assert_eq!(queue[0]["data"]["appId"], "/group/app", "ids are normalised");
}

#[tokio::test]
async fn all_forms_of_optional_fields_are_taken() {
    let node = Node::start().await;
    for (name, value) in [
        ("ports", json!(null)),
        ("ports", json!([])),
        ("host", json!(null)),
        ("timestamp", json!(1_432_566_744_140_i64)),
        ("timestamp", json!(1.5e12)),
        ("timestamp", json!(null)),
        ("unknown", json!({"deep": [1, {"er": null}]})),
    ] {
        let mut body: serde_json::Value = serde_json::from_str(&event("t1", "TASK_RUNNING", "/a")).unwrap();
        body[name] = value.clone();
        let answer = node.post("/v1/queue", &body.to_string()).await;
        assert_eq!(answer.json()["taskId"], "t1_TASK_RUNNING", "{name}: {value}");
    }
    let twice = r#"{"taskId":1,"eventType":"x","eventType":"status_update_event","taskId":"t2","taskStatus":"TASK_X","appId":"a"}"#;
    assert_eq!(node.post("/v1/queue", twice).await.json()["taskId"], "t2_TASK_X", "the last one counts");
    let charset = Ask::new("POST", "/v1/queue")
        .body("application/json; charset=UTF-8", event("t3", "TASK_RUNNING", "/a"));
    assert_eq!(node.ask(charset).await.json()["taskId"], "t3_TASK_RUNNING");
    let form =
        "eventType=status_update_event&taskId=t%204&taskStatus=TASK_RUNNING&appId=%2Fa&ports=1&ports=2";
    let form = Ask::new("POST", "/v1/queue").body("application/x-www-form-urlencoded", form);
    assert_eq!(node.ask(form).await.json()["taskId"], "t 4_TASK_RUNNING");
}

#[tokio::test]
async fn a_store_that_refuses_means_503_and_nothing_queued() {
    let node = Node::start().await;
    let error = StoreError::new(StoreErrorKind::Unavailable, "no space left in /data");
    node.store.refuse(Some(error));
    for _ in 0..2 {
        let answer = node.event("t1", "TASK_RUNNING", "/a").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.message().contains("no space left"), "{answer:?}");
        assert!(answer.json()["hint"].as_str().unwrap().contains("send it again"));
    }
    assert_eq!(node.get("/v1/queue").await.text(), "[]");
    let preset = r#"{"moduleName":"Test","appId":"/a","status":"enabled"}"#;
    assert_eq!(node.post("/v1/module/preset", preset).await.status, 503);
    assert_eq!(node.get("/v1/module/preset/Test").await.text(), "[]");
    let ready = node.get("/v1/health/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["store"]["ok"], false);
    assert_eq!(node.get("/v1/health/live").await.status, 200);
}

#[tokio::test]
async fn what_the_store_never_takes_means_413_and_harms_nobody() {
    let node = Node::with(Setup { record_limit: Some(6_000), ..Setup::default() }).await;
    let mut body: serde_json::Value = serde_json::from_str(&event("large", "TASK_RUNNING", "/a")).unwrap();
    body["host"] = "x".repeat(3_000).into();
    let answer = node.post("/v1/queue", &body.to_string()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (413, None), "{answer:?}");
    assert!(answer.message().contains("at most 2000 bytes"), "{answer:?}");
    let preset =
        json!({"moduleName": "Test", "appId": "/a", "status": "enabled", "options": "x".repeat(6_000)});
    let answer = node.post("/v1/module/preset", &preset.to_string()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (413, None), "{answer:?}");
    assert_eq!(node.get("/v1/module/preset/Test").await.text(), "[]");
    assert_eq!(node.event("small", "TASK_RUNNING", "/a").await.status, 200);
    // Whatever the store: a text that is kept as it came is bounded.
    body["host"] = "x".repeat(5_000).into();
    let answer = node.post("/v1/queue", &body.to_string()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.message().contains("host has 5000 bytes, at most 4096 are taken"), "{answer:?}");
}

#[tokio::test]
async fn a_full_queue_means_503() {
    let queue = Settings { journal_limit: 2, ..Settings::default() };
    let node = Node::with(Setup { queue, ..Setup::default() }).await;
    node.post("/v1/module/queue/pause/Test", "").await;
    assert_eq!(node.event("t1", "TASK_RUNNING", "/a").await.status, 200);
    assert_eq!(node.event("t2", "TASK_RUNNING", "/a").await.status, 200);
    let answer = node.event("t3", "TASK_RUNNING", "/a").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.message().contains("the queue is full"), "{answer:?}");
    assert_eq!(node.get("/v1/queue").await.json().as_array().unwrap().len(), 2);
    assert_eq!(node.get("/v1/health/ready").await.status, 503);
}

#[tokio::test]
async fn a_new_leader_of_marathon_syncs_all_modules() {
    let node = Node::start().await;
    let mut notices = node.queue.subscribe();
    let answer = node.post("/v1/queue", r#"{"eventType":"scheduler_registered_event"}"#).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    until(&mut notices, |notice| matches!(notice, Notice::SyncDone { .. })).await;
}

#[tokio::test]
async fn a_node_that_takes_the_stream_alone_says_so() {
    let node = Node::with(Setup { callbacks: false, ..Setup::default() }).await;
    let answer = node.event("t1", "TASK_RUNNING", "/a").await;
    assert_eq!(answer.status, 200);
    assert!(answer.message().contains("event stream"), "{answer:?}");
    assert_eq!(node.queue.stats().await.unwrap().accepted, 0);
}

#[tokio::test]
async fn many_events_on_one_connection() {
    let node = Node::start().await;
    let mut connection = node.open().await;
    for n in 0..200 {
        let ask = Ask::new("POST", "/v1/queue").json(event(&format!("t{n}"), "TASK_RUNNING", "/a"));
        let answer = connection.ask(&ask).await;
        assert_eq!(answer.json()["taskId"], format!("t{n}_TASK_RUNNING"));
    }
    assert_eq!(node.queue.stats().await.unwrap().accepted, 200);
}
