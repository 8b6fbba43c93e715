//! When a sync is made because an earlier one could not decide all: at once, but not one after the other without a pause.

use std::collections::BTreeSet;
use std::time::Duration;

/// Pause between two, which doubles up to [`PAUSE_MAX`] while one leads to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause; after twice of it without any, the next one comes at once.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Modules that are to be synced once more.
#[derive(Debug, Default)]
pub(super) struct FollowUps {
    slots: BTreeSet<usize>,
    /// When the last one was made, and how long the next one has to wait from then on.
    last: Option<(Duration, Duration)>,
}

impl FollowUps {
    pub(super) fn want(&mut self, slots: Vec<usize>) {
        self.slots.extend(slots);
    }

    /// When the next one is to be made.
    pub(super) fn due(&self) -> Option<Duration> {
        let at = self.last.map_or(Duration::ZERO, |(last, pause)| last + pause);
        (!self.slots.is_empty()).then_some(at)
    }

    /// The modules of the next one, if its time has come.
    pub(super) fn take(&mut self, now: Duration) -> Option<BTreeSet<usize>> {
        self.due().filter(|due| now >= *due)?;
        let pause = match self.last {
            Some((last, pause)) if now < last + 2 * PAUSE_MAX => PAUSE_MAX.min(pause * 2),
            _ => PAUSE,
        };
        self.last = Some((now, pause));
        Some(std::mem::take(&mut self.slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_comes_at_once_and_others_wait_longer_each_time() {
        let mut follow_ups = FollowUps::default();
        assert_eq!(follow_ups.due(), None);
        follow_ups.want(vec![1, 0]);
        assert_eq!(follow_ups.take(SECOND), Some(BTreeSet::from([0, 1])));
        assert_eq!(follow_ups.take(SECOND), None, "nobody wants one");
        follow_ups.want(vec![1]);
        assert_eq!((follow_ups.take(SECOND), follow_ups.due()), (None, Some(2 * SECOND)));
        assert_eq!(follow_ups.take(2 * SECOND), Some(BTreeSet::from([1])));
        let mut now = 2 * SECOND;
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            follow_ups.want(vec![0]);
            assert_eq!(follow_ups.due(), Some(now + pause * SECOND));
            now += pause * SECOND;
            assert!(follow_ups.take(now).is_some());
        }
        now += 120 * SECOND;
        follow_ups.want(vec![0]);
        assert!(follow_ups.take(now).is_some());
        follow_ups.want(vec![0]);
        assert_eq!(follow_ups.due(), Some(now + SECOND), "it was quiet in between");
    }
}
