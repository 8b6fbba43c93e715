//! Histories that are right, and each way in which one can be wrong.

use super::super::written::{Change, Claim, Write};
use super::*;

const RUNNING: Status = Status::Running;
const KILLED: Status = Status::Killed;

fn step(number: u64, status: Status, attempts: &[Outcome]) -> Step {
    Step { number, status, attempts: attempts.to_vec() }
}

fn entry(place: u64, task: &str, step: &Step) -> Entry {
    Entry { place, task: task.into(), status: step.status.as_str().into(), number: Some(step.number) }
}

fn write(zxid: i64, epoch: Option<i32>, current: i32, session: i64) -> Write {
    Write { zxid, epoch, current, session, path: "/ns/modules/Test/inventory/x".into() }
}

fn claim(epoch: i32, session: i64, node: &str) -> Claim {
    Claim { epoch, session, node: node.into() }
}

fn ran(task: &str, status: Status) -> Ran {
    Ran { task: task.into(), status: status.as_str().into() }
}

/// Three tasks: one runs, one was killed, one has ended in a way that nobody knows. Two leaders, one after the other.
fn good() -> History {
    let tasks = BTreeMap::from([
        ("kept".to_owned(), vec![step(1, RUNNING, &[Outcome::Unclear, Outcome::Accepted])]),
        (
            "gone".to_owned(),
            vec![
                step(2, RUNNING, &[Outcome::Accepted]),
                step(3, KILLED, &[Outcome::Refused, Outcome::Accepted]),
            ],
        ),
        (
            "open".to_owned(),
            vec![step(4, RUNNING, &[Outcome::Accepted]), step(5, KILLED, &[Outcome::Unclear])],
        ),
    ]);
    let journal = BTreeSet::from([
        entry(1, "kept", &tasks["kept"][0]),
        entry(2, "gone", &tasks["gone"][0]),
        entry(3, "open", &tasks["open"][0]),
        entry(4, "kept", &tasks["kept"][0]),
        entry(5, "gone", &tasks["gone"][1]),
    ]);
    let inventory = BTreeSet::from(["kept".to_owned(), "open".to_owned()]);
    History {
        tasks,
        inventories: ["a", "b", "c"].map(|node| (node.to_owned(), inventory.clone())).to_vec(),
        sightings: BTreeSet::from([Sighting { epoch: 1, leader: "a:1".into() }]),
        written: Written {
            claims: vec![claim(1, 10, "a:1"), claim(2, 20, "b:1")],
            writes: vec![write(5, Some(1), 1, 10), write(8, Some(2), 2, 20)],
            journal,
            items: BTreeMap::from([("kept".into(), vec![Change::Put]), ("open".into(), vec![Change::Put])]),
            refused: 1,
            unreadable: Vec::new(),
        },
        ran: vec![vec![ran("kept", RUNNING), ran("gone", RUNNING), ran("gone", KILLED)]],
    }
}

/// What is found in a history that was right before `spoil`.
fn found(spoil: impl FnOnce(&mut History)) -> Vec<String> {
    let mut history = good();
    spoil(&mut history);
    check(&history).0.iter().map(ToString::to_string).collect()
}

fn one(spoil: impl FnOnce(&mut History), part: &str) {
    let found = found(spoil);
    assert!(found.len() == 1 && found[0].contains(part), "wanted {part:?}, found {found:?}");
}

#[test]
fn a_good_history_is_good() {
    let (violations, judged) = check(&good());
    assert_eq!(violations, []);
    let wanted = Judged { acknowledged: 4, ends: 2, unclear: 1, writes: 2, epochs: 2, refused: 1 };
    assert_eq!(judged, wanted);
}

#[test]
fn a_lost_event_is_found_in_the_journal_and_in_the_inventory() {
    one(
        |h| h.written.journal.retain(|entry| entry.task != "kept"),
        "never in the journal: TASK_RUNNING of kept (event 1)",
    );
    let lose = |h: &mut History| {
        h.inventories.iter_mut().for_each(|(_, inventory)| _ = inventory.remove("kept"));
    };
    one(lose, "lost: TASK_RUNNING of kept (event 1): its item is missing");
    let keep = |h: &mut History| {
        h.inventories.iter_mut().for_each(|(_, inventory)| _ = inventory.insert("gone".into()));
    };
    one(keep, "lost: TASK_KILLED of gone (event 3): its item is still there");
    // Of an event that was never acknowledged nothing is promised.
    let either = |h: &mut History| {
        h.inventories.iter_mut().for_each(|(_, inventory)| _ = inventory.remove("open"));
    };
    assert!(found(either).is_empty());
}

#[test]
fn an_event_that_no_module_has_seen_is_found() {
    one(|h| h.ran[0].truncate(2), "acknowledged and never handled: TASK_KILLED of gone (event 3)");
    let unwritten = |h: &mut History| _ = h.written.items.remove("open");
    one(unwritten, "acknowledged and never handled: TASK_RUNNING of open (event 4)");
    // Either is enough; changes count in their order, and what came last is the last event's.
    let written = |changes: &[Change]| {
        let changes = changes.to_vec();
        move |h: &mut History| {
            h.ran[0].truncate(1);
            h.written.items.insert("gone".into(), changes);
        }
    };
    assert!(found(written(&[Change::Put, Change::Removed])).is_empty());
    one(written(&[Change::Removed]), "never handled: TASK_RUNNING of gone (event 2)");
    one(written(&[Change::Removed, Change::Put]), "never handled: TASK_RUNNING of gone (event 2)");
    one(written(&[Change::Put]), "never handled: TASK_KILLED of gone (event 3)");
}

#[test]
fn runs_in_another_order_are_found() {
    one(|h| h.ran[0].swap(1, 2), "handled out of order: gone");
    // In two processes there is no order to be seen; who takes over repeats what was not durable.
    let two = |h: &mut History| {
        let last = h.ran[0].pop();
        h.ran.insert(0, last.into_iter().collect());
        h.ran[1].push(ran("gone", KILLED));
        h.ran[1].push(ran("gone", RUNNING));
    };
    assert!(found(two).is_empty());
}

#[test]
fn a_line_of_a_log_tells_what_was_handled() {
    let line = r#"[24-11-2026 18:11:39] [INFO] Task "t80_TASK_RUNNING" state changed to "finished"! Task Queue is now "1" (Module.Test)"#;
    assert_eq!(Ran::of_line(line), Some(ran("t80", RUNNING)));
    assert_eq!(Ran::of_line(&line.replace("finished", "failed")), None);
}

#[test]
fn a_late_copy_is_out_of_order_unless_it_may_be_late() {
    let late = |h: &mut History| {
        let copy = entry(6, "gone", &h.tasks["gone"][0]);
        h.written.journal.insert(copy);
    };
    one(late, "out of order: TASK_RUNNING of gone (event 2) has place 6, and what was sent after it 5");
    let unclear = |h: &mut History| {
        late(h);
        h.tasks.get_mut("gone").unwrap()[0].attempts.insert(0, Outcome::Unclear);
        h.inventories.iter_mut().for_each(|(_, inventory)| _ = inventory.insert("gone".into()));
    };
    assert!(found(unclear).is_empty());
    let refused = |h: &mut History| {
        late(h);
        h.tasks.get_mut("gone").unwrap()[0].attempts.insert(0, Outcome::Refused);
    };
    one(refused, "out of order");
    // The first copy has to come first in any case.
    let swapped = |h: &mut History| {
        h.tasks.get_mut("gone").unwrap()[0].attempts.insert(0, Outcome::Unclear);
        let (first, copy) = (entry(2, "gone", &h.tasks["gone"][0]), entry(6, "gone", &h.tasks["gone"][0]));
        h.written.journal.remove(&first);
        h.written.journal.insert(copy);
    };
    one(swapped, "out of order");
}

#[test]
fn nodes_that_disagree_and_items_of_nobody_are_found() {
    one(|h| _ = h.inventories[2].1.insert("gone".into()), "nodes disagree: a and c in gone");
    let invent = |h: &mut History| {
        h.inventories.iter_mut().for_each(|(_, inventory)| _ = inventory.insert("ghost".into()));
    };
    one(invent, "never sent: ghost");
}

#[test]
fn two_leaders_of_one_epoch_are_found_wherever_they_show() {
    one(|h| h.written.writes.push(write(9, Some(2), 2, 10)), "session 0xa, at /ns/modules");
    one(|h| h.written.writes.push(write(9, Some(3), 3, 10)), "epoch 3 is of None");
    one(
        |h| _ = h.sightings.insert(Sighting { epoch: 2, leader: "a:1".into() }),
        "has shown a:1 as the leader of epoch 2",
    );
    let found = found(|h| h.written.claims.push(claim(2, 30, "c:1")));
    assert!(found[0].contains("epochs do not grow: 2 after 2"), "{found:?}");
    assert!(found[1].contains("2 was claimed by b:1 and c:1"), "{found:?}");
}

#[test]
fn writes_without_a_fence_or_behind_it_are_found() {
    one(|h| h.written.writes.push(write(9, None, 2, 20)), "without a check of the epoch: transaction 0x9");
    one(|h| h.written.writes.push(write(9, Some(1), 2, 10)), "epoch 1, and it is 2");
}

#[test]
fn a_broken_journal_is_found() {
    let twice = |h: &mut History| {
        let other = Entry { place: 1, ..entry(1, "gone", &h.tasks["gone"][0]) };
        h.written.journal.insert(other);
    };
    one(twice, "two events have had place 1");
    one(|h| h.written.unreadable.push("???".into()), "unreadable in the journal: ???");
}
