//! What the core keeps of one module.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, ModuleName, Preset, TaskKey};

use super::dead::DeadLetters;
use super::doubt::Doubts;
use super::inventory::Inventory;
use super::lane::Lane;

/// A module as the core sees it: its name and limits, without its code.
#[derive(Debug, Clone)]
pub(crate) struct SlotSetup {
    pub(crate) name: ModuleName,
    pub(crate) concurrency: usize,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) setup: SlotSetup,
    pub(crate) lane: Lane,
    pub(crate) presets: HashMap<AppId, Arc<Preset>>,
    pub(crate) inventory: Inventory,
    pub(crate) dead: DeadLetters,
    pub(crate) paused: bool,
    pub(crate) sync: SyncState,
    pub(super) doubts: Doubts,
    pub(crate) count: Count,
}

/// Where a module's sync stands.
#[derive(Debug, Default)]
pub(crate) struct SyncState {
    /// While Marathon's list is on its way: tasks whose jobs have ended since it was asked for. The list may be older
    /// than what they did, so they are left alone. With their app, unless the last one failed.
    pub(crate) touched: Option<HashMap<TaskKey, Option<AppId>>>,
    /// Tasks whose removal a sync held back, and when.
    pub(crate) held: Option<(HashSet<TaskKey>, Duration)>,
}

/// Numbers since the start.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) finished: u64,
    pub(crate) failed: u64,
    pub(crate) nopreset: u64,
    pub(crate) undefined: u64,
    pub(crate) retries: u64,
    pub(crate) timeouts: u64,
    pub(crate) syncs: u64,
    pub(crate) syncs_failed: u64,
    pub(crate) sync_differences: u64,
}

impl Slot {
    pub(crate) fn new(setup: SlotSetup) -> Self {
        Self {
            setup,
            lane: Lane::default(),
            presets: HashMap::new(),
            inventory: Inventory::default(),
            dead: DeadLetters::default(),
            paused: false,
            sync: SyncState::default(),
            doubts: Doubts::default(),
            count: Count::default(),
        }
    }

    pub(crate) fn name(&self) -> ModuleName {
        self.setup.name.clone()
    }

    pub(crate) fn has_enabled_preset(&self, app: &AppId) -> bool {
        self.presets.get(app).is_some_and(|preset| preset.is_enabled())
    }
}
