//! What a sync could not decide, and what the one before had accepted.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn enabled() -> Harness {
    let mut h = Harness::new(&["Test"]);
    h.preset("Test", "/a", "enabled");
    h
}

/// Sequence A: the leader dies with RUNNING in its lane, and the task dies while nobody leads. Nobody accepts that.
#[test]
fn a_task_that_died_while_nobody_led_leaves_the_inventory() {
    let mut h = enabled();
    h.accept("t", "TASK_RUNNING");
    h = h.restart(&["Test"]);
    h.sync("Test", &[]);
    assert!(h.core.take_follow_ups().is_empty(), "the event may still be followed by another");
    h.finish();
    assert_eq!(h.inventory("Test"), ["t"]);
    assert_eq!(h.core.take_follow_ups(), [0]);
    h.sync("Test", &[]);
    h.finish();
    assert!(h.inventory("Test").is_empty());
    assert!(h.core.take_follow_ups().is_empty());
}

#[test]
fn a_run_that_ends_while_the_list_is_on_its_way_is_looked_at_when_that_is_there() {
    let mut h = enabled();
    h.accept("t", "TASK_RUNNING");
    h.accept("u", "TASK_RUNNING");
    h = h.restart(&["Test"]);
    h.core.begin_sync(0);
    h.finish();
    h.finish();
    h.listed("Test", &["u"]);
    assert!(h.active.is_empty(), "the list may be older");
    assert_eq!(h.core.take_follow_ups(), [0]);
}

#[test]
fn what_agrees_in_the_end_needs_no_second_list() {
    let mut h = enabled();
    h.accept("came", "TASK_RUNNING");
    h.accept("went", "TASK_RUNNING");
    h.finish();
    h.finish();
    h.accept("went", "TASK_KILLED");
    h.accept("new", "TASK_RUNNING");
    h.sync("Test", &["came", "new"]);
    while !h.active.is_empty() {
        h.finish();
    }
    assert_eq!(h.inventory("Test"), ["came", "new"]);
    assert!(h.core.take_follow_ups().is_empty());
}

#[test]
fn an_event_that_is_newer_than_the_list_is_right() {
    let mut h = enabled();
    h.accept("before", "TASK_STAGING");
    h.accept("other", "TASK_STAGING");
    h.core.begin_sync(0);
    h.accept("before", "TASK_RUNNING");
    // Accepted, and not yet durable when the list comes.
    h.core.accept(vec![event("other", "TASK_RUNNING", 7)], h.now).unwrap();
    h.listed("Test", &[]);
    h.accept("after", "TASK_RUNNING");
    while !h.active.is_empty() {
        h.finish();
    }
    assert_eq!(h.inventory("Test"), ["after", "before", "other"]);
    assert!(h.core.take_follow_ups().is_empty(), "the list was older");
}

#[test]
fn a_failure_and_a_disabled_preset_are_no_reason() {
    let settings = Settings { retries: 0, ..Settings::default() };
    let mut h = Harness::with(&["Test"], settings, MemoryStore::new());
    h.preset("Test", "/a", "enabled");
    h.accept("fails", "TASK_RUNNING");
    h.sync("Test", &["fails"]);
    h.fail();
    assert!(h.core.take_follow_ups().is_empty());
    h.accept("t", "TASK_RUNNING");
    h.sync("Test", &["fails"]);
    h.preset("Test", "/a", "disabled");
    while !h.active.is_empty() {
        h.finish();
    }
    assert!(h.core.take_follow_ups().is_empty());
}

#[test]
fn a_list_with_holes_makes_no_doubt_of_what_is_absent() {
    let mut h = enabled();
    h.accept("t", "TASK_RUNNING");
    h.complete = false;
    h.sync("Test", &[]);
    h.finish();
    assert!(h.core.take_follow_ups().is_empty());
}

#[test]
fn a_second_sync_follows_the_start_when_what_was_found_is_done() {
    let mut h = enabled();
    assert_eq!(h.core.next_wake(), Some(10 * SECOND));
    h.advance(10 * SECOND);
    assert_eq!(h.core.take_follow_ups(), [0], "even if nothing was found");
    h.accept("t", "TASK_RUNNING");
    h.accept("u", "TASK_RUNNING");
    h = h.restart(&["Test"]);
    h.accept("own", "TASK_RUNNING");
    h.finish();
    h.advance(11 * SECOND);
    assert!(h.core.take_follow_ups().is_empty(), "one waits");
    assert!(!h.core.inherited.is_empty());
    h.finish();
    h.advance(Duration::ZERO);
    assert_eq!(h.core.take_follow_ups(), [0], "its own event does not hold it up");
    assert!(h.core.inherited.is_empty(), "nobody asks any more");
    h.advance(100 * SECOND);
    assert!(h.core.take_follow_ups().is_empty(), "once");
}

fn ids(events: &[TaskEvent]) -> Vec<String> {
    events.iter().map(TaskEvent::display_id).collect()
}

/// The next leader has heard all of these, and finds in the journal what the first has accepted and not done.
#[test]
fn what_the_one_before_has_accepted_is_not_offered_again() {
    let mut h = enabled();
    h.accept("done", "TASK_RUNNING");
    h.accept("open", "TASK_RUNNING");
    h.finish();
    h.now.mono += SECOND;
    h.accept("open", "TASK_KILLED");
    h.accept("other", "TASK_RUNNING");
    h = h.restart(&["Test"]);
    let heard = |task: &str, status: &str, at: i64| event(task, status, at);
    let events = vec![
        heard("open", "TASK_STAGING", 0),
        heard("open", "TASK_RUNNING", 0),
        heard("open", "TASK_KILLED", 1_000),
        heard("done", "TASK_RUNNING", 0),
        heard("other", "TASK_RUNNING", 1_000),
        heard("other", "TASK_FAILED", 2_000),
        heard("new", "TASK_RUNNING", 2_000),
    ];
    let unheard = h.core.unheard(events);
    // That the second one is done is not known any more; it runs again.
    assert_eq!(ids(&unheard), ["done_TASK_RUNNING", "other_TASK_FAILED", "new_TASK_RUNNING"]);
    h.core.accept(unheard, h.now).unwrap();
    h.commit();
    while !h.active.is_empty() {
        h.finish();
    }
    assert_eq!(h.inventory("Test"), ["done", "new"]);
}

/// This node's stream is slower: the journal knows an end that was not heard here.
#[test]
fn nothing_comes_back_to_life() {
    let mut h = enabled();
    h.accept("t", "TASK_KILLED");
    h.accept("lost", "TASK_LOST");
    h = h.restart(&["Test"]);
    let events = vec![event("t", "TASK_RUNNING", -1), event("lost", "TASK_RUNNING", 1)];
    assert_eq!(ids(&h.core.unheard(events)), ["lost_TASK_RUNNING"]);
}

/// A cluster, the truth about it, and a queue that hears of it.
struct World {
    h: Harness,
    running: BTreeSet<String>,
    started: usize,
    clock: i64,
    /// What Marathon said when it was asked.
    list: Option<Vec<String>>,
    /// What the other nodes have heard since the leader was last seen, in order.
    heard: Vec<TaskEvent>,
}

impl World {
    fn happen(&mut self, pick: usize) -> TaskEvent {
        self.clock += 1;
        let running: Vec<_> = self.running.iter().cloned().collect();
        if pick.is_multiple_of(2) || running.is_empty() {
            self.started += 1;
            let task = format!("t{:03}", self.started);
            self.running.insert(task.clone());
            event(&task, "TASK_RUNNING", self.clock)
        } else {
            let task = running[pick / 2 % running.len()].clone();
            self.running.remove(&task);
            event(&task, "TASK_KILLED", self.clock)
        }
    }

    fn accept(&mut self, events: Vec<TaskEvent>) {
        self.h.core.accept(events, self.h.now).unwrap();
        self.h.commit();
    }

    fn ask(&mut self) {
        if self.list.is_none() && self.h.core.begin_sync(0) {
            self.list = Some(self.running.iter().cloned().collect());
        }
    }

    fn answer(&mut self) {
        if let Some(list) = self.list.take() {
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            self.h.listed("Test", &list);
        }
    }

    /// What the shell does when it may.
    fn follow(&mut self) {
        if self.list.is_none() && !self.h.core.take_follow_ups().is_empty() {
            self.ask();
        }
    }

    fn settle(&mut self) {
        self.h.advance(10 * SECOND);
        for _ in 0..1_000 {
            self.answer();
            while !self.h.active.is_empty() {
                self.h.finish();
            }
            self.h.advance(Duration::ZERO);
            self.follow();
            if self.list.is_none() && self.h.active.is_empty() {
                return;
            }
        }
        panic!("one sync follows the other for ever");
    }
}

proptest! {
    /// Whatever happens while nobody accepts events, and whenever lists come: in the end the inventory is the truth,
    /// without any sync of its own time. `offers` tells whether the next leader offers what it has heard.
    #[test]
    fn in_the_end_the_inventory_is_the_truth(
        offers in any::<bool>(),
        steps in prop::collection::vec((0_u8..8, 0_usize..16), 1..150),
    ) {
        let mut w = World {
            h: enabled(), running: BTreeSet::new(), started: 0, clock: 0, list: None, heard: Vec::new(),
        };
        for (step, pick) in steps {
            match step {
                0..=2 => {
                    let event = w.happen(pick);
                    w.heard.push(event.clone());
                    w.accept(vec![event]);
                }
                3 | 4 if !w.h.active.is_empty() => { w.h.finish(); }
                5 => w.answer(),
                6 => w.follow(),
                7 => {
                    // The leader is gone. The next one has heard what came last, all of it since.
                    let seen = w.heard.len().saturating_sub(pick);
                    let mut heard = w.heard.split_off(seen);
                    w.heard.clear();
                    heard.extend((0..pick % 5).map(|at| w.happen(pick + at)));
                    w.h = w.h.restart(&["Test"]);
                    w.list = None;
                    w.ask();
                    if offers {
                        let unheard = w.h.core.unheard(heard);
                        w.accept(unheard);
                    }
                }
                _ => {}
            }
        }
        w.settle();
        prop_assert_eq!(w.h.inventory("Test"), w.running.iter().cloned().collect::<Vec<_>>());
    }
}
