//! Which changes of verdicts lie between two snapshots, told from the histories: what came and went in between is there
//! too, unlike in a comparison of the two.

use std::sync::Arc;

use mconn_model::{AppId, Happened, Snapshot, SourceId};

/// The changes of verdicts from one snapshot to a later one of the same process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News<'a> {
    /// Those that the histories still hold, in the order in which they happened at each source.
    pub shown: Vec<(&'a SourceId, &'a AppId, &'a Happened)>,
    /// How many more there were: histories are bounded.
    pub more: u64,
}

/// What happened from `old` to `new`. Costs little more than a walk over the apps: entries that are the same `Arc` are not
/// looked into.
#[must_use]
pub fn news<'a>(old: &Snapshot, new: &'a Snapshot) -> News<'a> {
    let told = |source: &SourceId| old.sources.get(source).map_or(0, |state| state.changes.total());
    let mut shown = Vec::new();
    let mut take = |source: &'a SourceId, app: &'a AppId, history: &'a [Happened]| {
        let from = told(source);
        let newer = history.iter().rev().take_while(|happened| happened.number > from);
        shown.extend(newer.map(|happened| (source, app, happened)));
    };
    for (key, entry) in &new.apps {
        if !old.apps.get(key).is_some_and(|known| Arc::ptr_eq(known, entry)) {
            take(&key.0, &key.1, &entry.history);
        }
    }
    if !Arc::ptr_eq(&old.gone, &new.gone) {
        for gone in new.gone.iter() {
            take(&gone.source, &gone.id, &gone.history);
        }
    }
    shown.sort_unstable_by_key(|(source, _, happened)| (happened.at, *source, happened.number));
    let all: u64 =
        new.sources.iter().map(|(source, state)| state.changes.total().saturating_sub(told(source))).sum();
    let more = all.saturating_sub(shown.len() as u64);
    News { shown, more }
}
