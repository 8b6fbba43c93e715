//! The queue's rules, driven step by step. Time is a number that the test moves.

mod doubts;
mod events;
mod failures;
mod limits;
mod loss;
mod sources;
mod syncs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{
    AppId, EventTimestamp, ModuleName, Preset, SourceId, TaskEvent, TaskId, TaskStatus, Timestamp,
};
use mconn_module::{Failure, InventoryEdit, InventoryReader, Outcome};
use mconn_store::{Contents, MemoryStore, Store, StoreError, StoreErrorKind};
use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::{Notice, RunningList, RunningTask, StateName};

struct Harness {
    core: Core,
    store: MemoryStore,
    now: Now,
    /// Runs that were started and have not ended.
    active: Vec<Start>,
    notices: Vec<Notice>,
    /// Whether Marathon's lists can be read whole.
    complete: bool,
    /// The source of whatever happens.
    source: Option<SourceId>,
    /// Whether somebody asks for the syncs.
    asked_for: bool,
}

impl Harness {
    fn new(modules: &[&str]) -> Self {
        Self::with(modules, Settings::default(), MemoryStore::new())
    }

    fn with(modules: &[&str], settings: Settings, store: MemoryStore) -> Self {
        let setups = modules
            .iter()
            .map(|name| SlotSetup { name: ModuleName::new(name).unwrap(), concurrency: 1 })
            .collect();
        let now = Now { mono: Duration::ZERO, wall: Timestamp::from_millis(1_000) };
        let core = Core::new(settings, setups, store.contents(), now);
        let mut harness = Self {
            core,
            store,
            now,
            active: Vec::new(),
            notices: Vec::new(),
            complete: true,
            source: None,
            asked_for: false,
        };
        harness.collect();
        harness
    }

    /// A new process on the same data.
    fn restart(self, modules: &[&str]) -> Self {
        Self::with(modules, self.core.settings.clone(), self.store)
    }

    fn collect(&mut self) {
        self.active.extend(self.core.take_starts());
        self.notices.extend(self.core.take_notices());
    }

    /// Commits whatever is to be committed; true if the store took it.
    fn commit(&mut self) -> bool {
        let mut well = true;
        let mut again = None;
        while let Some(writes) = again.take().or_else(|| Some(self.core.take_batch(self.now)?.1)) {
            match futures_util::FutureExt::now_or_never(self.store.commit(writes)).unwrap() {
                Ok(()) => self.core.committed(Duration::from_millis(1), self.now),
                Err(StoreError { kind: StoreErrorKind::Refused { write }, message }) => {
                    well = false;
                    again = self.core.commit_refused(write, &message, self.now).ok();
                }
                Err(error) => {
                    well = false;
                    self.core.commit_failed(&error.message, self.now);
                }
            }
        }
        self.collect();
        well
    }

    fn accept(&mut self, task: &str, status: &str) {
        let source = self.source.clone();
        let event = TaskEvent { source, ..event(task, status, self.now.mono.as_millis() as i64) };
        self.core.accept(vec![event], self.now).unwrap();
        self.commit();
    }

    fn preset(&mut self, module: &str, app: &str, status: &str) {
        let slot = self.core.slot_of(module).unwrap();
        self.core.put_preset(slot, preset(module, app, status), self.now).unwrap();
        self.commit();
    }

    fn advance(&mut self, by: Duration) {
        self.now.mono += by;
        self.now.wall = Timestamp::from_millis(self.now.wall.as_millis() + by.as_millis() as i64);
        self.core.tick(self.now);
        self.collect();
        self.commit();
    }

    /// Ends the oldest active run.
    fn end(&mut self, end: RunEnd) -> Start {
        let start = self.active.remove(0);
        self.core.run_ended(start.key, end, self.now);
        self.collect();
        self.commit();
        start
    }

    /// Ends it well, putting the task into the inventory, or removing it.
    fn finish(&mut self) -> String {
        let task = self.active[0].event.task_key().to_string();
        let edit = match self.active[0].event.status {
            TaskStatus::Running => InventoryEdit::Put(json!("here")),
            _ => InventoryEdit::Remove,
        };
        self.end(RunEnd::Outcome(Outcome::Finished, BTreeMap::from([(task.as_str().into(), edit)])));
        task
    }

    fn fail(&mut self) {
        self.end(RunEnd::Outcome(Failure::transient("no").into(), BTreeMap::new()));
    }

    fn running(&self) -> Vec<String> {
        self.active.iter().map(|start| start.event.display_id()).collect()
    }

    fn inventory(&self, module: &str) -> Vec<String> {
        let slot = self.core.slot_of(module).unwrap();
        self.core.inventory(slot).all().iter().map(|item| item.key.to_string()).collect()
    }

    fn ended(&self, module: &str) -> Vec<StateName> {
        let of_module = |notice: &Notice| match notice {
            Notice::Ended { module: name, state, .. } if name.as_str() == module => Some(*state),
            _ => None,
        };
        self.notices.iter().filter_map(of_module).collect()
    }

    fn sync(&mut self, module: &str, running: &[&str]) {
        let slot = self.core.slot_of(module).unwrap();
        self.core.begin_sync(slot);
        self.listed(module, running);
    }

    fn listed(&mut self, module: &str, running: &[&str]) {
        let slot = self.core.slot_of(module).unwrap();
        let tasks: Vec<RunningTask> = running
            .iter()
            .map(|id| RunningTask {
                source: self.source.clone(),
                id: TaskId::new(id).unwrap(),
                app: AppId::parse("/a").unwrap(),
                host: Some("h".into()),
                ports: vec![1],
            })
            .collect();
        let running = RunningList {
            tasks,
            complete: self.complete.then_some(self.source.clone()).into_iter().collect(),
            unread: 0,
        };
        let difference = self.core.finish_sync(slot, &running, self.asked_for, self.now);
        self.core.add_cleanup(slot, difference.as_cleanup_tasks(), self.now);
        self.collect();
        self.commit();
    }
}

fn event(task: &str, status: &str, at: i64) -> TaskEvent {
    TaskEvent {
        source: None,
        task: TaskId::new(task).unwrap(),
        status: TaskStatus::parse(status),
        app: AppId::parse("/a").unwrap(),
        host: Some("h".into()),
        ports: vec![1],
        event_type: Some("status_update_event".into()),
        timestamp: Some(EventTimestamp::Millis(at)),
    }
}

fn preset(module: &str, app: &str, status: &str) -> Preset {
    Preset {
        app: AppId::parse(app).unwrap(),
        module: ModuleName::new(module).unwrap(),
        status: status.into(),
        options: json!({}),
        last_edit: None,
        extra: Map::new(),
    }
}

fn full_disk() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "no space left on device")
}
