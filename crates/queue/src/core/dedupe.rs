//! Knows events that were delivered before.

use std::collections::{HashMap, HashSet, VecDeque};

use mconn_model::EventKey;

use super::outbox::BatchNo;

/// Remembers the keys of all open events, with the batch in which each became (or becomes) durable, and of the last
/// so-many that have finished.
#[derive(Debug)]
pub(crate) struct Dedupe {
    open: HashMap<EventKey, BatchNo>,
    finished: HashSet<EventKey>,
    /// Keys of `finished` in the order in which they finished.
    order: VecDeque<EventKey>,
    limit: usize,
}

impl Dedupe {
    /// `limit` bounds the finished ones; the open ones are as many as the journal has.
    pub(crate) fn new(limit: usize) -> Self {
        Self { open: HashMap::new(), finished: HashSet::new(), order: VecDeque::new(), limit: limit.max(1) }
    }

    /// The batch that holds the first delivery of this event.
    pub(crate) fn batch_of(&self, key: &EventKey) -> Option<BatchNo> {
        self.open.get(key).copied().or_else(|| self.finished.contains(key).then_some(BatchNo::FIRST))
    }

    pub(crate) fn open(&mut self, key: EventKey, batch: BatchNo) {
        self.open.insert(key, batch);
    }

    /// Every module is through with the event.
    pub(crate) fn finish(&mut self, key: EventKey) {
        self.open.remove(&key);
        if self.finished.insert(key.clone()) {
            self.order.push_back(key);
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.finished.remove(&oldest);
            }
        }
    }

    /// The event was not accepted after all.
    pub(crate) fn forget(&mut self, key: &EventKey) {
        self.open.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_model::{AppId, EventTimestamp, TaskEvent, TaskId, TaskStatus};

    fn key(n: i64) -> EventKey {
        let event = TaskEvent {
            source: None,
            task: TaskId::new("t").unwrap(),
            status: TaskStatus::Running,
            app: AppId::parse("/a").unwrap(),
            host: None,
            ports: Vec::new(),
            event_type: None,
            timestamp: Some(EventTimestamp::Millis(n)),
        };
        event.key().unwrap()
    }

    #[test]
    fn open_events_are_never_forgotten_and_finished_ones_are_bounded() {
        let mut dedupe = Dedupe::new(2);
        for n in 0..10 {
            dedupe.open(key(n), BatchNo::FIRST);
        }
        assert!((0..10).all(|n| dedupe.batch_of(&key(n)).is_some()));
        for n in 0..3 {
            dedupe.finish(key(n));
        }
        assert!(dedupe.batch_of(&key(0)).is_none(), "the oldest is forgotten");
        assert!((1..10).all(|n| dedupe.batch_of(&key(n)).is_some()));
    }

    #[test]
    fn a_refused_event_is_new_when_it_comes_again() {
        let mut dedupe = Dedupe::new(1);
        dedupe.open(key(1), BatchNo::FIRST);
        dedupe.forget(&key(1));
        assert!(dedupe.batch_of(&key(1)).is_none());
        dedupe.open(key(1), BatchNo::FIRST);
        assert!(dedupe.batch_of(&key(1)).is_some());
    }
}
