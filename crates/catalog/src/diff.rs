//! What differs between two snapshots, for people and logs. Deciders compare their own outputs instead.

use std::cmp::Ordering;
use std::sync::Arc;

use mconn_model::{AppEntry, Change, Snapshot, TaskEntry};

/// The changes from `old` to `new`, in order of their keys. Entries that are the same `Arc` are not looked into, so two
/// neighbouring snapshots cost little more than a walk over their keys.
#[must_use]
pub fn diff(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let mut out = Vec::new();
    merge(
        old.apps.iter(),
        new.apps.iter(),
        |a, b| a.0.cmp(b.0),
        |old, new| match (old.map(|(_, e)| e), new.map(|(_, e)| e)) {
            (None, Some(entry)) => {
                out.push(Change::AppAdded(entry.source.clone(), entry.id.clone()));
                tasks(entry, &[], &entry.tasks, &mut out);
            }
            (Some(entry), None) => {
                tasks(entry, &entry.tasks, &[], &mut out);
                out.push(Change::AppRemoved(entry.source.clone(), entry.id.clone()));
            }
            (Some(old), Some(new)) if !Arc::ptr_eq(old, new) => {
                if !same(old.app.as_ref(), new.app.as_ref()) || !same(old.pod.as_ref(), new.pod.as_ref()) {
                    out.push(Change::AppChanged(new.source.clone(), new.id.clone()));
                }
                tasks(new, &old.tasks, &new.tasks, &mut out);
            }
            _ => {}
        },
    );
    out
}

fn tasks(entry: &AppEntry, old: &[Arc<TaskEntry>], new: &[Arc<TaskEntry>], out: &mut Vec<Change>) {
    let key = || (entry.source.clone(), entry.id.clone());
    merge(
        old.iter(),
        new.iter(),
        |a, b| a.task.id.cmp(&b.task.id),
        |old, new| {
            let (source, app) = key();
            match (old, new) {
                (None, Some(task)) => {
                    out.push(Change::TaskAdded(source, app, task.task.id.clone(), task.verdict));
                }
                (Some(task), None) => out.push(Change::TaskRemoved(source, app, task.task.id.clone())),
                (Some(old), Some(new)) if !Arc::ptr_eq(old, new) && old != new => {
                    out.push(Change::TaskChanged(source, app, new.task.id.clone(), new.verdict));
                }
                _ => {}
            }
        },
    );
}

fn same<T: PartialEq>(old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
        _ => false,
    }
}

/// Walks two sorted sequences side by side.
fn merge<T>(
    old: impl Iterator<Item = T>,
    new: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
    mut each: impl FnMut(Option<T>, Option<T>),
) {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let which = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => order(old, new),
        };
        let left = if which.is_le() { old.next() } else { None };
        let right = if which.is_ge() { new.next() } else { None };
        each(left, right);
    }
}
