//! How versions write tasks (spec section 4), as JSON and as text.

/// What `Accept: text/plain` on `/v2/tasks` gives (spec section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainTasks {
    /// The table, with port `0` where a task has fewer host ports than its app has service ports (0.8 to 1.4).
    ZeroForMissing,
    /// The table, with `agent:0` for ports that only the container's network reaches (1.5 to 1.7).
    ZeroForContainers,
    /// The table without what cannot be reached, and with `containerNetworks` (1.8 and 1.9).
    OnlyReachable,
    /// 406: it has to be asked for with `--deprecated_features text_plain_tasks` (1.10).
    Deprecated,
    /// 406: it is gone (1.11).
    Gone,
}

/// The form of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch for each field that came with some version")]
pub struct TaskShape {
    /// Whether empty lists are written as `[]` and keys are in the order of the schema; before, empty lists are left
    /// out (1.6 on).
    pub schema_order: bool,
    /// Whether there is `slaveId` (0.11 on).
    pub slave_id: bool,
    /// Whether there is `ipAddresses` (0.14 on).
    pub ip_addresses: bool,
    /// Whether there is `state` (1.3 on).
    pub state: bool,
    /// Whether `startedAt` of a task that does not run yet is `null`; later it is left out (up to 1.3).
    pub null_start: bool,
    /// Whether health results name the instance and say `lastFailureCause`; before, they name the task (1.4 on).
    pub health_by_instance: bool,
    /// Whether times that health results do not have are `null`; later they are left out (up to 1.7).
    pub null_times: bool,
    /// Whether there are `region` and `zone` (1.6 on).
    pub fault_domain: bool,
    /// Whether there is `role` (1.9 on).
    pub role: bool,
    /// What the text table is like.
    pub plain: PlainTasks,
    /// Whether `Accept: */*` may give the text table, as chance would have it (0.8).
    pub ambiguous_accept: bool,
    /// Whether `POST /v2/tasks/delete` answers with the tasks; 0.8 answers nothing.
    pub deleted_listed: bool,
}
