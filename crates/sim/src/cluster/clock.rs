//! Two clocks: the driver's, which only goes forward, and Marathon's, which an operator or NTP may set.
//!
//! All of the state is in Marathon's time. A jump moves what is due along with it, so that nothing fires early or late
//! because of it; what has been written down keeps its old time, as in the real one.

use super::{Cluster, answer::Answer};
use crate::time::Time;
use serde_json::json;
use std::cmp::Reverse;

/// The furthest jump: ten years. It keeps all times representable.
const JUMP_MAX: i64 = 10 * 365 * 86_400_000;

impl Cluster {
    /// What Marathon's clock shows when the driver's shows `driver`.
    pub(super) fn marathon_time(&self, driver: Time) -> Time {
        Time(driver.0.saturating_add_signed(self.clock_offset))
    }

    /// What the driver's clock shows at Marathon's `time`.
    pub(super) fn driver_time(&self, time: Time) -> Time {
        Time(time.0.saturating_add_signed(self.clock_offset.saturating_neg()))
    }

    /// `POST /sim/clock/jump`
    pub(super) fn jump_clock(&mut self, millis: i64) -> Answer {
        let offset = self.clock_offset.saturating_add(millis);
        let possible = offset.unsigned_abs() <= JUMP_MAX.unsigned_abs()
            && self.now.0.checked_add_signed(millis).is_some();
        if !possible {
            return Answer::message(422, "the clock cannot be more than ten years off");
        }
        let moved = |time: Time| Time(time.0.saturating_add_signed(millis));
        self.clock_offset = offset;
        self.now = moved(self.now);
        let timers = std::mem::take(&mut self.timers).into_vec();
        self.timers = timers
            .into_iter()
            .map(|Reverse((at, order, timer))| Reverse((moved(at), order, timer)))
            .collect();
        for app in self.apps.values_mut() {
            app.launch_after = moved(app.launch_after);
        }
        for instance in self.instances.values_mut() {
            instance.ready_at = instance.ready_at.map(moved);
            if let Some(lost) = &mut instance.lost {
                lost.since = moved(lost.since);
            }
            for check in &mut instance.checks {
                check.first = moved(check.first);
                check.due = moved(check.due);
            }
        }
        Answer::json(200, &json!({ "now": self.now }))
    }
}
