//! One receiver's line: the pure [`Mangle`], run by the real clock.

use crate::mangle::{Mangle, ManglePolicy};
use crate::time::Time;
use std::time::Duration;
use tokio::time::Instant;

/// Where events go in, and come out when they are due.
#[derive(Debug)]
pub(crate) struct Line<T> {
    mangle: Mangle<T>,
    since: Instant,
}

impl<T: Clone> Line<T> {
    pub(crate) fn new(seed: u64) -> Line<T> {
        Line { mangle: Mangle::new(seed, ManglePolicy::default()), since: Instant::now() }
    }

    fn now(&self) -> Time {
        Time::default().after(self.since.elapsed())
    }

    pub(crate) fn push(&mut self, policy: &ManglePolicy, event: T) {
        if policy != self.mangle.policy() {
            self.mangle.set_policy(policy.clone());
        }
        self.mangle.push(self.now(), event);
    }

    /// What is due now.
    pub(crate) fn pop_due(&mut self) -> Vec<T> {
        self.mangle.pop_due(self.now())
    }

    /// When something will be; none is never.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.mangle.next_due().and_then(|due| self.since.checked_add(Duration::from_millis(due.0)))
    }
}
