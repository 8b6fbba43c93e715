//! The queue on a store with limits: whatever is too large, or may not be written, costs itself alone.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, EventTimestamp, ModuleName, Preset, TaskEvent, TaskId, TaskStatus};
use mconn_module::{BoxFuture, Failure, Module, Outcome, Run};
use mconn_queue::{AcceptError, CommandError, ModuleSetup, QueueHandle, QueueTask};
use mconn_store::{Contents, Store};
use mconn_zookeeper::{Settings, ZookeeperStore};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::store::{lead, module, preset};
use crate::support::{fresh_path, open, settings, shared, soon, with_auth};

/// Does what the task id says.
struct Obedient(ModuleName);

impl Module for Obedient {
    fn name(&self) -> &ModuleName {
        &self.0
    }

    fn handle<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let task = run.event().task.as_str().to_owned();
            match task.as_str() {
                "fail" => return Failure::permanent("no".repeat(1_000_000)).into(),
                "huge" => run.put_item("huge", json!("x".repeat(1_000_000))),
                name => run.put_item(name, json!("here")),
            }
            Outcome::Finished
        })
    }
}

struct Node {
    queue: QueueHandle,
    task: QueueTask,
    cancel: CancellationToken,
}

impl Node {
    async fn start(settings: &Settings) -> Self {
        let store: ZookeeperStore = lead(settings.clone()).await;
        let cancel = CancellationToken::new();
        let setup = ModuleSetup {
            module: Arc::new(Obedient(module("Test"))),
            concurrency: 1,
            folder: "Test".to_owned(),
        };
        let (queue, task) = mconn_queue::start(
            mconn_queue::Settings::default(),
            vec![setup],
            Arc::new(store),
            None,
            Duration::from_secs(30),
            cancel.clone(),
        )
        .await
        .unwrap();
        Self { queue, task, cancel }
    }

    async fn idle(&self) {
        soon(async {
            while !self.queue.queue().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Ends it and reads what it has left.
    async fn end(self, settings: &Settings) -> Contents {
        self.cancel.cancel();
        soon(self.task.join()).await.unwrap();
        lead(settings.clone()).await.load().await.unwrap()
    }
}

fn event(task: &str, timestamp: String) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).unwrap(),
        status: TaskStatus::Running,
        app: AppId::parse("/a").unwrap(),
        host: Some("h".into()),
        ports: vec![1],
        event_type: Some("status_update_event".into()),
        timestamp: Some(EventTimestamp::Text(timestamp.into())),
    }
}

#[tokio::test]
async fn what_is_too_large_costs_itself_alone() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let node = Node::start(&given).await;
    node.queue.put_preset((*preset("/a")).clone()).await.unwrap();

    let refused = node.queue.accept(vec![event("t", "x".repeat(500_000))]).await.unwrap_err();
    assert!(
        matches!(refused, AcceptError::TooLarge { size: 500_001.., limit: 300_000..330_000 }),
        "{refused:?}"
    );
    let large = Preset { options: json!("x".repeat(1_000_000)), ..(*preset("/b")).clone() };
    let refused = node.queue.put_preset(large).await.unwrap_err();
    assert!(matches!(refused, CommandError::TooLarge { .. }), "{refused:?}");

    // The largest events that are taken become dead letters, whatever the reason; what a run wants to keep is no danger either.
    let stamp = |i: u8| format!("{i}{}", "x".repeat(320_000));
    node.queue.accept(vec![event("fail", stamp(1)), event("fail", stamp(2))]).await.unwrap();
    node.queue.accept(vec![event("huge", stamp(3)), event("good", stamp(4))]).await.unwrap();
    node.idle().await;
    node.queue.accept(vec![event("last", "now".to_owned())]).await.unwrap();
    node.idle().await;
    assert!(node.queue.stats().await.unwrap().store_ok);

    let found = node.end(&given).await;
    let keys: Vec<_> = found.items.iter().map(|(_, item)| item.key.to_string()).collect();
    assert_eq!(keys, ["good", "last"]);
    assert_eq!((found.journal.len(), found.dead_letters.len(), found.presets.len()), (0, 3, 1));
    let huge = found.dead_letters.iter().find(|letter| letter.event.task.as_str() == "huge").unwrap();
    assert!(
        huge.reason.starts_with("inventory item \"huge\" of module Test would have 1"),
        "{}",
        huge.reason
    );
}

#[tokio::test]
async fn a_node_that_is_locked_costs_itself_alone() {
    let zookeeper = shared();
    let given = settings(&zookeeper, &fresh_path());
    let node = Node::start(&given).await;
    node.queue.put_preset((*preset("/a")).clone()).await.unwrap();
    let other = open(with_auth(given.clone(), "other:hush")).await;
    other.create("/modules/Test/inventory/locked", b"{}").await.unwrap();
    let accepted = ["one", "locked", "two"].map(|task| event(task, task.to_owned()));
    node.queue.accept(accepted.to_vec()).await.unwrap();
    node.idle().await;
    node.queue.accept(vec![event("three", "later".to_owned())]).await.unwrap();
    node.idle().await;
    assert_eq!(node.queue.inventory("Test").unwrap().len(), 4, "this node knows it");
    let found = node.end(&given).await;
    assert_eq!(
        (found.items.len(), found.journal.len(), found.skipped.len()),
        (3, 0, 1),
        "{:?}",
        found.skipped
    );
}
