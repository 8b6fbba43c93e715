//! What a module has done: the working copy of its inventory.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use mconn_model::{InventoryItem, TaskKey};
use mconn_module::InventoryReader;

type Items = BTreeMap<Arc<str>, Arc<InventoryItem>>;

/// Shared between the core, which alone writes, and readers: runs and the API. The lock is held for one map operation,
/// or for copying the list of pointers, and never across an await.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inventory {
    items: Arc<RwLock<Items>>,
}

impl Inventory {
    pub(crate) fn put(&self, item: Arc<InventoryItem>) {
        self.write().insert(item.key.clone(), item);
    }

    /// Returns whether there was something.
    pub(crate) fn remove(&self, key: &str) -> bool {
        self.write().remove(key).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// All tasks that some item is about.
    pub(crate) fn tasks(&self) -> HashSet<TaskKey> {
        self.read().values().map(|item| item.event.task_key()).collect()
    }

    // A panic in between leaves a whole map: there is nothing but single map operations under the lock.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Items> {
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Items> {
        self.items.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InventoryReader for Inventory {
    fn get(&self, key: &str) -> Option<Arc<InventoryItem>> {
        self.read().get(key).cloned()
    }

    fn all(&self) -> Vec<Arc<InventoryItem>> {
        self.read().values().cloned().collect()
    }
}
