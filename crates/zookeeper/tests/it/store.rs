//! The store against real servers.

use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, EventTimestamp, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus, Timestamp};
use mconn_store::{Contents, JournalEntry, Seq, Store, StoreErrorKind, Write, contract};
use mconn_zookeeper::testing::Ensemble;
use mconn_zookeeper::{Session, Settings, ZookeeperStore, claim};
use serde_json::json;

use crate::support::{fresh_path, open, quick, settings, shared, soon, with_auth};

/// A store of a new epoch, on a session of its own.
async fn lead(settings: Settings) -> ZookeeperStore {
    let session = open(settings).await;
    let fence = claim(&session, b"{}").await.expect("an epoch");
    ZookeeperStore::new(session, fence)
}

fn module(name: &str) -> ModuleName {
    ModuleName::new(name).unwrap()
}

fn event(task: &str) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).unwrap(),
        status: TaskStatus::Running,
        app: AppId::parse("/a").unwrap(),
        host: Some("agent.example".into()),
        ports: vec![31000],
        event_type: Some("status_update_event".into()),
        timestamp: Some(EventTimestamp::Millis(5)),
    }
}

fn entry(seq: u64) -> Arc<JournalEntry> {
    Arc::new(JournalEntry {
        seq: Seq(seq),
        accepted_at: Timestamp::from_millis(1_000),
        event: Arc::new(event(&format!("task.{seq}"))),
        owed: [module("Test"), module("Other")].into(),
    })
}

fn append(places: std::ops::Range<u64>) -> Vec<Write> {
    places.map(|seq| Write::Append(entry(seq))).collect()
}

fn item(key: &str, data: serde_json::Value) -> Arc<InventoryItem> {
    Arc::new(InventoryItem { key: key.into(), data, event: event("web.1") })
}

fn put_item(key: &str, data: serde_json::Value) -> Write {
    Write::PutItem { module: module("Test"), item: item(key, data) }
}

fn preset(app: &str) -> Arc<Preset> {
    Arc::new(Preset {
        app: AppId::parse(app).unwrap(),
        module: module("Test"),
        status: Preset::ENABLED.into(),
        options: json!({}),
        last_edit: None,
        extra: serde_json::Map::new(),
    })
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let zookeeper = shared();
    let path = fresh_path();
    contract::check(async |_: Option<ZookeeperStore>| lead(settings(&zookeeper, &path)).await).await;
}
