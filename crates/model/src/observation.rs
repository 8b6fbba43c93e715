//! What a source says. The catalog's only input besides time.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{
    AgentId, App, AppId, AppTask, DeploymentId, InstanceId, Pod, TaskEvent, TaskId, TaskStatus, Timestamp,
};

/// One thing that a source told us, in the order in which it was learnt.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// The event stream is attached. Nothing before this moment was replayed, so a [`Observation::Listing`] follows.
    Attached,
    /// Everything the source knows. `requested_at_event` is the number of events received when the request was sent:
    /// what later events said is newer than this listing.
    Listing {
        /// The listing.
        listing: Box<Listing>,
        /// Number of stream events seen before the request was sent.
        requested_at_event: u64,
    },
    /// One app, fetched alone; `None` if the source does not know it (any more).
    App {
        /// Which one was asked for.
        id: AppId,
        /// The answer.
        listing: Option<Box<AppListing>>,
        /// The time by the source's own clock when it answered, to the second below; `None` if it did not tell.
        as_of: Option<Timestamp>,
        /// Number of stream events seen before the request was sent.
        requested_at_event: u64,
    },
    /// A request for a listing or an app failed; the last good state stays.
    RequestFailed {
        /// The app, or `None` for the whole listing.
        id: Option<AppId>,
        /// What went wrong, for people.
        reason: String,
    },
    /// An event from the stream or the callback.
    Event(ClusterEvent),
    /// The stream has ended or went silent. Nothing is removed because of it.
    Lost {
        /// What happened, for people.
        reason: String,
    },
    /// The source's leader has changed (by header, by `/v2/leader`, or by re-registration).
    LeaderChanged {
        /// The new leader as it calls itself.
        leader: String,
    },
}

/// Everything that a source knows, plus what could not be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// Apps with their tasks.
    pub apps: Vec<AppListing>,
    /// Pods with their instances.
    pub pods: Vec<Pod>,
    /// The source does not tell about pods (it may not, or cannot now): `pods` is empty and says nothing. Apps are complete
    /// nevertheless.
    pub pods_unknown: bool,
    /// The time by the source's own clock when it answered, to the second below; `None` if it did not tell. Whatever the
    /// listing dates is compared with this and not with our clock (spec/marathon.md section 11, trap 23).
    pub as_of: Option<Timestamp>,
    /// Parts that were left out, and why.
    pub warnings: Vec<Warning>,
}

/// An app with its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct AppListing {
    /// The definition.
    pub app: App,
    /// Its tasks, in no particular order.
    pub tasks: Vec<AppTask>,
}

/// A part of a document that could not be read. The rest of the document is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where, e.g. `apps[3].tasks[0].id`.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// An event of the event bus, brought to one form over all generations (spec/marathon.md section 6.3).
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterEvent {
    /// `status_update_event`.
    Status(StatusUpdate),
    /// `instance_changed_event`.
    InstanceChanged {
        /// Which instance.
        instance: InstanceId,
        /// App or pod.
        app: AppId,
        /// Its condition; unchanged condition means that its goal changed (1.8+).
        condition: InstanceCondition,
        /// The definition's version that it runs.
        version: Option<Timestamp>,
        /// When it was said, by the source's clock.
        at: Option<Timestamp>,
    },
    /// `instance_health_changed_event` and `health_status_changed_event`.
    HealthChanged {
        /// App or pod.
        app: AppId,
        /// The instance, where told.
        instance: Option<InstanceId>,
        /// The task, where told (up to 1.3).
        task: Option<TaskId>,
        /// `None` is unknown, which is not the same as unhealthy.
        healthy: Option<bool>,
        /// It speaks for the instance as a whole, not for one of several checks.
        whole: bool,
        /// When it was said, by the source's clock.
        at: Option<Timestamp>,
    },
    /// `unhealthy_task_kill_event`, `unhealthy_instance_kill_event`: as good as TASK_KILLING.
    UnhealthyKill {
        /// App.
        app: AppId,
        /// The task.
        task: Option<TaskId>,
        /// The instance, where told.
        instance: Option<InstanceId>,
    },
    /// `api_post_event`: the definition was written, and is visible from now on.
    AppDefinition {
        /// The full definition.
        app: Box<App>,
    },
    /// `pod_created_event`, `pod_updated_event`, `pod_deleted_event`.
    PodChanged {
        /// The pod, unless the event is a creation (whose uri does not tell).
        pod: Option<AppId>,
    },
    /// `group_change_success`: definitions below that group may have changed or gone.
    GroupChanged {
        /// Absolute path; `/` for everything.
        group: Arc<str>,
        /// The version of the change; an app that was written alone has the same.
        version: Option<Timestamp>,
    },
    /// `deployment_info`, `deployment_step_*`, `deployment_success`, `deployment_failed`.
    Deployment {
        /// Which deployment, where told.
        id: Option<DeploymentId>,
        /// How far it is.
        phase: DeploymentPhase,
        /// Apps and pods that its steps name.
        affected: Vec<AppId>,
        /// Apps and pods that the step that begins or ended stops for good.
        stopping: Vec<AppId>,
        /// When its plan was made: what it starts has this version, what it stops an older one.
        version: Option<Timestamp>,
    },
    /// `app_terminated_event`: gone for certain.
    AppTerminated {
        /// App or pod.
        app: AppId,
    },
    /// `unknown_task_terminated_event`, `unknown_instance_terminated_event`.
    UnknownTerminated {
        /// App or pod.
        app: AppId,
        /// The task (1.3).
        task: Option<TaskId>,
        /// The instance (1.4 and later).
        instance: Option<InstanceId>,
    },
    /// `scheduler_registered_event`, `scheduler_reregistered_event`: a leader (re)connected to Mesos.
    SchedulerRegistered,
    /// `scheduler_disconnected_event`.
    SchedulerDisconnected,
    /// Known and of no consequence, or unknown to us.
    Ignored {
        /// Its `eventType`.
        event_type: Arc<str>,
    },
}

/// All that a `status_update_event` says.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusUpdate {
    /// The part that the queue and the modules see.
    pub event: TaskEvent,
    /// The agent.
    pub agent: Option<AgentId>,
    /// Addresses; often empty in the first TASK_RUNNING and filled in a repeated one.
    pub addresses: Vec<IpAddr>,
    /// Version of the app that the task runs.
    pub version: Option<Timestamp>,
    /// Mesos' message.
    pub message: Option<Arc<str>>,
}

impl StatusUpdate {
    /// The state that the task has entered.
    #[must_use]
    pub fn status(&self) -> &TaskStatus {
        &self.event.status
    }
}

/// Condition of an instance (spec/marathon.md section 7).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are Marathon's own names")]
pub enum InstanceCondition {
    Scheduled,
    Provisioned,
    Created,
    Reserved,
    Staging,
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    Killed,
    Error,
    Gone,
    Dropped,
    Unknown,
    Unreachable,
    UnreachableInactive,
    /// Any other name.
    Other(Arc<str>),
}

impl InstanceCondition {
    /// Reads Marathon's name of a condition.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "Scheduled" => Self::Scheduled,
            "Provisioned" => Self::Provisioned,
            "Created" => Self::Created,
            "Reserved" => Self::Reserved,
            "Staging" => Self::Staging,
            "Starting" => Self::Starting,
            "Running" => Self::Running,
            "Killing" => Self::Killing,
            "Finished" => Self::Finished,
            "Failed" => Self::Failed,
            "Killed" => Self::Killed,
            "Error" => Self::Error,
            "Gone" => Self::Gone,
            "Dropped" => Self::Dropped,
            "Unknown" => Self::Unknown,
            "Unreachable" => Self::Unreachable,
            "UnreachableInactive" => Self::UnreachableInactive,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for InstanceCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            // The variants are called as Marathon calls them.
            named => write!(f, "{named:?}"),
        }
    }
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentPhase {
    /// A step begins. The new definition may not be visible yet.
    StepBegan,
    /// A step ended.
    StepEnded,
    /// The whole plan ended.
    Succeeded,
    /// Cancelled or superseded.
    Failed,
}
