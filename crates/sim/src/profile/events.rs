//! Which events versions post, and how they write them (spec sections 6.3 and 6.7).

/// Which states of tasks are posted as `status_update_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// The first TASK_RUNNING and the end (up to 1.1).
    FirstRunningAndEnd,
    /// Also TASK_STAGING and TASK_KILLING (1.3).
    WithStagingAndKilling,
    /// All, and TASK_RUNNING again whenever Mesos repeats it (1.4 on).
    All,
}

/// `ipAddresses` of `status_update_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Never there (up to 0.13).
    Unknown,
    /// Left out until there are some (0.14 to 1.3).
    WhenKnown,
    /// `[]` until there are some (1.4 on).
    Always,
}

/// What `failed_health_check_event` names, and by which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedCheckId {
    /// The task, as `taskId` (up to 1.3).
    Task,
    /// The instance, as `instanceId` (1.4).
    Instance,
    /// The instance, but as `taskId` (1.5 on).
    InstanceAsTask,
}

/// Whether plans carry the whole root group from before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plans {
    /// Always (up to 1.4).
    Heavy,
    /// Unless `plan-format=light` is asked for (1.5 and 1.6).
    LightOnRequest,
    /// Never (1.7 on, where 1.7 could be told otherwise).
    Light,
}

/// The form of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch for each thing that came with some version")]
pub struct EventShape {
    /// Which states of tasks are posted.
    pub statuses: Statuses,
    /// `ipAddresses` of a status update.
    pub addresses: Addresses,
    /// Whether there are instances: `instance_changed_event`, `instance_health_changed_event`, `instanceId` of a
    /// flipped check, and `unhealthy_instance_kill_event` and `unknown_instance_terminated_event` where tasks were
    /// named before (1.4 on).
    pub instances: bool,
    /// What a failed check names.
    pub failed_check: FailedCheckId,
    /// Whether a kill for health's sake is posted (1.0 on).
    pub unhealthy_kill: bool,
    /// Whether the death of a task that nobody knows is posted (1.3.1 on).
    pub unknown_terminated: bool,
    /// Whether plans are heavy.
    pub plans: Plans,
    /// The key of an action's kind: `type` up to 1.1.1, then `action`.
    pub action_key: &'static str,
    /// Whether `deployment_success` and `deployment_failed` carry the plan (0.11 on).
    pub end_plan: bool,
    /// Whether `deployment_failed` says why (1.6 on).
    pub failed_reason: bool,
    /// Whether deleting an app posts `api_post_event` (0.8).
    pub post_on_delete: bool,
}
