//! Tasks of apps as Marathon lists them (spec/marathon.md section 4).

use std::net::IpAddr;
use std::sync::Arc;

use crate::{AgentId, AppId, InstanceId, TaskId, TaskStatus, Timestamp};

/// One task of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct AppTask {
    /// Mesos task id.
    pub id: TaskId,
    /// The app it belongs to.
    pub app: AppId,
    /// Marathon's slot, where the generation has one.
    pub instance: Option<InstanceId>,
    /// The agent's host name as the agent registered it; may be unresolvable from here.
    pub host: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// Mesos state. Where Marathon tells none (before 1.2): running if `started_at` is set, else staging.
    pub status: TaskStatus,
    /// Agent host ports, in order of the declared ports that have a host port.
    pub ports: Vec<u16>,
    /// Filled by `/v2/tasks` alone.
    pub service_ports: Vec<u16>,
    /// Mesos' network addresses; meaningful only for container networks (section 5).
    pub addresses: Vec<IpAddress>,
    /// When it was launched.
    pub staged_at: Option<Timestamp>,
    /// When it began to run.
    pub started_at: Option<Timestamp>,
    /// The app version it was started with.
    pub version: Option<Timestamp>,
    /// One entry per check that has a result.
    pub health: Vec<HealthResult>,
    /// The result of its readiness check; `None` where there is none, as outside of deployments (section 3.5).
    pub ready: Option<bool>,
}

/// An address of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpAddress(pub IpAddr);

/// The result of one health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthResult {
    /// There was a success and it is newer than the last counted failure.
    pub alive: bool,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// There was a first success at some time; tells a failing check from one whose failures are still ignored.
    pub succeeded_once: bool,
}
