//! Knows events that were delivered before.

use std::collections::{HashMap, VecDeque};

use mconn_model::EventKey;

use super::outbox::BatchNo;

/// Remembers the last so-many event keys, and with which batch each became (or becomes) durable.
#[derive(Debug)]
pub(crate) struct Dedupe {
    known: HashMap<EventKey, BatchNo>,
    order: VecDeque<EventKey>,
    limit: usize,
}

impl Dedupe {
    pub(crate) fn new(limit: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), limit: limit.max(1) }
    }

    /// The batch that holds the first delivery of this event.
    pub(crate) fn batch_of(&self, key: &EventKey) -> Option<BatchNo> {
        self.known.get(key).copied()
    }

    pub(crate) fn remember(&mut self, key: EventKey, batch: BatchNo) {
        if self.known.insert(key.clone(), batch).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// The event was not accepted after all. Its place in `order` stays until it falls out at the end.
    pub(crate) fn forget(&mut self, key: &EventKey) {
        self.known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mconn_model::{AppId, EventTimestamp, TaskEvent, TaskId, TaskStatus};

    fn key(n: i64) -> EventKey {
        let event = TaskEvent {
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
    fn remembers_a_bounded_number() {
        let mut dedupe = Dedupe::new(2);
        for n in 0..3 {
            dedupe.remember(key(n), BatchNo::FIRST);
        }
        assert!(dedupe.batch_of(&key(0)).is_none(), "the oldest is forgotten");
        assert!(dedupe.batch_of(&key(1)).is_some() && dedupe.batch_of(&key(2)).is_some());
        dedupe.forget(&key(2));
        assert!(dedupe.batch_of(&key(2)).is_none());
    }
}
