//! What happens when, in virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Things that will happen; those of the same time in the order in which they were planned.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    heap: BinaryHeap<Planned<T>>,
    count: u64,
}

#[derive(Debug)]
struct Planned<T> {
    at: Duration,
    number: u64,
    what: T,
}

impl<T> Ord for Planned<T> {
    /// The earliest is the greatest, as the heap gives that first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<T> PartialOrd for Planned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Planned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Planned<T> {}

impl<T> Agenda<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), count: 0 }
    }

    pub(super) fn plan(&mut self, at: Duration, what: T) {
        self.count += 1;
        self.heap.push(Planned { at, number: self.count, what });
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.heap.peek().map(|planned| planned.at)
    }

    pub(super) fn take_due(&mut self, now: Duration) -> Option<T> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|planned| planned.what)
    }
}
