//! A bus that is not to be trusted: events lost, doubled, late and out of order.
//!
//! What is disturbed here is disturbed for every stream and callback in the same way, and follows from the seed.

use super::event::Event;
use super::step::Effect;
use super::{Cluster, Timer};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Late events that may be on their way. More, and they are delivered at once.
const LATE_MAX: usize = 100_000;
/// The longest delay: ten minutes.
const DELAY_MAX: u64 = 600_000;

/// How the bus treats events; the default is that each one comes once, at once. As JSON the body of `POST /sim/bus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BusTrouble {
    /// So many of a hundred events are lost.
    pub drop_percent: u8,
    /// So many of a hundred events come twice.
    pub duplicate_percent: u8,
    /// Every event comes so much later, in milliseconds, not scaled. At most ten minutes.
    pub delay_ms: u64,
    /// Every event comes up to so much later on top, each its own time, in milliseconds: they overtake each other.
    pub reorder_ms: u64,
    /// Only events of these types; none is all types.
    pub types: Vec<String>,
}

impl BusTrouble {
    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.drop_percent > 100 || self.duplicate_percent > 100 {
            return Some("percentages are from 0 to 100");
        }
        (self.delay_ms > DELAY_MAX || self.reorder_ms > DELAY_MAX).then_some("delays are at most 600000 ms")
    }

    fn concerns(&self, event: &Event) -> bool {
        *self != BusTrouble::default()
            && (self.types.is_empty() || self.types.iter().any(|wanted| **wanted == *event.event_type))
    }
}

impl Cluster {
    /// Puts an event on the bus, which may do to it what it was told to.
    pub(super) fn post(&mut self, event: Event) {
        if !self.bus.concerns(&event) {
            self.effects.push(Effect::Event(event));
            return;
        }
        let (drop, twice) = (self.bus.drop_percent, self.bus.duplicate_percent);
        if self.rng.u8(..100) < drop {
            return;
        }
        if self.rng.u8(..100) < twice {
            self.post_late(event.clone());
        }
        self.post_late(event);
    }

    fn post_late(&mut self, event: Event) {
        let delay = self.bus.delay_ms + self.rng.u64(0..=self.bus.reorder_ms);
        if delay == 0 || self.late.len() >= LATE_MAX {
            self.effects.push(Effect::Event(event));
            return;
        }
        self.sequence += 1;
        let number = self.sequence;
        self.late.insert(number, event);
        self.set_timer(Duration::from_millis(delay), Timer::Deliver(number));
    }

    pub(super) fn deliver(&mut self, number: u64) {
        if let Some(event) = self.late.remove(&number) {
            self.effects.push(Effect::Event(event));
        }
    }
}
