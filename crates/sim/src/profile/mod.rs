//! What differs between Marathon's versions, as data.
//!
//! The code never asks "which version is this?" but "what does this one do here?". A further version
//! is a further constructor in `versions`, not a further branch. Where versions between two tags differ, a profile is
//! the later tag: `1.3` is 1.3.13, `1.4` is 1.4.13.

use crate::nodes::NodeProfile;
mod apps;
mod events;
mod tasks;
mod versions;

pub use apps::{AppShape, Bare, IpPerTask, Roles};
pub use events::{Addresses, EventShape, FailedCheckId, Plans, Statuses};
pub use tasks::{PlainTasks, TaskShape};

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

/// What `/v2/events` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStream {
    /// A path that does not exist: there are callbacks only (0.8).
    Absent,
    /// Frames of a `data:` line (0.9 and 0.10).
    DataOnly,
    /// Frames of an `event:` and a `data:` line (0.11 on).
    Named,
}

/// One version's behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What the profile is called on the command line.
    pub name: &'static str,
    /// The version that `/v2/info` reports.
    pub version: &'static str,
    /// The build reference that `/v2/info` reports; none is a version that reports none (up to 1.4).
    pub build_ref: Option<&'static str>,

    /// How definitions are read and written.
    pub apps: AppShape,
    /// How tasks are written.
    pub tasks: TaskShape,
    /// Which events are posted, and how they are written.
    pub events: EventShape,

    /// The form of task ids.
    pub task_ids: TaskIds,
    /// Whether instances show the conditions Scheduled and Provisioned instead of Created (1.8 on).
    pub scheduled_condition: bool,
    /// Whether a change of an instance's goal is posted with its condition unchanged (1.8 on).
    pub goal_events: bool,
    /// Whether TASK_STARTING is told between STAGING and RUNNING (1.4 on).
    pub starting_updates: bool,
    /// Whether a task whose agent is cut off may come back; before, it is TASK_LOST and forgotten (1.4 on).
    pub partition_aware: bool,
    /// Whether there are pods (1.4 on).
    pub pods: bool,
    /// Whether `--max_running_deployments` limits deployments, by 403 (1.6 on).
    pub deployment_limit: bool,
    /// Whether `/v2/deployments` writes a step as an object with `actions`; before, as an array (0.14 on).
    pub step_objects: bool,

    /// What `/v2/events` is.
    pub event_stream: EventStream,
    /// What happens to slow readers of the stream.
    pub overflow: Overflow,
    /// How many events may wait for one reader of the stream.
    pub stream_buffer: usize,
    /// Whether `event_type=` selects events (1.3.7 on).
    pub event_type_filter: bool,
    /// Whether the version itself has `/v2/eventSubscriptions` (up to 1.4). See [`crate::SimOptions::callbacks`].
    pub callbacks: bool,
    /// How several nodes behave, and who tells who leads.
    pub nodes: NodeProfile,
    /// Whether answers carry `X-Frame-Options` and `X-XSS-Protection` (1.0 on).
    pub security_headers: bool,
    /// Whether answers to writes carry `Marathon-Deployment-Id` (1.4 on).
    pub deployment_header: bool,
    /// Whether apps can be changed by `PATCH` (1.4 on).
    pub patch: bool,
    /// Whether `PUT` honours `partialUpdate=false` (1.5 on).
    pub partial_update: bool,
    /// The status of an answer for a path that does not exist.
    pub unknown_path_status: u16,
    /// The status when a request waits too long for its actor: 504 in 0.8, then 503.
    pub late_status: u16,
    /// `maxLaunchDelaySeconds` when an app does not say: 3600 up to 1.7, then 300.
    pub max_launch_delay_seconds: u32,
}

impl Profile {
    /// All profiles there are, oldest first.
    #[must_use]
    pub fn all() -> Vec<Profile> {
        vec![
            Profile::v0_8(),
            Profile::v0_9(),
            Profile::v0_11(),
            Profile::v0_15(),
            Profile::v1_1(),
            Profile::v1_3(),
            Profile::v1_4(),
            Profile::v1_5(),
            Profile::v1_6(),
            Profile::v1_7(),
            Profile::v1_8(),
            Profile::v1_9(),
            Profile::v1_10(),
            Profile::v1_11(),
        ]
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
