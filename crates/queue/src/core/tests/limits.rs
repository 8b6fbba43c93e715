//! Records that are too large for the store: seen before they are made where possible, left out where not.

use super::*;

const LIMIT: usize = 3_000;

fn limited() -> Harness {
    let mut h = Harness::with(&["Test"], Settings::default(), MemoryStore::with_record_limit(LIMIT));
    h.core.limit_records(h.store.record_limit());
    h.preset("Test", "/a", "enabled");
    h
}

/// The store has a limit and does not tell.
fn unsuspecting() -> Harness {
    let mut h = Harness::with(&["Test"], Settings::default(), MemoryStore::with_record_limit(LIMIT));
    h.preset("Test", "/a", "enabled");
    h
}

fn put(edits: &[(&str, usize)]) -> RunEnd {
    let edits = edits.iter().map(|(key, size)| ((*key).into(), InventoryEdit::Put(json!("x".repeat(*size)))));
    RunEnd::Outcome(Outcome::Finished, edits.collect())
}

fn large_event(at: i64) -> TaskEvent {
    TaskEvent { host: Some("x".repeat(2 * LIMIT).into()), ..event("large", "TASK_RUNNING", at) }
}

fn refused(h: &Harness) -> Vec<&str> {
    fn what(notice: &Notice) -> Option<&str> {
        match notice {
            Notice::WriteRefused { what, .. } => Some(what),
            _ => None,
        }
    }
    h.notices.iter().filter_map(what).collect()
}

#[test]
fn what_is_too_large_is_refused_alone_and_before_anything_changes() {
    let mut h = limited();
    let refused_event = h.core.accept(vec![event("t", "TASK_RUNNING", 1), large_event(2)], h.now);
    assert!(
        matches!(refused_event, Err(Refused::TooLarge { size: 6_000.., limit: 1_000 })),
        "{refused_event:?}"
    );
    let options = json!("x".repeat(LIMIT));
    let large = Preset { options, ..preset("Test", "/a", "disabled") };
    let refused_preset = h.core.put_preset(0, large, h.now).map(|request| request.change);
    assert!(matches!(refused_preset, Err(Refused::TooLarge { limit: LIMIT, .. })), "{refused_preset:?}");
    assert!(h.core.is_flushed(), "nothing is to be written");
    assert!(h.core.presets(0)[0].is_enabled());
    h.accept("t", "TASK_RUNNING");
    h.finish();
    assert_eq!(h.inventory("Test"), ["t"]);
    assert!(refused(&h).is_empty());
}

#[test]
fn a_run_that_wants_to_keep_too_much_fails_for_good_and_changes_nothing() {
    let mut h = limited();
    h.accept("t", "TASK_RUNNING");
    h.end(put(&[("a", 10), ("large", LIMIT)]));
    assert_eq!(h.ended("Test"), [StateName::Failed]);
    assert!(h.inventory("Test").is_empty());
    let stored = h.store.contents();
    assert_eq!((stored.items.len(), stored.journal.len()), (0, 0));
    let reason = &stored.dead_letters[0].reason;
    assert!(reason.starts_with("inventory item \"large\" of module Test would have 3"), "{reason}");
    assert!(refused(&h).is_empty());
}

#[test]
fn a_reason_is_cut_to_what_can_be_kept() {
    let fail = |h: &mut Harness| {
        h.accept("t", "TASK_RUNNING");
        h.end(RunEnd::Outcome(Failure::permanent("ä\n".repeat(100_000)).into(), BTreeMap::new()));
        h.store.contents().dead_letters[0].reason.clone()
    };
    let mut h = limited();
    let reason = fail(&mut h);
    assert!((100..LIMIT).contains(&reason.len()) && reason.starts_with("ä\nä"), "{}", reason.len());
    assert!(refused(&h).is_empty());
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    let reason = fail(&mut h);
    assert!(reason.ends_with("... (283617 bytes more)"), "{}", &reason[reason.len() - 50..]);
    // What the log and the lists show is no longer either.
    assert!(h.notices.iter().all(|notice| format!("{notice:?}").len() < 40_000));
}

#[test]
fn a_result_that_the_store_never_takes_is_left_out_and_the_rest_goes_on() {
    let mut h = unsuspecting();
    h.accept("t", "TASK_RUNNING");
    h.end(put(&[("a", 10), ("large", LIMIT), ("z", 10)]));
    assert_eq!(refused(&h), ["inventory item \"large\" of module Test"]);
    let stored = h.store.contents();
    let keys: Vec<_> = stored.items.iter().map(|(_, item)| &*item.key).collect();
    assert_eq!((keys, stored.journal.len()), (vec!["a", "z"], 0));
    assert_eq!(h.inventory("Test"), ["a", "large", "z"], "this node knows it");
    assert!(h.core.stats().store_ok);
    h.accept("u", "TASK_RUNNING");
    assert_eq!(h.finish(), "u");
}

#[test]
fn a_request_that_the_store_never_takes_is_answered_and_holds_nobody_up() {
    let mut h = unsuspecting();
    h.accept("t", "TASK_RUNNING");
    // A result and two requests share a batch.
    let start = h.active.remove(0);
    h.core.run_ended(start.key, put(&[("a", 10)]), h.now);
    h.core.accept(vec![event("u", "TASK_RUNNING", 7)], h.now).unwrap();
    h.core.accept(vec![large_event(8)], h.now).unwrap();
    assert!(!h.commit());
    assert_eq!(refused(&h), ["event large_TASK_RUNNING at place 2"]);
    let stored = h.store.contents();
    assert_eq!(
        (stored.items.len(), stored.journal.len()),
        (1, 0),
        "the result is kept, both requests are not"
    );
    assert_eq!(h.core.stats().refused_store, 2);
    // At once, and the one that suffered with it is no duplicate.
    h.core.accept(vec![event("u", "TASK_RUNNING", 7)], h.now).unwrap();
    assert!(h.commit());
    assert_eq!(h.running(), ["u_TASK_RUNNING"]);
}

#[test]
fn a_store_that_refuses_what_is_not_there_is_left_alone_for_a_while() {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h.core.accept(vec![event("t", "TASK_RUNNING", 1)], h.now).unwrap();
    h.core.take_batch(h.now).unwrap();
    assert!(h.core.commit_refused(7, "?", h.now).is_err());
    assert_eq!(h.core.accept(vec![event("t", "TASK_RUNNING", 1)], h.now), Err(Refused::Store));
}
