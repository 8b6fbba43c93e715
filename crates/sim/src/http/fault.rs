//! What goes wrong on purpose.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest delay that can be set; longer than any client waits.
const DELAY_MAX: Duration = Duration::from_secs(300);

/// How requests below `/v2` go wrong; the default is that they do not. As JSON the body of `POST /sim/fault`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Fault {
    /// Every answer waits this long, at most five minutes.
    pub delay_ms: u64,
    /// Every request gets this status instead of its answer.
    pub status: Option<u16>,
    /// The body of that answer is HTML, as from a proxy in front.
    pub html: bool,
    /// New event streams get 503, or `status`.
    pub refuse_streams: bool,
    /// Only half of each body is sent before the connection is closed.
    pub truncate_bodies: bool,
    /// Streams are written byte by byte.
    pub single_bytes: bool,
}

impl Fault {
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms).min(DELAY_MAX)
    }

    /// Whether it can be set: a status has to be one.
    pub(crate) fn is_valid(&self) -> bool {
        self.status.is_none_or(|status| (200..=599).contains(&status))
    }
}
