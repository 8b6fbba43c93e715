//! What differs between Marathon's versions, as data.
//!
//! The code never asks "which version is this?" but "what does this one do here?". A further version
//! is a further constructor, not a further branch.

use crate::nodes::NodeProfile;

/// The form of a task's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskIds {
    /// `shop_cart.<uuid>`, a new one for each launch (up to 1.7).
    AppUuid,
    /// `shop_cart.instance-<uuid>._app.<n>`, where a relaunch keeps the instance and counts `n` up (1.8 on).
    InstanceIncarnation,
}

/// What happens to a stream whose client does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Events that do not fit are lost and the stream goes on (up to 1.7).
    Drop,
    /// The connection is closed (1.8 on).
    Close,
}

/// One version's behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What the profile is called on the command line.
    pub name: &'static str,
    /// The version that `/v2/info` reports.
    pub version: &'static str,
    /// The build reference that `/v2/info` reports.
    pub build_ref: &'static str,
    /// The form of task ids.
    pub task_ids: TaskIds,
    /// The status of an answer for a path that does not exist.
    pub unknown_path_status: u16,
    /// What happens to slow readers of the stream.
    pub overflow: Overflow,
    /// How many events may wait for one reader of the stream.
    pub stream_buffer: usize,
    /// Whether `event_type=` selects events.
    pub event_type_filter: bool,
    /// Whether instances show the conditions Scheduled and Provisioned instead of Created.
    pub scheduled_condition: bool,
    /// Whether a change of an instance's goal is posted with its condition unchanged.
    pub goal_events: bool,
    /// Whether TASK_STARTING is posted between STAGING and RUNNING.
    pub starting_updates: bool,
    /// Whether `Accept: text/plain` on `/v2/tasks` gives the table of endpoints.
    pub plain_tasks: bool,
    /// How several nodes behave.
    pub nodes: NodeProfile,
    /// `maxLaunchDelaySeconds` when an app does not say.
    pub max_launch_delay_seconds: u32,
}

impl Profile {
    /// Marathon 1.8, which 1.9 to 1.11 follow but for added fields.
    #[must_use]
    pub const fn v1_8() -> Profile {
        Profile {
            name: "1.8",
            version: "1.8.244",
            build_ref: "0000000",
            task_ids: TaskIds::InstanceIncarnation,
            unknown_path_status: 500,
            overflow: Overflow::Close,
            stream_buffer: 1024,
            event_type_filter: true,
            scheduled_condition: true,
            goal_events: true,
            starting_updates: true,
            plain_tasks: true,
            nodes: NodeProfile::since_1_7(),
            max_launch_delay_seconds: 300,
        }
    }

    /// All profiles there are.
    #[must_use]
    pub fn all() -> Vec<Profile> {
        vec![Profile::v1_8()]
    }

    /// The profile called `name`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Profile> {
        Profile::all().into_iter().find(|profile| profile.name == name)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Profile::v1_8()
    }
}
