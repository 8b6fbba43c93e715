//! The rhythm of a member.

use std::time::Duration;

/// Settings of [`crate::Elector`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How often the line and the epoch are looked at although nothing was heard of them: a follower sees members that come
    /// and go behind it then (the leader at once), and so is what a lost watch would have told. Up to a quarter more, at random. Default 10 s.
    pub refresh: Duration,
    /// The pause after the first call that failed; it doubles each time. Default 100 ms.
    pub retry_min: Duration,
    /// The longest pause between calls that fail; default 3 s.
    pub retry_max: Duration,
    /// How long a term may take to stop before this node leaves the line for the others' sake; default 10 s.
    pub stop_limit: Duration,
    /// How long leaving may take altogether before the session is just closed; default 15 s.
    pub leave_limit: Duration,
    /// How long this node stays out of the line after a term that ended by itself (the store could not be loaded, ...);
    /// it doubles with each that never served. Default 500 ms.
    pub rejoin_min: Duration,
    /// The longest such time; default 30 s.
    pub rejoin_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(10),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(3),
            stop_limit: Duration::from_secs(10),
            leave_limit: Duration::from_secs(15),
            rejoin_min: Duration::from_millis(500),
            rejoin_max: Duration::from_secs(30),
        }
    }
}
