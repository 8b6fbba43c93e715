//! What goes wrong on purpose.

use crate::mangle::ManglePolicy;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest delay that can be set; longer than any client waits.
const DELAY_MAX: Duration = Duration::from_secs(300);
/// The longest padding; four times what mconn's own client takes.
const PAD_MAX: u64 = 1024 * 1024 * 1024;

/// How requests, streams and callbacks go wrong; the default is that they do not. As JSON, alone or in a list, the
/// body of `POST /sim/fault`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Fault {
    /// Only paths that begin so go wrong; `/v2` unless given. Nothing below `/sim/` ever does.
    pub path: Option<String>,
    /// Only this node does, by number from 0; all unless given.
    pub node: Option<usize>,
    /// It ends by itself after so many milliseconds.
    pub for_ms: Option<u64>,
    /// Only so many of 100 requests, or of 100 streams, go wrong; all unless given.
    pub percent: Option<u8>,

    /// Every answer waits this long, at most five minutes.
    pub delay_ms: u64,
    /// Every request gets this status instead of its answer.
    pub status: Option<u16>,
    /// The body of that answer is HTML, as from a proxy in front.
    pub html: bool,
    /// Answers are 200 with a body that only looks like JSON at first.
    pub garbage: bool,
    /// So many blanks follow the body, which leaves JSON valid; at most 1 GiB.
    pub pad_bytes: u64,
    /// Only a part of each body is sent before the connection is closed.
    pub truncate_bodies: bool,
    /// That part in percent, 0 to 99. Default 50.
    pub truncate_percent: Option<u8>,
    /// Bodies are sent no faster than this.
    pub bytes_per_second: Option<u64>,
    /// Requests are read and never answered.
    pub hang: bool,
    /// Connections are reset as soon as a request has been read.
    pub reset: bool,
    /// Every request is sent back to where it came from with a 302.
    pub redirect_loop: bool,
    /// What `X-Marathon-Leader` says, true or not; empty is no such header.
    pub leader: Option<String>,

    /// New event streams get 503, or `status`.
    pub refuse_streams: bool,
    /// Streams are written byte by byte.
    pub single_bytes: bool,
    /// Streams stay open without a byte, heartbeats included; what happens meanwhile is lost to them.
    pub silent_streams: bool,
    /// Streams end in the middle of their next event.
    pub cut_frames: bool,
    /// Streams send no more events than this in a second; the others wait in their buffer until it overflows.
    pub events_per_second: Option<u32>,
    /// Events of streams are lost, doubled, reordered and delayed.
    pub events: Option<ManglePolicy>,
    /// The same for HTTP callbacks. Neither `node` nor `percent` selects among them.
    pub callbacks: Option<ManglePolicy>,
}

impl Fault {
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms).min(DELAY_MAX)
    }

    /// Looks whether it can be set.
    ///
    /// # Errors
    /// Which field cannot be so, and what would do.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("status has to be from 200 to 599");
        }
        if self.percent.is_some_and(|percent| percent > 100) {
            return Err("percent has to be from 0 to 100");
        }
        if self.truncate_percent.is_some_and(|percent| percent > 99) {
            return Err("truncatePercent has to be from 0 to 99");
        }
        if self.bytes_per_second == Some(0) || self.events_per_second == Some(0) {
            return Err(
                "bytesPerSecond and eventsPerSecond have to be at least 1; hang and silentStreams stop all",
            );
        }
        if self.pad_bytes > PAD_MAX {
            return Err("padBytes has to be 1073741824 at most");
        }
        for policy in self.events.iter().chain(&self.callbacks) {
            policy.check()?;
        }
        Ok(())
    }
}
