//! The rhythm of following.

use std::time::Duration;

use mconn_model::SourceId;
use mconn_wire::sse::MAX_EVENT_BYTES;

use crate::client::EventFilter;

/// Settings of [`super::Follower`] and [`super::follow`].
#[derive(Debug, Clone)]
pub struct FollowSettings {
    /// A stream without any byte for this long is dead; default 25 s (Marathon's heartbeat comes every 10 s).
    pub silence: Duration,
    /// Full comparisons happen after a random time between this...
    pub compare_min: Duration,
    /// ...and this; default 60 s and 300 s.
    pub compare_max: Duration,
    /// The first pause before an attempt is repeated; it doubles each time. Default 1 s.
    pub backoff_min: Duration,
    /// The longest pause; default 30 s.
    pub backoff_max: Duration,
    /// A stream that lived this long was healthy: pauses start small again. Default 30 s.
    pub healthy_after: Duration,
    /// How often everything is listed while there is no stream; default 10 s.
    pub poll_interval: Duration,
    /// How many attempts to attach may fail before polling starts; default 3. Where Marathon says that there is no
    /// stream, polling starts at once.
    pub poll_after_failures: u32,
    /// How often a stream is tried where Marathon says that there is none; default 300 s.
    pub stream_retry: Duration,
    /// Which events are asked for.
    pub filter: EventFilter,
    /// What task events carry as their source ([`mconn_model::TaskEvent::source`]); default none.
    pub mark: Option<SourceId>,
    /// Largest accepted event in bytes; default 64 MiB.
    pub event_limit: usize,
}

impl Default for FollowSettings {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(25),
            compare_min: Duration::from_secs(60),
            compare_max: Duration::from_secs(300),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(30),
            poll_interval: Duration::from_secs(10),
            poll_after_failures: 3,
            stream_retry: Duration::from_secs(300),
            filter: EventFilter::default(),
            mark: None,
            event_limit: MAX_EVENT_BYTES,
        }
    }
}
