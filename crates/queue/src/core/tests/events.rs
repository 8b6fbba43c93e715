//! Events on their way: durable, in order, known when they come again.

use super::*;

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

#[test]
fn events_of_a_module_that_is_left_out_at_one_start_wait_for_it() {
    let mut h = Harness::new(&["One", "Two"]);
    h.preset("One", "/a", "enabled");
    h.preset("Two", "/a", "enabled");
    h.accept("t", "TASK_RUNNING");
    let mut h = h.restart(&[]);
    h.commit();
    assert_eq!(h.store.contents().journal.len(), 1, "nobody is loaded: it stays");
    let mut h = h.restart(&["One"]);
    let waits = Notice::OwedElsewhere { module: ModuleName::new("Two").unwrap(), events: 1 };
    assert!(h.notices.contains(&waits), "{:?}", h.notices);
    h.finish();
    assert_eq!(h.store.contents().journal.len(), 1, "One is through, Two has not seen it");
    let mut h = h.restart(&["Two", "New"]);
    assert_eq!(h.active.len(), 1, "it is owed to neither One nor New");
    assert_eq!(h.finish(), "t");
    assert!(h.store.contents().journal.is_empty() && h.store.contents().through.is_empty());
}

#[test]
fn a_duplicate_is_known_however_many_events_wait() {
    let settings = Settings { remembered_ids: 2, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    h.core.pause(0);
    for at in 0..10 {
        h.core.accept(vec![event("t", "TASK_RUNNING", at)], h.now).unwrap();
    }
    h.commit();
    assert_eq!(h.core.accept(vec![event("t", "TASK_RUNNING", 0)], h.now), Ok(None));
    assert_eq!(h.core.journal.len(), 10);
}
