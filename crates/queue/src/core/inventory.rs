//! What a module has done: the working copy of its inventory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use mconn_model::{InventoryItem, TaskKey};
use mconn_module::InventoryReader;

#[derive(Debug, Default)]
struct Items {
    by_key: BTreeMap<Arc<str>, Arc<InventoryItem>>,
    /// How many items are about a task.
    by_task: HashMap<TaskKey, usize>,
}

impl Items {
    fn forget(&mut self, item: &InventoryItem) {
        let task = item.event.task_key();
        if let Some(count) = self.by_task.get_mut(&task) {
            *count -= 1;
            if *count == 0 {
                self.by_task.remove(&task);
            }
        }
    }
}

/// Shared between the core, which alone writes, and readers: runs and the API. The lock is held for one change of an item,
/// or for copying the list of pointers, and never across an await.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inventory {
    items: Arc<RwLock<Items>>,
}

impl Inventory {
    pub(crate) fn put(&self, item: Arc<InventoryItem>) {
        let mut items = self.write();
        *items.by_task.entry(item.event.task_key()).or_default() += 1;
        if let Some(before) = items.by_key.insert(item.key.clone(), item) {
            items.forget(&before);
        }
    }

    /// Returns whether there was something.
    pub(crate) fn remove(&self, key: &str) -> bool {
        let mut items = self.write();
        let removed = items.by_key.remove(key);
        if let Some(item) = &removed {
            items.forget(item);
        }
        removed.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().by_key.len()
    }

    /// All tasks that some item is about.
    pub(crate) fn tasks(&self) -> HashSet<TaskKey> {
        self.read().by_task.keys().cloned().collect()
    }

    /// Whether some item is about this task.
    pub(crate) fn has_task(&self, task: &TaskKey) -> bool {
        self.read().by_task.contains_key(task)
    }

    // Nothing under the lock panics: a poisoned one would hold a whole state all the same.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Items> {
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Items> {
        self.items.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InventoryReader for Inventory {
    fn get(&self, key: &str) -> Option<Arc<InventoryItem>> {
        self.read().by_key.get(key).cloned()
    }

    fn all(&self) -> Vec<Arc<InventoryItem>> {
        self.read().by_key.values().cloned().collect()
    }
}
