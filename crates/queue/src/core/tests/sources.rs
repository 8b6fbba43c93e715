//! Several sources whose apps and tasks have the same ids.

use super::*;

/// Both run `t`; from then on things happen at `east`.
fn two() -> Harness {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    h.source = Some(SourceId::new("east").unwrap());
    h.accept("t", "TASK_RUNNING");
    h
}

#[test]
fn equal_tasks_of_two_sources_are_two_tasks() {
    let mut h = two();
    assert!(!h.notices.iter().any(|notice| matches!(notice, Notice::AlreadyDone { .. })));
    h.finish();
    h.finish();
    assert_eq!(h.inventory("Test"), ["t", "t@east"]);
    h.accept("t", "TASK_KILLED");
    h.finish();
    assert_eq!(h.inventory("Test"), ["t"]);
}

#[test]
fn the_same_event_of_the_same_source_is_one() {
    let mut h = two();
    h.accept("t", "TASK_RUNNING");
    assert!(h.notices.iter().any(|notice| matches!(notice, Notice::AlreadyDone { .. })));
}

#[test]
fn a_failed_task_holds_up_its_own_source_only() {
    let mut h = two();
    h.fail();
    assert_eq!(h.running(), ["t_TASK_RUNNING"], "that of the other source");
    assert_eq!(h.active[0].event.source, h.source);
}

#[test]
fn a_list_of_one_source_removes_nothing_of_another() {
    let mut h = two();
    h.finish();
    h.finish();
    h.sync("Test", &[]);
    assert_eq!(h.running(), ["t_TASK_KILLED"]);
    h.finish();
    assert_eq!(h.inventory("Test"), ["t"], "the other source gave no list");
    h.sync("Test", &["t"]);
    assert_eq!(h.running(), ["t_TASK_RUNNING"], "the one that is here is not this one");
}

#[test]
fn sources_survive_a_restart() {
    let mut h = two();
    h.finish();
    let mut h = h.restart(&["Test"]);
    let east = SourceId::new("east").unwrap();
    assert_eq!(h.active[0].event.source.as_ref(), Some(&east));
    h.finish();
    assert_eq!(h.inventory("Test"), ["t", "t@east"]);
}
