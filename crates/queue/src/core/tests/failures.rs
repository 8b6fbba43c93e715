//! Runs that fail, a store that refuses, limits that are reached.

use super::*;

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
fn taking_a_batch_back_does_not_undo_what_was_asked_for_since() {
    let mut h = Harness::new(&["Test"]);
    h.store.refuse(Some(full_disk()));
    h.core.put_preset(0, preset("Test", "/a", "enabled"), h.now).unwrap();
    h.commit();
    h.store.refuse(None);
    // The pause is over, and the second attempt is asked for before the store is tried again.
    h.now.mono += Duration::from_secs(6);
    h.core.put_preset(0, preset("Test", "/a", "enabled"), h.now).unwrap();
    assert!(h.commit());
    assert_eq!(h.store.contents().presets.len(), 1);
    assert_eq!(h.core.presets(0).len(), 1);
    assert!(h.notices.iter().any(|notice| matches!(notice, Notice::PresetTakenBack { .. })));
}

#[test]
fn a_retry_does_not_overtake_a_later_event_that_waits() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.end(RunEnd::Outcome(Failure::permanent("no").into(), BTreeMap::new()));
    h.core.pause(0);
    h.accept("t", "TASK_KILLED");
    let seq = h.store.contents().dead_letters[0].seq;
    assert!(h.core.retry_dead_letter(0, seq, false, h.now).is_err());
    assert!(h.core.retry_dead_letter(0, seq, true, h.now).is_ok(), "unless it is forced");
}

#[test]
fn a_retry_that_comes_to_nothing_keeps_the_dead_letter() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.end(RunEnd::Outcome(Failure::permanent("no").into(), BTreeMap::new()));
    h.preset("Test", "/a", "disabled");
    let seq = h.store.contents().dead_letters[0].seq;
    h.core.retry_dead_letter(0, seq, false, h.now).unwrap();
    h.collect();
    h.commit();
    assert_eq!(h.store.contents().dead_letters.len(), 1);
    h.preset("Test", "/a", "enabled");
    h.core.retry_dead_letter(0, seq, false, h.now).unwrap();
    h.collect();
    h.finish();
    assert!(h.store.contents().dead_letters.is_empty());
}

#[test]
fn a_journal_that_fills_up_is_announced_once() {
    let settings = Settings { journal_limit: 10, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    h.core.pause(0);
    for at in 0..13 {
        let accepted = h.core.accept(vec![event("t", "TASK_RUNNING", at)], h.now);
        assert_eq!(accepted.is_ok(), at < 10);
    }
    h.collect();
    let said: Vec<_> =
        h.notices.iter().filter(|n| matches!(n, Notice::Filling { .. } | Notice::Full { .. })).collect();
    assert_eq!(said, [&Notice::Filling { waiting: 8, limit: 10 }, &Notice::Full { limit: 10 }]);
}

#[test]
fn nothing_is_started_at_the_end() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.accept("u", "TASK_RUNNING");
    h.core.start_no_more();
    h.finish();
    assert!(h.active.is_empty());
    assert_eq!(h.store.contents().journal.len(), 1, "what has ended is written");
}
