//! The scenarios that are built in, one file each in `scenarios/`.

use super::Scenario;

const TEXTS: [&str; 12] = [
    include_str!("../../scenarios/rolling-update.json"),
    include_str!("../../scenarios/leader-change.json"),
    include_str!("../../scenarios/agent-partition.json"),
    include_str!("../../scenarios/agent-gone.json"),
    include_str!("../../scenarios/crash-loop.json"),
    include_str!("../../scenarios/flapping-health.json"),
    include_str!("../../scenarios/silent-stream.json"),
    include_str!("../../scenarios/lossy-events.json"),
    include_str!("../../scenarios/slow-marathon.json"),
    include_str!("../../scenarios/stuck-deployment.json"),
    include_str!("../../scenarios/pods.json"),
    include_str!("../../scenarios/busy-day.json"),
];

/// All of them. That each one can be read is a test.
pub fn ready() -> impl Iterator<Item = Scenario> {
    TEXTS.into_iter().filter_map(|text| Scenario::parse(text.as_bytes()).ok())
}

/// How many there ought to be.
#[cfg(test)]
pub(super) const COUNT: usize = TEXTS.len();
