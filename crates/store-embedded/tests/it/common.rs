//! Records for tests.

use std::sync::Arc;

use mconn_model::{AppId, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus, Timestamp};
use mconn_store::{DeadLetter, JournalEntry, Seq, Write};

pub(crate) fn module(name: &str) -> ModuleName {
    ModuleName::new(name).unwrap()
}

pub(crate) fn app(id: &str) -> AppId {
    AppId::parse(id).unwrap()
}

pub(crate) fn event(task: &str) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).unwrap(),
        status: TaskStatus::Running,
        app: app("/group/app"),
        host: Some("agent-17.example".into()),
        ports: vec![31_000, 31_001],
        event_type: Some("status_update_event".into()),
        timestamp: None,
    }
}

pub(crate) fn append(seq: u64) -> Write {
    let event = Arc::new(event(&format!("group_app.task-{seq}")));
    Write::Append(Arc::new(JournalEntry {
        seq: Seq(seq),
        accepted_at: Timestamp::from_millis(1_000),
        event,
        owed: [].into(),
    }))
}

pub(crate) fn put_preset(name: &str, id: &str, options: serde_json::Value) -> Write {
    Write::PutPreset(Arc::new(Preset {
        app: app(id),
        module: module(name),
        status: Preset::ENABLED.into(),
        options,
        last_edit: None,
        extra: serde_json::Map::new(),
    }))
}

pub(crate) fn put_item(name: &str, key: &str, data: serde_json::Value) -> Write {
    let item = Arc::new(InventoryItem { key: key.into(), data, event: event("web.1") });
    Write::PutItem { module: module(name), item }
}

pub(crate) fn put_letter(name: &str, seq: u64, reason: &str) -> Write {
    Write::PutDeadLetter(Arc::new(DeadLetter {
        module: module(name),
        seq: Seq(seq),
        event: Arc::new(event("dead")),
        event_id: "dead_TASK_RUNNING".into(),
        reason: reason.into(),
        attempts: 3,
        failed_at: Timestamp::from_millis(2_000),
        superseded: false,
    }))
}
