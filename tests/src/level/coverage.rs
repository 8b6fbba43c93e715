//! How often each thing happened that the simulation is for. What it never meets, it proves nothing about.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that has to happen at least once over all seeds.
pub const WANTED: &[&str] = &[
    // Marathon and its cluster.
    "app created",
    "app created anew while its old tasks die",
    "app deleted",
    "app scaled up",
    "app scaled down",
    "app updated",
    "app updated by force",
    "app with other checks",
    "app with other ports",
    "app restarted",
    "group deleted",
    "deployment cancelled",
    "task killed",
    "task killed and scaled",
    "task crashed",
    "task unhealthy",
    "task killed for its health",
    "task unreachable",
    "leader changed",
    "leader changed while deploying",
    "leader changed while tasks have passed no check yet",
    // The way between Marathon and us.
    "event dropped",
    "KILLING dropped",
    "last hint dropped",
    "event duplicated",
    "event delayed past others",
    "frame split",
    "stream broken",
    "stream broken within a frame",
    "stream silent",
    "stream lost while scaling down",
    "stream refused",
    "stream impossible",
    "request refused",
    "request hung",
    "request given up",
    "answer 503",
    "answer truncated",
    "answer older than an event",
    "Marathon away",
    "everything polled",
    // What reached the catalog.
    "told by TASK_KILLING",
    "told by an end",
    "told by a condition",
    "told by a successor",
    "told by a changed goal",
    "told by a kill event",
    "told by a plan that stops",
    "told by an unreachable agent",
    "told by an answer",
    "difference counted",
    "fetch refused",
    "budget used up",
];

/// Counts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    pub(super) fn note(&mut self, what: &str) {
        match self.0.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(what.to_owned(), 1);
            }
        }
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }

    /// What never happened, of [`WANTED`] and `more`.
    pub fn missing<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        WANTED.iter().copied().chain(more).filter(|what| self.count(what) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>10}  {what}"))
    }
}
