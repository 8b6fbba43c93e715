//! Comparing with what runs, and the clean-up that follows.

use super::*;

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
    for task in ["t1", "t2", "t3", "t4", "t5", "t6"] {
        h.accept(task, "TASK_RUNNING");
        h.finish();
    }
    h.sync("Test", &["t6"]);
    assert!(h.active.is_empty());
    assert!(h.notices.iter().any(|n| matches!(n, Notice::SyncHeld { wrong: 5, of: 6, .. })));
    h.sync("Test", &["t5", "t6"]);
    assert!(h.active.is_empty(), "twice within a moment is no agreement");
    h.advance(Duration::from_secs(30));
    h.sync("Test", &["t5", "t6"]);
    while !h.active.is_empty() {
        h.finish();
    }
    assert_eq!(h.inventory("Test"), ["t5", "t6"], "those that both saw");
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
fn somebody_who_asks_again_need_not_wait() {
    let settings = Settings { sync_guard_items: 0, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.finish();
    h.sync("Test", &[]);
    assert!(h.active.is_empty());
    h.asked_for = true;
    h.sync("Test", &[]);
    h.finish();
    assert!(h.inventory("Test").is_empty());
}
