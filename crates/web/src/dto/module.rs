//! Modules and their inventories.

use std::time::{SystemTime, UNIX_EPOCH};

use mconn_model::InventoryItem;
use mconn_queue::{LaneItem, ModuleSetup, ModuleView, StateName};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::preset::PresetOut;
use super::task::Task;

/// The context that a module's log lines carry.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Logger {
    context: String,
}

/// A module's settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Settings<'a> {
    name: &'a str,
    logger: Logger,
    /// Milliseconds that a run may take.
    timeout: u64,
    /// The module's own configuration.
    options: Value,
    folder: &'a str,
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> From<&'a ModuleSetup> for Settings<'a> {
    fn from(setup: &'a ModuleSetup) -> Self {
        let name = setup.module.name().as_str();
        Self {
            name,
            logger: Logger { context: format!("Module.{name}") },
            timeout: millis(setup.module.timeout()),
            options: setup.module.options(),
            folder: &setup.folder,
        }
    }
}

/// An object with one entry per name, in the order given.
#[derive(Debug)]
pub(crate) struct ByName<'a, T>(pub(crate) Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for ByName<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// An inventory item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Item<'a> {
    /// Chosen by the module, the task id as a rule.
    id: &'a str,
    data: ItemData<'a>,
}

/// What a module has done for a task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ItemData<'a> {
    /// Whatever the module remembers.
    custom_data: &'a Value,
    /// The event that led to it; its timestamp is when it was stored.
    task_data: Task<'a>,
}

impl<'a> From<&'a InventoryItem> for Item<'a> {
    fn from(item: &'a InventoryItem) -> Self {
        let data = ItemData { custom_data: &item.data, task_data: (&item.event).into() };
        Self { id: &item.key, data }
    }
}

/// A module with its queue and presets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dump<'a> {
    name: &'a str,
    queue: DumpQueue<'a>,
    logger: Logger,
    #[schema(value_type = Vec<crate::dto::preset::PresetShape>)]
    presets: Vec<PresetOut<'a>>,
    folder: &'a str,
    options: &'a Value,
    timeout: u64,
    sync_in_progress: bool,
    /// The run under way, if any.
    active_task: Option<DumpTask<'a>>,
}

/// A module's queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DumpQueue<'a> {
    /// What waits.
    tasks: Vec<DumpEntry<'a>>,
    concurrency: usize,
    /// Always 1.
    payload: u32,
    /// Always true.
    started: bool,
    paused: bool,
}

/// What waits in a module's queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DumpEntry<'a> {
    data: DumpTask<'a>,
}

/// A task with its run-time attributes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DumpTask<'a> {
    #[serde(flatten)]
    task: Task<'a>,
    /// Always empty.
    active_modules: [super::queue::Nothing; 0],
    /// `started` or `idle`.
    state: &'static str,
    /// Milliseconds since the epoch, once started.
    start: Option<u64>,
    /// Always null: what has stopped is not listed.
    stop: Option<u64>,
    cleanup: bool,
}

impl<'a> From<&'a LaneItem> for DumpTask<'a> {
    fn from(item: &'a LaneItem) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = item.state == StateName::Started;
        Self {
            task: (&*item.event).into(),
            active_modules: [],
            state: item.state.as_str(),
            start: started.then(|| millis(now.saturating_sub(item.runtime))),
            stop: None,
            cleanup: item.cleanup,
        }
    }
}

impl<'a> From<&'a ModuleView> for Dump<'a> {
    fn from(view: &'a ModuleView) -> Self {
        let (active, waiting): (Vec<_>, Vec<_>) =
            view.lane.iter().partition(|item| item.state == StateName::Started);
        Self {
            name: view.name.as_str(),
            queue: DumpQueue {
                tasks: waiting.into_iter().map(|item| DumpEntry { data: item.into() }).collect(),
                concurrency: view.concurrency,
                payload: 1,
                started: true,
                paused: view.paused,
            },
            logger: Logger { context: format!("Module.{}", view.name) },
            presets: view.presets.iter().map(|preset| PresetOut(preset)).collect(),
            folder: &view.folder,
            options: &view.options,
            timeout: millis(view.timeout),
            sync_in_progress: view.syncing,
            active_task: active.first().map(|item| (*item).into()),
        }
    }
}
