//! What was posted about each task, what was acknowledged of it, and what an inventory must therefore show. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of one posted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not posted.
    None,
    /// Posted and never answered: it may be accepted or not.
    Unknown,
    /// Answered with 200: it has to be handled.
    Acknowledged,
}

/// A task that starts, and perhaps ends.
#[derive(Debug, Clone, Copy)]
struct Task {
    started: Fate,
    ended: Fate,
}

/// All posted events.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tasks: BTreeMap<String, Task>,
    acknowledged: u64,
}

impl Ledger {
    /// A `TASK_RUNNING` was posted.
    pub(crate) fn started(&mut self, task: String, acknowledged: bool) {
        self.tasks.insert(task, Task { started: self.fate(acknowledged), ended: Fate::None });
        self.acknowledged += u64::from(acknowledged);
    }

    /// A `TASK_KILLED` was posted after the `TASK_RUNNING` was acknowledged.
    pub(crate) fn ended(&mut self, task: &str, acknowledged: bool) {
        let fate = self.fate(acknowledged);
        if let Some(task) = self.tasks.get_mut(task) {
            task.ended = fate;
        }
        self.acknowledged += u64::from(acknowledged);
    }

    fn fate(&self, acknowledged: bool) -> Fate {
        if acknowledged { Fate::Acknowledged } else { Fate::Unknown }
    }

    /// Takes over what another one knows of other tasks.
    pub(crate) fn merge(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.acknowledged += other.acknowledged;
    }

    /// Events that were answered with 200.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Acknowledged events that the inventory contradicts, in words.
    pub(crate) fn lost(&self, inventory: &BTreeSet<String>) -> Vec<String> {
        let judged = self.tasks.iter().filter_map(|(id, task)| {
            let there = inventory.contains(id);
            match (task.started, task.ended) {
                (Fate::Acknowledged, Fate::None) if !there => Some(format!("TASK_RUNNING of {id}")),
                (_, Fate::Acknowledged) if there => Some(format!("TASK_KILLED of {id}")),
                _ => None,
            }
        });
        judged.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_acknowledged_can_be_lost() {
        let mut ledger = Ledger::default();
        ledger.started("kept".into(), true);
        ledger.started("gone".into(), true);
        ledger.started("never-answered".into(), false);
        ledger.started("ended".into(), true);
        ledger.ended("ended", true);
        ledger.started("perhaps-ended".into(), true);
        ledger.ended("perhaps-ended", false);
        let inventory = BTreeSet::from(["kept".to_owned(), "ended".to_owned()]);
        assert_eq!(ledger.lost(&inventory), ["TASK_KILLED of ended", "TASK_RUNNING of gone"]);
        assert_eq!(ledger.acknowledged(), 5);
    }
}
