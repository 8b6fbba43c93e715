//! What holds for every snapshot, as functions: called by the property tests, by simulations, and when publishing in
//! builds with debug assertions.

use std::collections::BTreeSet;

use mconn_model::{AppEntry, Freshness, Rule, Snapshot, TaskEntry, TaskStatus, VerdictKind};

use crate::digest;

pub mod overtime;

/// An invariant that does not hold, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// The digest of a snapshot's contents, computed from scratch.
#[must_use]
pub fn digest_of(snapshot: &Snapshot) -> u64 {
    snapshot.apps.values().fold(0, |sum, entry| sum.wrapping_add(digest::of_entry(entry)))
}

/// Checks everything.
///
/// # Errors
/// The first [`Violation`].
pub fn check(snapshot: &Snapshot) -> Result<(), Violation> {
    for ((source, id), entry) in &snapshot.apps {
        check_entry(entry)?;
        if (&entry.source, &entry.id) != (source, id) {
            return fail(entry, "its key does not match its contents");
        }
        let Some(source) = snapshot.sources.get(source) else {
            return fail(entry, "its source is not listed");
        };
        if entry.history.last().is_some_and(|last| last.number > source.changes.total()) {
            return fail(entry, "its history is ahead of its source's count");
        }
    }
    for (id, source) in &snapshot.sources {
        if source.freshness == Freshness::Never && source.comparisons > 0 {
            return Err(Violation(format!("{id}: compared, but never read")));
        }
    }
    if digest_of(snapshot) != snapshot.digest {
        return Err(Violation("the digest does not equal its recomputation".into()));
    }
    Ok(())
}

/// Checks one app or pod.
///
/// # Errors
/// The first [`Violation`].
pub fn check_entry(entry: &AppEntry) -> Result<(), Violation> {
    if !entry.tasks.is_sorted_by(|a, b| a.task.id < b.task.id) {
        return fail(entry, "its tasks are not sorted, or not unique");
    }
    if entry.app.is_some() && entry.pod.is_some() {
        return fail(entry, "it is an app and a pod at once");
    }
    if entry.app.as_ref().is_some_and(|app| app.id != entry.id)
        || entry.pod.as_ref().is_some_and(|pod| pod.id != entry.id)
    {
        return fail(entry, "its definition has another id");
    }
    if entry.pod.as_ref().is_some_and(|pod| !pod.running.is_empty()) {
        return fail(entry, "its pod definition still carries instances");
    }
    if entry.app.is_none() && entry.pod.is_none() && entry.tasks.is_empty() {
        return fail(entry, "it has neither definition nor task");
    }
    if !entry.history.is_sorted_by(|a, b| a.number < b.number) {
        return fail(entry, "its history is not in order");
    }
    let mut seen = BTreeSet::new();
    for last in entry.history.iter().rev() {
        let verdict = entry.task(&last.task).map(|task| task.verdict.rule);
        if seen.insert(&last.task) && verdict != last.after {
            return fail(entry, "the last change of a task does not lead to its verdict");
        }
    }
    entry.tasks.iter().try_for_each(|task| check_task(entry, task))
}

fn check_task(entry: &AppEntry, task: &TaskEntry) -> Result<(), Violation> {
    if task.task.app != entry.id {
        return fail(entry, "a task belongs to another app");
    }
    for endpoint in &task.endpoints {
        if endpoint.verdict != task.verdict {
            return fail(entry, "an endpoint has another verdict than its task");
        }
        if (&endpoint.source, &endpoint.app, &endpoint.task) != (&entry.source, &entry.id, &task.task.id) {
            return fail(entry, "an endpoint is of another task");
        }
    }
    if !task.endpoints.is_sorted_by(|a, b| a.port_index < b.port_index) {
        return fail(entry, "endpoints are not sorted by port index");
    }
    let ended = task.task.status.is_terminal();
    if ended != (task.verdict.rule == Rule::Ended) {
        return fail(entry, "a task's end and its verdict disagree");
    }
    if ended && !task.endpoints.is_empty() {
        return fail(entry, "an ended task has an endpoint");
    }
    if task.verdict.kind != task.verdict.rule.kind() {
        return fail(entry, "a verdict and its rule disagree");
    }
    let kept = task.verdict.rule == Rule::UnreachableKept && task.task.status == TaskStatus::Unreachable;
    if task.verdict.kind == VerdictKind::Routable && task.task.status != TaskStatus::Running && !kept {
        return fail(entry, "a task that does not run is routable");
    }
    Ok(())
}

fn fail(entry: &AppEntry, what: &str) -> Result<(), Violation> {
    Err(Violation(format!("{} {}: {what}", entry.source, entry.id)))
}
