//! One run of a module on one event.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mconn_model::{InventoryItem, Preset, TaskEvent};
use serde_json::Value;

/// Reads a module's inventory as it stands. Implemented by the framework.
pub trait InventoryReader: Send + Sync {
    /// One item.
    fn get(&self, key: &str) -> Option<Arc<InventoryItem>>;
    /// All items in order of their keys. Copies the list, not the items.
    fn all(&self) -> Vec<Arc<InventoryItem>>;
}

/// A change of the inventory that a run asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum InventoryEdit {
    /// Store this data under the key, whether or not there was something.
    Put(Value),
    /// Have nothing under the key, whether or not there was something.
    Remove,
}

/// What the framework puts a run together from.
#[expect(missing_debug_implementations, reason = "holds a trait object; `Run` prints what matters")]
pub struct RunParts {
    /// The event.
    pub event: Arc<TaskEvent>,
    /// The enabled preset of the event's app.
    pub preset: Arc<Preset>,
    /// Stable id of the event.
    pub event_id: Arc<str>,
    /// Made by a sync instead of an event.
    pub cleanup: bool,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The module's inventory.
    pub inventory: Arc<dyn InventoryReader>,
}

/// One run: the event, the preset, and the module's inventory to read and to change.
pub struct Run {
    parts: RunParts,
    edits: BTreeMap<Box<str>, InventoryEdit>,
}

impl Run {
    /// Made by the framework, and by tests through [`crate::testing::RunBuilder`].
    #[must_use]
    pub fn new(parts: RunParts) -> Self {
        Self { parts, edits: BTreeMap::new() }
    }

    /// The event to act on.
    #[must_use]
    pub fn event(&self) -> &TaskEvent {
        &self.parts.event
    }

    /// The preset of the event's app; always enabled.
    #[must_use]
    pub fn preset(&self) -> &Preset {
        &self.parts.preset
    }

    /// The same for every attempt and every repeated delivery of this event: use it as idempotency key.
    #[must_use]
    pub fn event_id(&self) -> &str {
        &self.parts.event_id
    }

    /// Whether a sync made this event up, because the inventory differed from what runs.
    #[must_use]
    pub fn is_cleanup(&self) -> bool {
        self.parts.cleanup
    }

    /// 1 for the first attempt, 2 for the first retry, and so on.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.parts.attempt
    }

    /// The data stored under `key`, with this run's own changes applied.
    #[must_use]
    pub fn item(&self, key: &str) -> Option<Value> {
        match self.edits.get(key) {
            Some(InventoryEdit::Put(data)) => Some(data.clone()),
            Some(InventoryEdit::Remove) => None,
            None => self.parts.inventory.get(key).map(|item| item.data.clone()),
        }
    }

    /// All items as they were when last stored, without this run's own changes.
    #[must_use]
    pub fn stored_items(&self) -> Vec<Arc<InventoryItem>> {
        self.parts.inventory.all()
    }

    /// Remembers that the module has done something for this event's task. An empty key counts as the task id
    /// (with the source behind it, where several are followed: their task ids may be equal).
    pub fn put_item(&mut self, key: &str, data: Value) {
        let key = self.key(key);
        self.edits.insert(key, InventoryEdit::Put(data));
    }

    /// Forgets an item; nothing happens if there is none.
    pub fn remove_item(&mut self, key: &str) {
        let key = self.key(key);
        self.edits.insert(key, InventoryEdit::Remove);
    }

    /// The changes that this run asks for, by key.
    #[must_use]
    pub fn into_edits(self) -> BTreeMap<Box<str>, InventoryEdit> {
        self.edits
    }

    fn key(&self, key: &str) -> Box<str> {
        if key.is_empty() { self.parts.event.task_key().to_string().into() } else { key.into() }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("event_id", &self.parts.event_id)
            .field("cleanup", &self.parts.cleanup)
            .field("attempt", &self.parts.attempt)
            .field("edits", &self.edits)
            .finish_non_exhaustive()
    }
}
