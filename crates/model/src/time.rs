//! A point in time as the cluster writes it.

use std::fmt;
use std::time::SystemTime;

/// Milliseconds since the Unix epoch, UTC. Only compared with other timestamps of the same source, never with the local
/// clock (spec/marathon.md section 11, trap 23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From a point in time that somebody told (it is no reading of a clock). `None` if it is too far away to be written.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let millis = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).ok()?,
            Err(before) => i64::try_from(before.duration().as_millis()).ok()?.checked_neg()?,
        };
        Some(Self(millis))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads ISO-8601 with any number of decimals (`2026-01-05T10:00:00.48Z`), the only form that Marathon writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_marathon_writes() {
        let full = Timestamp::parse("2026-01-05T10:00:00.480Z").unwrap();
        assert_eq!(Timestamp::parse("2026-01-05T10:00:00.48Z"), Some(full));
        assert_eq!(full.to_string(), "2026-01-05T10:00:00.480Z");
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
