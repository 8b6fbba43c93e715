//! An instance: the slot that holds one task of an app, and what is known about that task.

use super::definition::AppDef;
use super::health::Check;
use super::path::PathId;
use crate::time::Time;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// `shop_cart.instance-<uuid>`
pub type InstanceId = Arc<str>;

/// What state an instance is in, in Marathon's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "Marathon's own words, explained in its documentation")]
pub enum Condition {
    Scheduled,
    Provisioned,
    Staging,
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    Killed,
    Gone,
    /// TASK_LOST, of versions up to 1.3: forgotten.
    Lost,
    Unreachable,
    UnreachableInactive,
}

impl Condition {
    /// The word in `instance_changed_event`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Condition::Scheduled => "Scheduled",
            Condition::Provisioned => "Provisioned",
            Condition::Staging => "Staging",
            Condition::Starting => "Starting",
            Condition::Running => "Running",
            Condition::Killing => "Killing",
            Condition::Finished => "Finished",
            Condition::Failed => "Failed",
            Condition::Killed => "Killed",
            Condition::Gone => "Gone",
            Condition::Lost => "Lost",
            Condition::Unreachable => "Unreachable",
            Condition::UnreachableInactive => "UnreachableInactive",
        }
    }

    /// The word for the task's state.
    #[must_use]
    pub fn task_state(self) -> &'static str {
        match self {
            Condition::Scheduled | Condition::Provisioned | Condition::Staging => "TASK_STAGING",
            Condition::Starting => "TASK_STARTING",
            Condition::Running => "TASK_RUNNING",
            Condition::Killing => "TASK_KILLING",
            Condition::Finished => "TASK_FINISHED",
            Condition::Failed => "TASK_FAILED",
            Condition::Killed => "TASK_KILLED",
            Condition::Gone => "TASK_GONE",
            Condition::Lost => "TASK_LOST",
            Condition::Unreachable | Condition::UnreachableInactive => "TASK_UNREACHABLE",
        }
    }

    /// Whether there is a task at an agent that may still be doing something.
    #[must_use]
    pub fn has_task(self) -> bool {
        !matches!(
            self,
            Condition::Scheduled
                | Condition::Finished
                | Condition::Failed
                | Condition::Killed
                | Condition::Gone
                | Condition::Lost
        )
    }

    /// Which are given up first when there are too many: the least useful.
    pub(crate) fn kill_rank(self) -> u8 {
        match self {
            Condition::Unreachable | Condition::UnreachableInactive => 0,
            Condition::Scheduled | Condition::Provisioned => 1,
            Condition::Staging => 2,
            Condition::Starting => 3,
            _ => 4,
        }
    }
}

/// An address of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpAddress {
    /// The address.
    pub ip_address: String,
    /// `IPv4`
    pub protocol: &'static str,
}

/// What an instance was when its agent was cut off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    pub(crate) from: Condition,
    pub(crate) decommissioned: bool,
    pub(crate) dying: bool,
    pub(crate) since: Time,
}

/// Probes that succeed and fail in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flap {
    pub(crate) period: Duration,
    /// A timer with another number is void.
    pub(crate) number: u64,
}

/// One container of a pod's instance.
#[derive(Debug, Clone)]
pub(crate) struct PodTask {
    pub(crate) condition: Condition,
    /// Since when it is in this condition.
    pub(crate) since: Time,
}

/// One instance of an app or a pod.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) app: PathId,
    /// The definition its task was, or will be, started with.
    pub(crate) def: Arc<AppDef>,
    /// Counts the tasks of this instance, from 1.
    pub(crate) incarnation: u32,
    pub(crate) condition: Condition,
    /// Whether it shall go for good once its task is dead.
    pub(crate) decommissioned: bool,
    /// Whether its task has got SIGTERM.
    pub(crate) dying: bool,
    /// The index of its agent, once there is one.
    pub(crate) agent: Option<usize>,
    pub(crate) host_ports: Vec<u16>,
    pub(crate) ip: Option<IpAddress>,
    /// Since when it waits for its task.
    pub(crate) since: Time,
    pub(crate) staged_at: Option<Time>,
    pub(crate) started_at: Option<Time>,
    /// When its readiness check succeeds.
    pub(crate) ready_at: Option<Time>,
    /// Since when it cannot be reached, and what it was before.
    pub(crate) lost: Option<Lost>,
    /// The containers, when this is an instance of a pod.
    pub(crate) containers: Vec<PodTask>,
    /// The addresses in a pod's further networks; the first is `ip`.
    pub(crate) more_ips: Vec<IpAddress>,
    /// When probes begin to find the opposite.
    pub(crate) flap: Option<Flap>,
    /// What probes of this task find.
    pub(crate) answers_probes: bool,
    /// One for each of the definition's checks, from RUNNING on.
    pub(crate) checks: Vec<Check>,
    /// The aggregate health that was last told to the bus.
    pub(crate) told_health: Option<bool>,
}

impl Instance {
    /// An instance that waits for its first task.
    pub(crate) fn new(id: InstanceId, def: &Arc<AppDef>, now: Time) -> Instance {
        Instance {
            id,
            app: def.id.clone(),
            def: def.clone(),
            incarnation: 0,
            condition: Condition::Scheduled,
            decommissioned: false,
            dying: false,
            agent: None,
            host_ports: Vec::new(),
            ip: None,
            since: now,
            staged_at: None,
            started_at: None,
            ready_at: None,
            lost: None,
            containers: Vec::new(),
            more_ips: Vec::new(),
            flap: None,
            answers_probes: true,
            checks: Vec::new(),
            told_health: None,
        }
    }

    /// Whether it takes a place at an agent, as constraints count.
    pub(crate) fn is_placed(&self) -> bool {
        self.agent.is_some() && self.condition != Condition::UnreachableInactive
    }

    /// True if every check has succeeded, none while one has no result, false otherwise.
    pub(crate) fn healthy(&self) -> Option<bool> {
        if self.checks.is_empty() || self.checks.iter().any(|check| check.result.is_none()) {
            return None;
        }
        Some(self.checks.iter().flat_map(|check| &check.result).all(|result| result.alive))
    }

    /// Whether a deployment may count on it.
    pub(crate) fn is_ready(&self, now: Time) -> bool {
        self.condition == Condition::Running
            && !self.decommissioned
            && !self.dying
            && (self.def.health_checks.is_empty() || self.healthy() == Some(true))
            && self.ready_at.is_none_or(|ready_at| ready_at <= now)
    }

    /// Whether its task is older than the last change of the definition that matters to tasks.
    pub(crate) fn is_outdated(&self, target: &AppDef) -> bool {
        self.def.version_info.last_config_change_at < target.version_info.last_config_change_at
    }

    /// Forgets the task, so that the next one can be started.
    pub(crate) fn forget_task(&mut self) {
        self.agent = None;
        self.host_ports.clear();
        self.ip = None;
        self.staged_at = None;
        self.started_at = None;
        self.ready_at = None;
        self.dying = false;
        self.lost = None;
        self.containers.clear();
        self.more_ips.clear();
        self.flap = None;
        self.answers_probes = true;
        self.checks.clear();
        self.told_health = None;
    }
}
