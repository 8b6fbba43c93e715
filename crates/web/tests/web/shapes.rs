//! Shapes of answers (spec/mconn.md section 4), as they come over the wire.

use std::sync::Arc;

use mconn_model::{AppId, TaskId};
use mconn_queue::{Notice, RunningTask};
use tokio::sync::broadcast;

use crate::client::Ask;
use crate::node::{Node, Setup, until};

fn filters() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r#""runtime": \d+\.\d"#, r#""runtime": [seconds]"#);
    settings.add_filter(r#""(start|lastEdit)": \d+"#, r#""$1": [ms]"#);
    settings.add_filter(r#""timestamp": \d+"#, r#""timestamp": [ms]"#);
    settings.add_filter(r#""failedAt": "[^"]+""#, r#""failedAt": "[ISO]""#);
    settings.bind_to_scope()
}

type Notices = broadcast::Receiver<Arc<Notice>>;

async fn started(notices: &mut Notices, wanted: &str) {
    until(notices, |notice| matches!(notice, Notice::Started { id, .. } if **id == *wanted)).await;
}

async fn removed(notices: &mut Notices, wanted: &str) {
    until(notices, |notice| matches!(notice, Notice::Removed { id, .. } if **id == *wanted)).await;
}

#[tokio::test]
async fn system() {
    let node = Node::start().await;
    insta::assert_snapshot!("leader", node.get("/v1/leader").await.text());
    insta::assert_snapshot!("info", node.get("/v1/info").await.text());
    insta::assert_snapshot!("module_list", node.get("/v1/module/list").await.text());
    insta::assert_snapshot!("module_one", node.get("/v1/module/list/Test").await.text());
    insta::assert_snapshot!("not_found", node.get("/v1/nope?a=b").await.text());
}

#[tokio::test]
async fn a_busy_queue() {
    let node = Node::with(Setup { modules: vec!["Test", "Other"], ..Setup::default() }).await;
    node.preset("/a", r#"{"hold":true}"#).await;
    let mut notices = node.queue.subscribe();
    node.event("t1", "TASK_RUNNING", "/a").await;
    started(&mut notices, "t1_TASK_RUNNING").await;
    until(
        &mut notices,
        |notice| matches!(notice, Notice::Ended { module, .. } if module.as_str() == "Other"),
    )
    .await;
    node.event("t2", "TASK_RUNNING", "/a").await;
    until(
        &mut notices,
        |notice| matches!(notice, Notice::Ended { module, .. } if module.as_str() == "Other"),
    )
    .await;
    let _filters = filters();
    insta::assert_snapshot!("queue", node.get("/v1/queue").await.text());
    insta::assert_snapshot!("lane", node.get("/v1/module/queue/list/Test").await.text());
    insta::assert_snapshot!("pause", node.post("/v1/module/queue/pause/Test", "").await.text());
    let resumed = node.post("/v1/module/queue/resume/Test", "").await.json();
    assert_eq!(resumed["queue"]["paused"], false);
    node.gate.add_permits(2);
    removed(&mut notices, "t2_TASK_RUNNING").await;
    insta::assert_snapshot!("inventory", node.get("/v1/module/inventory/Test").await.text());
    insta::assert_snapshot!("presets", node.get("/v1/module/preset").await.text());
    assert_eq!(node.get("/v1/queue").await.text(), "[]");
}

#[tokio::test]
async fn sync_answers_when_marathons_list_is_in() {
    let node = Node::start().await;
    node.preset("/a", r#"{"hold":true}"#).await;
    let running = RunningTask {
        source: None,
        id: TaskId::new("t1").unwrap(),
        app: AppId::parse("/a").unwrap(),
        host: Some("h".into()),
        ports: vec![1],
    };
    *node.running.lock().unwrap() = Ok(vec![running]);
    let mut notices = node.queue.subscribe();
    let answer = node.post("/v1/module/sync/Test", "").await;
    assert_eq!((answer.status, answer.json()["message"].as_str()), (200, Some("Force sync of module: Test")));
    started(&mut notices, "t1_TASK_RUNNING").await;
    let _filters = filters();
    insta::assert_snapshot!("cleanup_lane", node.get("/v1/module/queue/list/Test").await.text());
    assert_eq!(node.get("/v1/queue").await.text(), "[]", "clean-up tasks are not in the main queue");
    *node.running.lock().unwrap() = Err("marathon:8080: connection refused".to_owned());
    let answer = node.post("/v1/module/sync/Test", "").await;
    assert_eq!((answer.status, answer.message().as_str()), (500, "Marathon is unreachable"));
    assert!(answer.json()["hint"].as_str().unwrap().contains("connection refused"));
}

#[tokio::test]
async fn dead_letters() {
    let node = Node::start().await;
    node.preset("/a", r#"{"fail":true}"#).await;
    let mut notices = node.queue.subscribe();
    node.event("t1", "TASK_RUNNING", "/a").await;
    removed(&mut notices, "t1_TASK_RUNNING").await;
    {
        let _filters = filters();
        insta::assert_snapshot!("letters", node.get("/v1/module/dead-letters/Test").await.text());
    }
    let letters = node.get("/v1/module/dead-letters/Test").await.json();
    let seq = letters[0]["seq"].as_u64().unwrap();
    for (method, target, status, text) in [
        ("POST", "999/retry", 404, "Dead letter not found: 999"),
        ("POST", "x/retry", 404, "Dead letter not found: x"),
        ("DELETE", "999", 404, "Dead letter not found: 999"),
    ] {
        let answer = node.ask(Ask::new(method, format!("/v1/module/dead-letters/Test/{target}"))).await;
        assert_eq!((answer.status, answer.message().as_str()), (status, text), "{method} {target}");
    }
    node.preset("/a", "{}").await;
    let retry = format!("/v1/module/dead-letters/Test/{seq}/retry?force=true");
    let answer = node.post(&retry, "").await;
    assert_eq!(answer.json()["message"], format!("Dead letter {seq} of module Test is queued again"));
    until(&mut notices, |notice| matches!(notice, Notice::InventoryChanged { .. })).await;
    assert_eq!(node.get("/v1/module/dead-letters/Test").await.text(), "[]");
    assert_eq!(
        node.post("/v1/module/dead-letters/Nope/1/retry", "").await.message(),
        "Module not found: Nope"
    );
}

#[tokio::test]
async fn superseded_letters_are_retried_by_force_alone() {
    let node = Node::start().await;
    node.preset("/a", r#"{"fail":true}"#).await;
    let mut notices = node.queue.subscribe();
    node.event("t1", "TASK_RUNNING", "/a").await;
    removed(&mut notices, "t1_TASK_RUNNING").await;
    node.preset("/a", "{}").await;
    node.event("t1", "TASK_KILLED", "/a").await;
    removed(&mut notices, "t1_TASK_KILLED").await;
    let letters = node.get("/v1/module/dead-letters/Test").await.json();
    assert_eq!(letters[0]["superseded"], true, "{letters}");
    let target = format!("/v1/module/dead-letters/Test/{}", letters[0]["seq"]);
    let answer = node.post(&format!("{target}/retry"), "").await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let answer = node.ask(Ask::new("DELETE", target)).await;
    assert_eq!(answer.json()["status"], "ok", "{answer:?}");
    assert_eq!(node.get("/v1/module/dead-letters/Test").await.text(), "[]");
}
