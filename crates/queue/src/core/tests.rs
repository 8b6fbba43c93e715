//! The queue's rules, driven step by step. Time is a number that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, EventTimestamp, ModuleName, Preset, TaskEvent, TaskId, TaskStatus, Timestamp};
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
        let mut harness = Self { core, store, now, active: Vec::new(), notices: Vec::new(), complete: true };
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
        while let Some((_, writes)) = self.core.take_batch(self.now) {
            match futures_util::FutureExt::now_or_never(self.store.commit(writes)).unwrap() {
                Ok(()) => self.core.committed(Duration::from_millis(1), self.now),
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
        self.core.accept(vec![event(task, status, self.now.mono.as_millis() as i64)], self.now).unwrap();
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
        let task = self.active[0].event.task.to_string();
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
                id: TaskId::new(id).unwrap(),
                app: AppId::parse("/a").unwrap(),
                host: Some("h".into()),
                ports: vec![1],
            })
            .collect();
        let running = RunningList { tasks, complete: self.complete };
        let difference = self.core.finish_sync(slot, &running);
        self.core.add_cleanup(slot, difference.as_cleanup_tasks(), self.now);
        self.collect();
        self.commit();
    }
}

fn event(task: &str, status: &str, at: i64) -> TaskEvent {
    TaskEvent {
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

#[test]
fn an_event_runs_only_when_it_is_durable() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    let batch = h.core.accept(vec![event("t", "TASK_RUNNING", 1)], h.now).unwrap();
    h.collect();
    assert!(batch.is_some() && h.active.is_empty(), "accepted, not durable yet");
    h.commit();
    assert_eq!(h.running(), ["t_TASK_RUNNING"]);
    assert_eq!(h.store.contents().journal.len(), 1);
    h.finish();
    assert_eq!(h.store.contents().journal.len(), 0, "leaves the journal with its last module");
    assert_eq!(h.store.contents().items.len(), 1, "in the same store as its inventory item");
    assert_eq!(h.inventory("Test"), ["t"]);
}

#[test]
fn modules_do_not_wait_for_each_other_and_a_restart_repeats_only_what_is_open() {
    let mut h = Harness::new(&["Fast", "Slow"]);
    h.preset("Fast", "/a", "enabled");
    h.preset("Slow", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    assert_eq!(h.active.len(), 2);
    h.finish();
    assert_eq!(h.core.queue(h.now)[0].modules[0].state, StateName::Finished);
    assert_eq!(h.core.queue(h.now)[0].modules[1].state, StateName::Started);
    let mut h = h.restart(&["Fast", "Slow"]);
    assert_eq!(h.active.len(), 1, "Fast is through");
    assert_eq!(h.active[0].key.slot, 1);
    h.finish();
    assert!(h.store.contents().journal.is_empty() && h.store.contents().through.is_empty());
}

#[test]
fn without_modules_events_are_accepted_and_forgotten() {
    let mut h = Harness::new(&[]);
    h.accept("t", "TASK_RUNNING");
    assert!(h.core.queue(h.now).is_empty());
    assert!(h.store.contents().journal.is_empty());
}

#[test]
fn events_without_enabled_preset_end_at_once() {
    let mut h = Harness::new(&["Test"]);
    h.accept("t", "TASK_RUNNING");
    h.preset("Test", "/a", "disabled");
    h.accept("u", "TASK_RUNNING");
    assert_eq!(h.ended("Test"), [StateName::NoPreset, StateName::NoPreset]);
    let reasons: Vec<_> = h
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Ended { reason: Some(reason), .. } => Some(&**reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["Preset could not be found for app \"/a\"", "Preset is not enabled for app \"/a\""]);
    assert!(h.active.is_empty() && h.store.contents().journal.is_empty());
}

#[test]
fn a_preset_applies_to_exactly_its_app() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a/b", "enabled");
    h.accept("t", "TASK_RUNNING");
    assert!(h.active.is_empty(), "/a has none");
}

#[test]
fn the_second_delivery_of_an_event_is_known() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    let first = event("t", "TASK_RUNNING", 1);
    let batch = h.core.accept(vec![first.clone()], h.now).unwrap();
    assert_eq!(h.core.accept(vec![first.clone()], h.now), Ok(batch), "answered with the first one");
    h.commit();
    assert_eq!(h.active.len(), 1);
    assert_eq!(h.core.accept(vec![first.clone()], h.now), Ok(None), "durable already");
    h.finish();
    assert_eq!(h.core.accept(vec![first.clone()], h.now), Ok(None), "done already");
    assert_eq!(h.core.stats().duplicates, 3);
    // Mesos repeats states with a new timestamp: a new event, which must do no harm.
    h.core.accept(vec![event("t", "TASK_RUNNING", 2)], h.now).unwrap();
    h.commit();
    assert_eq!(h.active.len(), 1);
}

#[test]
fn a_duplicate_survives_a_restart_as_long_as_its_twin_is_open() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.core.accept(vec![event("t", "TASK_RUNNING", 1)], h.now).unwrap();
    h.commit();
    let mut h = h.restart(&["Test"]);
    assert_eq!(h.core.accept(vec![event("t", "TASK_RUNNING", 1)], h.now), Ok(None));
}

#[test]
fn failed_runs_are_retried_and_then_kept() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    let id = h.active[0].event_id.clone();
    for attempt in 1..=4 {
        assert_eq!((h.active.len(), h.active[0].attempt), (1, attempt));
        assert_eq!(h.active[0].event_id, id, "the same idempotency key");
        h.fail();
        assert!(h.active.is_empty(), "waits before it tries again");
        h.advance(Duration::from_secs(60));
    }
    assert_eq!(h.ended("Test"), [StateName::Failed]);
    let stored = h.store.contents();
    assert!(stored.journal.is_empty(), "kept as a dead letter instead");
    assert_eq!((stored.dead_letters.len(), stored.dead_letters[0].attempts), (1, 4));
    assert_eq!(&*stored.dead_letters[0].reason, "no");

    let seq = stored.dead_letters[0].seq;
    h.core.retry_dead_letter(0, seq, false, h.now).unwrap();
    h.collect();
    assert!(h.core.retry_dead_letter(0, seq, false, h.now).is_err(), "one retry at a time");
    assert!(h.core.drop_dead_letter(0, seq).is_err(), "not while it is retried");
    h.finish();
    assert!(h.store.contents().dead_letters.is_empty());
    assert_eq!(h.inventory("Test"), ["t"]);
}

#[test]
fn what_can_not_get_better_is_not_retried() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.end(RunEnd::Outcome(Failure::permanent("no options.actions").into(), BTreeMap::new()));
    assert_eq!(h.store.contents().dead_letters.len(), 1);
    h.core.drop_dead_letter(0, h.store.contents().dead_letters[0].seq).unwrap();
    h.commit();
    assert!(h.store.contents().dead_letters.is_empty());
}

#[test]
fn a_dead_letter_does_not_turn_back_time() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.end(RunEnd::Outcome(Failure::permanent("no").into(), BTreeMap::new()));
    h.advance(Duration::from_secs(1));
    h.accept("t", "TASK_KILLED");
    h.finish();
    let letter = h.store.contents().dead_letters[0].clone();
    assert!(letter.superseded);
    assert!(h.core.retry_dead_letter(0, letter.seq, false, h.now).is_err());
    assert!(h.core.retry_dead_letter(0, letter.seq, true, h.now).is_ok(), "unless it is forced");
}

#[test]
fn the_oldest_dead_letter_makes_room() {
    let settings = Settings { dead_letter_limit: 2, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    for task in ["t1", "t2", "t3"] {
        h.accept(task, "TASK_RUNNING");
        h.end(RunEnd::Outcome(Failure::permanent("no").into(), BTreeMap::new()));
    }
    let tasks: Vec<_> = h.store.contents().dead_letters.iter().map(|l| l.event.task.to_string()).collect();
    assert_eq!(tasks, ["t2", "t3"]);
}

#[test]
fn a_later_event_of_the_task_waits_for_the_retry() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.accept("t", "TASK_KILLED");
    h.accept("u", "TASK_RUNNING");
    h.fail();
    assert_eq!(h.running(), ["u_TASK_RUNNING"], "another task is not held up");
    h.finish();
    assert!(h.active.is_empty());
    h.advance(Duration::from_secs(1));
    assert_eq!(h.finish(), "t");
    assert_eq!(h.running(), ["t_TASK_KILLED"]);
    h.finish();
    assert_eq!(h.inventory("Test"), ["u"]);
}

#[test]
fn timeouts_and_panics_fail_a_run_and_drop_its_edits() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    let first = h.end(RunEnd::TimedOut);
    h.advance(Duration::from_secs(60));
    h.end(RunEnd::Panicked("boom".to_owned()));
    assert_eq!(h.core.stats().modules[0].timeouts, 1);
    // An end that comes late, of an attempt that has been given up, changes nothing.
    h.core.run_ended(first.key, RunEnd::Outcome(Outcome::Finished, BTreeMap::new()), h.now);
    assert_eq!(h.core.stats().modules[0].finished, 0);
    let lane = h.core.lane(0, h.now);
    assert_eq!(lane[0].error.as_deref(), Some("the module panicked: boom"));
    assert_eq!((lane[0].state, lane[0].attempts), (StateName::Idle, 2));
}

#[test]
fn undefined_status_is_an_end() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_STAGING");
    h.end(RunEnd::Outcome(Outcome::UndefinedStatus, BTreeMap::new()));
    h.accept("t", "TASK_FANCY");
    h.end(RunEnd::Outcome(Outcome::UndefinedStatus, BTreeMap::new()));
    assert!(h.core.lane(0, h.now).is_empty() && h.core.queue(h.now).is_empty());
    let unknown = h.notices.iter().filter(|n| matches!(n, Notice::UnknownStatus { .. })).count();
    assert_eq!(unknown, 1, "TASK_STAGING is expected, TASK_FANCY is not");
}

#[test]
fn a_pause_holds_at_once_and_one_resume_ends_it() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.accept("u", "TASK_RUNNING");
    h.core.pause(0);
    h.core.pause(0);
    assert!(h.core.is_paused(0));
    h.finish();
    assert!(h.active.is_empty(), "the active run ended, no further one starts");
    h.accept("v", "TASK_RUNNING");
    h.sync("Test", &["t", "u", "v"]);
    assert!(h.active.is_empty() && h.core.is_paused(0), "a sync leaves an operator's pause alone");
    h.core.resume(0, h.now);
    h.collect();
    assert_eq!(h.running(), ["u_TASK_RUNNING"]);
}

#[test]
fn the_oldest_event_leaves_the_list_after_the_queue_timeout() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.accept("u", "TASK_RUNNING");
    h.advance(Duration::ZERO);
    h.advance(Duration::from_secs(600));
    assert!(h.notices.contains(&Notice::QueueTimeout { id: "t_TASK_RUNNING".into() }));
    assert_eq!(h.core.queue(h.now).len(), 1);
    h.finish();
    assert_eq!(h.inventory("Test"), ["t"], "accepted events are handled all the same");
    assert_eq!(h.store.contents().journal.len(), 1);
}

#[test]
fn too_many_events_are_refused_whole() {
    let settings = Settings { journal_limit: 2, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    let three = (0..3).map(|n| event("t", "TASK_RUNNING", n)).collect();
    assert_eq!(h.core.accept(three, h.now), Err(Refused::Full));
    h.accept("t", "TASK_RUNNING");
    h.advance(Duration::from_secs(1));
    h.accept("t", "TASK_RUNNING");
    assert_eq!(h.core.accept(vec![event("u", "TASK_RUNNING", 9)], h.now), Err(Refused::Full));
    h.finish();
    assert!(h.core.accept(vec![event("u", "TASK_RUNNING", 9)], h.now).is_ok());
}

#[test]
fn a_full_disk_refuses_requests_and_loses_nothing() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.store.refuse(Some(full_disk()));
    h.core.accept(vec![event("lost", "TASK_RUNNING", 5)], h.now).unwrap();
    h.core.put_preset(0, preset("Test", "/b", "enabled"), h.now).unwrap();
    h.core.put_preset(0, preset("Test", "/a", "disabled"), h.now).unwrap();
    assert!(!h.commit(), "the batch fails");
    let presets: Vec<_> = h.core.presets(0).iter().map(|p| format!("{} {}", p.app, p.status)).collect();
    assert_eq!(presets, ["/a enabled"], "changes are taken back");
    assert_eq!(h.core.accept(vec![event("x", "TASK_RUNNING", 6)], h.now), Err(Refused::Store));
    h.finish();
    assert_eq!(h.inventory("Test"), ["t"], "work goes on");
    assert!(!h.core.is_flushed() && !h.core.stats().store_ok);

    h.store.refuse(None);
    h.advance(Duration::from_secs(6));
    assert!(h.core.is_flushed() && h.core.stats().store_ok);
    assert_eq!(h.store.contents().items.len(), 1, "what has happened is written when it can be");
    assert!(h.store.contents().journal.is_empty());
    // The sender, who got an error, sends again: not taken for a duplicate.
    h.core.accept(vec![event("lost", "TASK_RUNNING", 5)], h.now).unwrap();
    h.commit();
    assert_eq!(h.running(), ["lost_TASK_RUNNING"]);
}

#[test]
fn a_sync_adds_what_is_missing_and_removes_what_is_wrong() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("gone", "TASK_RUNNING");
    h.finish();
    h.sync("Test", &["new1", "new2"]);
    let mut done = Vec::new();
    while !h.active.is_empty() {
        assert!(h.active[0].cleanup);
        done.push(h.running()[0].clone());
        h.finish();
    }
    assert_eq!(done, ["new1_TASK_RUNNING", "new2_TASK_RUNNING", "gone_TASK_KILLED"]);
    assert_eq!(h.inventory("Test"), ["new1", "new2"]);
    assert!(h.core.queue(h.now).is_empty(), "clean-up is never in the main queue");
    h.sync("Test", &["new1", "new2"]);
    assert!(h.active.is_empty(), "in sync");
}

#[test]
fn a_sync_leaves_alone_what_is_under_way() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("active", "TASK_RUNNING");
    h.accept("waiting", "TASK_RUNNING");
    h.core.accept(vec![event("undecided", "TASK_RUNNING", 1)], h.now).unwrap();
    h.core.begin_sync(0);
    // Ends while the list is on its way; the list may be older.
    h.active.truncate(1);
    h.finish();
    h.listed("Test", &["waiting", "undecided"]);
    assert!(h.active.iter().all(|start| !start.cleanup), "{:?}", h.running());
}

#[test]
fn a_sync_touches_only_apps_with_an_enabled_preset() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.finish();
    h.preset("Test", "/a", "disabled");
    h.sync("Test", &["u"]);
    assert!(h.active.is_empty());
    assert_eq!(h.inventory("Test"), ["t"]);
}

#[test]
fn a_list_with_holes_removes_nothing() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.finish();
    h.complete = false;
    h.sync("Test", &["u"]);
    assert_eq!(h.running(), ["u_TASK_RUNNING"], "it still adds");
    h.finish();
    assert_eq!(h.inventory("Test"), ["t", "u"]);
}

#[test]
fn a_sync_that_would_remove_much_waits_for_a_second_one() {
    let settings = Settings { sync_guard_items: 2, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    for task in ["t1", "t2", "t3", "t4"] {
        h.accept(task, "TASK_RUNNING");
        h.finish();
    }
    h.sync("Test", &["t4"]);
    assert!(h.active.is_empty());
    assert!(h.notices.iter().any(|n| matches!(n, Notice::SyncHeld { wrong: 3, of: 4, .. })));
    h.sync("Test", &["t3", "t4"]);
    while !h.active.is_empty() {
        h.finish();
    }
    assert_eq!(h.inventory("Test"), ["t3", "t4"], "both syncs agreed on two");
}

#[test]
fn five_hundred_removals_are_never_held_by_default() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    let events = (0..500).map(|n| event(&format!("t{n}"), "TASK_RUNNING", n)).collect();
    h.core.accept(events, h.now).unwrap();
    h.commit();
    while !h.active.is_empty() {
        h.finish();
    }
    h.sync("Test", &[]);
    while !h.active.is_empty() {
        h.finish();
    }
    assert!(h.inventory("Test").is_empty());
}

#[test]
fn cleanup_goes_in_front_of_waiting_events() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.core.pause(0);
    h.accept("event", "TASK_RUNNING");
    h.sync("Test", &["missing"]);
    h.core.resume(0, h.now);
    h.collect();
    assert_eq!(h.running(), ["missing_TASK_RUNNING"]);
    assert!(h.core.lane(0, h.now)[0].cleanup);
}

#[test]
fn records_of_modules_that_are_not_loaded_stay_in_the_store() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.finish();
    let mut h = h.restart(&["Other"]);
    h.accept("u", "TASK_RUNNING");
    let h = h.restart(&["Test"]);
    assert_eq!(h.inventory("Test"), ["t"]);
    assert!(h.core.presets(0)[0].is_enabled());
}

proptest! {
    /// Whatever fails and whenever the process dies: every event that was acknowledged has been handled or is still
    /// there, in order per task, and the store agrees with memory after each commit.
    #[test]
    fn nothing_acknowledged_is_lost(steps in prop::collection::vec((0_u8..8, 0_u8..3), 1..120)) {
        let settings = Settings { retries: 1, ..Settings::default() };
        let mut h = Harness::with(&["One", "Two"], settings, MemoryStore::new());
        h.preset("One", "/a", "enabled");
        h.preset("Two", "/a", "enabled");
        let mut acknowledged: Vec<TaskEvent> = Vec::new();
        let mut ordered: BTreeMap<(usize, String), Vec<i64>> = BTreeMap::new();
        let mut handled: BTreeSet<(usize, String)> = BTreeSet::new();
        let mut at = 0;
        for (step, pick) in steps {
            match step {
                0 | 1 => {
                    at += 1;
                    let event = event(&format!("t{pick}"), "TASK_RUNNING", at);
                    let accepted = h.core.accept(vec![event.clone()], h.now).is_ok();
                    if h.commit() && accepted {
                        acknowledged.push(event);
                    }
                }
                2 | 3 if !h.active.is_empty() => {
                    let start = h.active[usize::from(pick) % h.active.len()].clone();
                    h.active.retain(|other| other.key != start.key);
                    let Some(EventTimestamp::Millis(at)) = start.event.timestamp else { unreachable!() };
                    let key = (start.key.slot, start.event.task.to_string());
                    let before = ordered.entry(key).or_default();
                    prop_assert!(before.last().is_none_or(|last| *last <= at), "order per task");
                    before.push(at);
                    handled.insert((start.key.slot, start.event_id.to_string()));
                    h.core.run_ended(start.key, RunEnd::Outcome(Outcome::Finished, BTreeMap::new()), h.now);
                    h.collect();
                    h.commit();
                }
                4 if !h.active.is_empty() => h.fail(),
                5 => h.store.refuse((pick == 0).then(full_disk)),
                6 => h.advance(Duration::from_secs(61)),
                7 if pick == 0 => {
                    h = h.restart(&["One", "Two"]);
                    h.store.refuse(None);
                    // What is repeated after a crash may be older than what was done before it.
                    ordered.clear();
                }
                _ => {}
            }
        }
        // Let everything end.
        h.store.refuse(None);
        for _ in 0..1_000 {
            h.advance(Duration::from_secs(61));
            let Some(start) = h.active.first().cloned() else { break };
            handled.insert((start.key.slot, start.event_id.to_string()));
            h.finish();
        }
        prop_assert!(h.core.is_flushed() && h.core.journal.len() == 0);
        let stored = h.store.contents();
        prop_assert!(stored.journal.is_empty() && stored.through.is_empty());
        let ended: usize = h.core.stats().modules.iter().map(|m| m.active + m.waiting).sum();
        prop_assert_eq!(ended, 0);
        let dead: BTreeSet<_> = stored
            .dead_letters
            .iter()
            .map(|letter| (h.core.slot_of(letter.module.as_str()).unwrap(), letter.event_id.to_string()))
            .collect();
        for event in acknowledged {
            let id = event.key().unwrap().to_string();
            for slot in 0..2 {
                let key = (slot, id.clone());
                prop_assert!(handled.contains(&key) || dead.contains(&key), "{} was lost in {}", id, slot);
            }
        }
    }
}

#[test]
fn contents_are_taken_over_in_order() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    for task in ["a", "b", "c"] {
        h.accept(task, "TASK_RUNNING");
    }
    let mut h = h.restart(&["Test"]);
    h.accept("d", "TASK_RUNNING");
    let mut order = Vec::new();
    while !h.active.is_empty() {
        order.push(h.finish());
    }
    assert_eq!(order, ["a", "b", "c", "d"], "stored events before new ones");
    assert_eq!(h.store.contents(), Contents { journal: Vec::new(), ..h.store.contents() });
}

#[test]
fn presets_remember_their_last_edit() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    assert_eq!(h.core.presets(0)[0].last_edit, None);
    h.preset("Test", "/a", "enabled");
    assert_eq!(h.core.presets(0)[0].last_edit, Some(h.now.wall));
    assert_eq!(h.core.delete_preset(0, &AppId::parse("/nope").unwrap(), h.now), Ok(None));
    let batch = h.core.delete_preset(0, &AppId::parse("/a").unwrap(), h.now).unwrap();
    assert!(batch.is_some());
    h.commit();
    assert!(h.store.contents().presets.is_empty());
    let preset: Arc<Preset> = Arc::new(preset("Test", "/a", "enabled"));
    assert!(preset.is_enabled());
}
