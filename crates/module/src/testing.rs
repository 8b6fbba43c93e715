//! Helpers for the tests of a module.

use std::collections::BTreeMap;
use std::sync::Arc;

use mconn_model::{AppId, InventoryItem, ModuleName, Preset, TaskEvent, TaskId, TaskStatus};
use serde_json::{Map, Value};

use crate::{InventoryReader, Run, RunParts};

/// Builds a [`Run`] as the framework would.
#[derive(Debug)]
pub struct RunBuilder {
    event: TaskEvent,
    options: Value,
    items: BTreeMap<String, Value>,
    attempt: u32,
    cleanup: bool,
}

impl RunBuilder {
    /// A first attempt on an event of that app and task.
    ///
    /// # Panics
    /// If app or task are no ids.
    #[must_use]
    #[expect(clippy::expect_used, reason = "for tests, whose ids are literals")]
    pub fn new(app: &str, task: &str, status: &str) -> Self {
        let event = TaskEvent {
            source: None,
            task: TaskId::new(task).expect("a task id"),
            status: TaskStatus::parse(status),
            app: AppId::parse(app).expect("an app id"),
            host: Some("agent.example".into()),
            ports: vec![31000],
            event_type: Some("status_update_event".into()),
            timestamp: None,
        };
        Self { event, options: Value::Object(Map::new()), items: BTreeMap::new(), attempt: 1, cleanup: false }
    }

    /// The preset's options.
    #[must_use]
    pub fn options(mut self, options: Value) -> Self {
        self.options = options;
        self
    }

    /// An item that the inventory has already.
    #[must_use]
    pub fn item(mut self, key: &str, data: Value) -> Self {
        self.items.insert(key.to_owned(), data);
        self
    }

    /// A later attempt.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// As a sync would make it.
    #[must_use]
    pub fn cleanup(mut self) -> Self {
        self.cleanup = true;
        self
    }

    /// The run.
    ///
    /// # Panics
    /// Never for a builder made by [`RunBuilder::new`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "for tests; the name is a literal")]
    pub fn build(self) -> Run {
        let event = self.event;
        let items = self
            .items
            .into_iter()
            .map(|(key, data)| {
                let item = InventoryItem { key: key.as_str().into(), data, event: event.clone() };
                (key, Arc::new(item))
            })
            .collect();
        let preset = Preset {
            app: event.app.clone(),
            module: ModuleName::new("Tested").expect("a module name"),
            status: Preset::ENABLED.into(),
            options: self.options,
            last_edit: None,
            extra: Map::new(),
        };
        Run::new(RunParts {
            event_id: event.display_id().into(),
            event: Arc::new(event),
            preset: Arc::new(preset),
            cleanup: self.cleanup,
            attempt: self.attempt,
            inventory: Arc::new(Items(items)),
        })
    }
}

struct Items(BTreeMap<String, Arc<InventoryItem>>);

impl InventoryReader for Items {
    fn get(&self, key: &str) -> Option<Arc<InventoryItem>> {
        self.0.get(key).cloned()
    }

    fn all(&self) -> Vec<Arc<InventoryItem>> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_sees_its_own_changes() {
        let mut run = RunBuilder::new("/web", "web.1", "TASK_RUNNING").item("old", json!(1)).build();
        assert_eq!(run.item("old"), Some(json!(1)));
        run.remove_item("old");
        run.put_item("", json!("new"));
        assert_eq!(run.item("old"), None);
        assert_eq!(run.item("web.1"), Some(json!("new")), "an empty key is the task id");
        assert_eq!(run.into_edits().len(), 2);
    }
}
