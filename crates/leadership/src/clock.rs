//! Time and luck as arguments.

use std::time::Duration;

use mconn_model::Timestamp;

/// When a step happens, and its luck.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Monotonic time since any fixed beginning; all waiting goes by it.
    pub now: Duration,
    /// What time it is for people; only shown.
    pub wall: Timestamp,
    /// Random, from 0 up to but not including 1.
    pub dice: f64,
}

impl Moment {
    /// The pause after so many failures in a row: doubling from `min` to `max`, between half and the whole of it at random.
    pub(crate) fn pause(&self, failures: u32, min: Duration, max: Duration) -> Duration {
        let whole = min.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(max);
        whole.mul_f64(0.5 + self.dice / 2.0)
    }
}
