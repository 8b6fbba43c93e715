//! What is remembered beside the snapshot: per known task, and per task or app that has ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{InstanceCondition, Rule, Timestamp};

use crate::endpoints::PodPlace;

/// Memory of a known task. Event numbers count the source's events from 1; 0 means none.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskMemory {
    /// The last event that told its state: a listing requested before it must not undo it.
    pub(crate) event: u64,
    /// When that was, by the source's clock.
    pub(crate) told_at: Option<Timestamp>,
    /// Health that an event told, and which.
    pub(crate) told: Option<(bool, u64)>,
    /// The last definite health; outlives a leader change.
    pub(crate) last: Option<bool>,
    /// It was ready once.
    pub(crate) proven: bool,
    /// Admitted although nothing is known of its health, because all memory was lost.
    pub(crate) admitted: bool,
    /// An answer has shown it as running, and with it whether a deployment is under way.
    pub(crate) confirmed: bool,
    /// Its readiness check has failed: that there is no result now means that a new leader has forgotten it.
    pub(crate) unready: bool,
    /// Since when no failed check counts any more: the deployment that made it is over.
    pub(crate) unready_until: Option<Duration>,
    /// No readiness result has come for so long that none will: it is older than the deployment.
    pub(crate) readiness_waived: bool,
    /// When it was first known to run.
    pub(crate) running_since: Option<Duration>,
    /// The earliest hint that it will go.
    pub(crate) leaving: Option<Leaving>,
    /// What `instance_changed_event`s said of its instance.
    pub(crate) spoken: Spoken,
    /// Where its pod says it is.
    pub(crate) place: Option<Arc<PodPlace>>,
}

/// A hint that a task will go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// The rule that the hint is.
    pub(crate) rule: Rule,
    /// The event that gave it.
    pub(crate) event: u64,
    /// When it was given.
    pub(crate) at: Duration,
    /// What it says is done by then at the latest, if it is true.
    pub(crate) done: Duration,
    /// An answer after that which still shows the task as running takes it back...
    pub(crate) until: Duration,
    /// ...and what else does.
    pub(crate) unless: Unless,
}

/// What takes a hint back before its time is over, if a later answer shows the task as running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unless {
    /// Nothing: the kill was announced, and Marathon may show the task as running until it is dead.
    TimeOver,
    /// That no deployment of its app is under way.
    DeploymentOver,
    /// That alone.
    StillRunning,
}

/// What `instance_changed_event`s said of an instance. A goal change repeats the condition that was said last (1.8 and
/// later), so the events of ordinary changes, each of which follows a status event, have to be told apart from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The condition said last, if we heard it on this stream.
    pub(crate) last: Option<InstanceCondition>,
    /// A status event changed the state, and until then the instance's event for it may be on its way.
    pub(crate) due: Option<Duration>,
}

/// Something that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grave {
    /// The event that said so.
    pub(crate) event: u64,
    /// When we heard it.
    pub(crate) at: Duration,
    /// Whether it can never come back; TASK_LOST of old Marathons can.
    pub(crate) certain: bool,
}

/// Ended things, so that an older listing cannot bring them back. Bounded in number and age; the oldest go first.
#[derive(Debug)]
pub(crate) struct Graves<K> {
    graves: BTreeMap<K, Grave>,
    /// In order of death. A key that died twice is here twice.
    order: VecDeque<(Duration, K)>,
    max: usize,
    age: Duration,
}

impl<K: Ord + Clone> Graves<K> {
    pub(crate) fn new(max: usize, age: Duration) -> Self {
        Self { graves: BTreeMap::new(), order: VecDeque::new(), max, age }
    }

    pub(crate) fn bury(&mut self, key: &K, grave: Grave) {
        self.graves.insert(key.clone(), grave);
        self.order.push_back((grave.at, key.clone()));
        while let Some((at, _)) = self.order.front() {
            if self.order.len() <= self.max && grave.at.saturating_sub(*at) <= self.age {
                break;
            }
            let Some((at, key)) = self.order.pop_front() else { break };
            if self.graves.get(&key).is_some_and(|g| g.at <= at) {
                self.graves.remove(&key);
            }
        }
    }

    pub(crate) fn get(&self, key: &K, now: Duration) -> Option<Grave> {
        self.graves.get(key).copied().filter(|grave| now.saturating_sub(grave.at) <= self.age)
    }

    /// It lives again.
    pub(crate) fn dig(&mut self, key: &K) {
        self.graves.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grave(at: u64) -> Grave {
        Grave { event: at, at: Duration::from_secs(at), certain: true }
    }

    #[test]
    fn graves_are_bounded_in_number_and_age() {
        let mut graves = Graves::new(2, Duration::from_secs(10));
        for at in 1..=3 {
            graves.bury(&at, grave(at));
        }
        let known = |graves: &Graves<u64>, now: u64| -> Vec<u64> {
            (1..=4).filter(|k| graves.get(k, Duration::from_secs(now)).is_some()).collect()
        };
        assert_eq!(known(&graves, 3), [2, 3]);
        assert_eq!(known(&graves, 13), [3], "older than ten seconds is forgotten even before it is swept");
        graves.bury(&4, grave(20));
        assert_eq!((graves.order.len(), graves.graves.len()), (1, 1));
    }

    #[test]
    fn dying_twice_counts_from_the_second_time() {
        let mut graves = Graves::new(2, Duration::from_secs(10));
        graves.bury(&1, grave(1));
        graves.bury(&1, grave(5));
        graves.bury(&2, grave(6));
        assert_eq!(graves.get(&1, Duration::from_secs(6)), Some(grave(5)));
        graves.dig(&1);
        assert_eq!(graves.get(&1, Duration::from_secs(6)), None);
    }
}
