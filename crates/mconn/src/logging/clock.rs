//! The time in front of each line. The local text is worked out once a second: looking up the time zone for each line
//! would cost more than the rest of the line.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Gives the time; a test gives its own.
pub(super) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub(super) struct Clock {
    now: Now,
    zone: TimeZone,
    /// A second since the epoch, and its text.
    cached: RwLock<(i64, String)>,
}

impl Clock {
    pub(super) fn new(now: Now, zone: TimeZone) -> Self {
        Self { now, zone, cached: RwLock::new((i64::MIN, String::new())) }
    }

    /// The machine's time and time zone.
    pub(super) fn system() -> Self {
        Self::new(Arc::new(Timestamp::now), TimeZone::system())
    }

    /// Appends `DD-MM-YYYY HH:mm:ss`, local time.
    pub(super) fn push_local(&self, line: &mut String) {
        let now = (self.now)();
        let second = now.as_second();
        {
            let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
            if cached.0 == second {
                line.push_str(&cached.1);
                return;
            }
        }
        let text = now.to_zoned(self.zone.clone()).strftime("%d-%m-%Y %H:%M:%S").to_string();
        line.push_str(&text);
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = (second, text);
    }

    /// Appends RFC 3339 in UTC with milliseconds.
    pub(super) fn push_rfc3339(&self, line: &mut String) {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(line, "{:.3}", (self.now)());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[test]
    fn the_text_follows_the_clock_and_the_zone() {
        let millis = Arc::new(AtomicI64::new(0));
        let source = Arc::clone(&millis);
        let now: Now = Arc::new(move || Timestamp::from_millisecond(source.load(Ordering::Relaxed)).unwrap());
        let clock = Clock::new(now, TimeZone::fixed(jiff::tz::offset(2)));
        let cases = [
            (1_432_566_744_140, "25-05-2015 17:12:24", "2015-05-25T15:12:24.140Z"),
            (1_432_566_744_999, "25-05-2015 17:12:24", "2015-05-25T15:12:24.999Z"),
            (1_432_566_745_000, "25-05-2015 17:12:25", "2015-05-25T15:12:25.000Z"),
            (0, "01-01-1970 02:00:00", "1970-01-01T00:00:00.000Z"),
        ];
        for (at, local, utc) in cases {
            millis.store(at, Ordering::Relaxed);
            let (mut a, mut b) = (String::new(), String::new());
            clock.push_local(&mut a);
            clock.push_rfc3339(&mut b);
            assert_eq!((a.as_str(), b.as_str()), (local, utc));
        }
    }
}
