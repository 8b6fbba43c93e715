//! Runs that failed for good, kept for the operator.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mconn_model::TaskKey;
use mconn_store::{DeadLetter, Seq};

/// One module's dead letters, by the place of their events.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    letters: BTreeMap<Seq, Arc<DeadLetter>>,
    by_task: HashMap<TaskKey, BTreeSet<Seq>>,
    retrying: BTreeSet<Seq>,
}

impl DeadLetters {
    /// Adds or replaces one. Returns those that go to keep the limit, oldest first.
    pub(crate) fn put(&mut self, letter: Arc<DeadLetter>, limit: usize) -> Vec<Arc<DeadLetter>> {
        self.retrying.remove(&letter.seq);
        self.by_task.entry(letter.event.task_key()).or_default().insert(letter.seq);
        self.letters.insert(letter.seq, letter);
        let mut dropped = Vec::new();
        while self.letters.len() > limit.max(1) {
            let Some(oldest) = self.letters.keys().find(|seq| !self.retrying.contains(seq)).copied() else {
                break;
            };
            dropped.extend(self.remove(oldest));
        }
        dropped
    }

    pub(crate) fn remove(&mut self, seq: Seq) -> Option<Arc<DeadLetter>> {
        let letter = self.letters.remove(&seq)?;
        self.retrying.remove(&seq);
        let task = letter.event.task_key();
        if let Some(seqs) = self.by_task.get_mut(&task) {
            seqs.remove(&seq);
            if seqs.is_empty() {
                self.by_task.remove(&task);
            }
        }
        Some(letter)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&Arc<DeadLetter>> {
        self.letters.get(&seq)
    }

    /// Marks one as being retried; false if it is already.
    pub(crate) fn begin_retry(&mut self, seq: Seq) -> bool {
        self.retrying.insert(seq)
    }

    /// The retry came to nothing.
    pub(crate) fn end_retry(&mut self, seq: Seq) {
        self.retrying.remove(&seq);
    }

    pub(crate) fn is_retrying(&self, seq: Seq) -> bool {
        self.retrying.contains(&seq)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<DeadLetter>> {
        self.letters.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    /// An event of this task has been handled well: earlier letters of it are history now. Returns those that changed.
    pub(crate) fn supersede(&mut self, task: &TaskKey, before: Option<Seq>) -> Vec<Arc<DeadLetter>> {
        let Some(seqs) = self.by_task.get(task) else { return Vec::new() };
        let mut changed = Vec::new();
        for seq in seqs.iter().filter(|seq| before.is_none_or(|before| **seq < before)) {
            if let Some(letter) = self.letters.get_mut(seq).filter(|letter| !letter.superseded) {
                *letter = Arc::new(DeadLetter { superseded: true, ..(**letter).clone() });
                changed.push(letter.clone());
            }
        }
        changed
    }
}
