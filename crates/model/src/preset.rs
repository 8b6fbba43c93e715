//! What an operator wants a module to do, and what a module says it has done.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{AppId, ModuleName, TaskEvent, Timestamp};

/// What a module shall do for one app (spec/mconn.md section 8). Applies to exactly its app id, never to a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// The app.
    pub app: AppId,
    /// The module.
    pub module: ModuleName,
    /// As the client wrote it; only `enabled` works, anything else acts as disabled.
    pub status: Arc<str>,
    /// Whatever the module wants.
    pub options: Value,
    /// `None` after creation, the time of the last edit afterwards.
    pub last_edit: Option<Timestamp>,
    /// Fields that we do not know; kept and handed back.
    pub extra: Map<String, Value>,
}

impl Preset {
    /// The status that makes a preset work.
    pub const ENABLED: &'static str = "enabled";

    /// Whether tasks of the app are handed to the module.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        &*self.status == Self::ENABLED
    }
}

/// What a module has done for one task.
#[derive(Debug, Clone, PartialEq)]
pub struct InventoryItem {
    /// Chosen by the module, the task id as a rule. Unique within the module's inventory.
    pub key: Arc<str>,
    /// Whatever the module wants to remember.
    pub data: Value,
    /// The event that led to it; its timestamp is the moment it was stored, not the sender's.
    pub event: TaskEvent,
}
