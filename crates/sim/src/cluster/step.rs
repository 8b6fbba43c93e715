//! What goes into the state machine and what comes out of it.

use super::agent::AgentFate;
use super::answer::Answer;
use super::behaviour::Behaviour;
use super::bus::BusTrouble;
use super::event::Event;
use super::path::PathId;
use crate::time::Time;
use serde_json::Value;

/// Names a command, so that its answer finds back to the one who gave it. Chosen by the caller.
pub type Ticket = u64;

/// Who sent a request, for `api_post_event`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's address.
    pub client_ip: String,
    /// The path that was asked for.
    pub uri: String,
}

/// Which tasks shall be killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KillTarget {
    /// All of an app, perhaps only those on one host.
    App {
        /// The app.
        app: PathId,
        /// The host.
        host: Option<String>,
    },
    /// One of an app.
    Task {
        /// The app.
        app: PathId,
        /// The task's id.
        task: String,
    },
    /// Any, by id.
    Ids(Vec<String>),
}

/// How a task ends, or what happens to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// TASK_FAILED
    Fail,
    /// TASK_FINISHED
    Finish,
    /// TASK_UNREACHABLE, and what the app's strategy makes of it.
    Lose,
    /// SIGTERM from outside, as if by the API without `scale`.
    Kill,
    /// A lost task is seen again; if Marathon has given it up, it is killed as unknown.
    Return,
}

/// A change that somebody asks for. Everything that reads is a method of the cluster instead.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the parameters of the API call named by the variant")]
pub enum Command {
    /// `POST /v2/apps`
    CreateApp { body: Value, force: bool, caller: Caller },
    /// `PUT` (creates if absent) and `PATCH /v2/apps/{id}`
    UpdateApp { id: PathId, body: Value, force: bool, partial: bool, create: bool, caller: Caller },
    /// `PUT` and `PATCH /v2/apps`: several definitions, one deployment
    UpdateApps { body: Value, force: bool, partial: bool, create: bool },
    /// `DELETE /v2/apps/{id}`
    DeleteApp { id: PathId, force: bool, caller: Caller },
    /// `POST /v2/apps/{id}/restart`
    RestartApp { id: PathId, force: bool },
    /// `DELETE .../tasks`, `POST /v2/tasks/delete`
    KillTasks { target: KillTarget, scale: bool, wipe: bool, force: bool },
    /// `POST` (must be new) and `PUT /v2/groups[/{id}]`
    UpdateGroup { id: PathId, body: Value, force: bool, dry_run: bool, must_be_new: bool },
    /// `DELETE /v2/groups[/{id}]`
    DeleteGroup { id: PathId, force: bool },
    /// `DELETE /v2/deployments/{id}`
    CancelDeployment { id: String, force: bool },
    /// `DELETE /v2/queue/{id}/delay`
    ResetDelay { id: PathId },
    /// The shell has bound real ports for a task that is to be started; `None` if it could not.
    PortsBound { task: String, ports: Option<Vec<u16>> },
    /// A stream was attached.
    StreamAttached { remote: String },
    /// A stream has ended.
    StreamDetached { remote: String },
    /// A callback was registered.
    Subscribed { client_ip: String, url: String },
    /// A callback was removed.
    Unsubscribed { client_ip: String, url: String },
    /// Ends a task, or its agent's connection.
    EndTask { task: String, fate: Fate },
    /// Scripts what probes of a task find from now on.
    SetHealth { task: String, alive: bool },
    /// Scripts a task's probes, or lets them change in turn.
    FlapHealth { task: String, alive: Option<bool>, flap_ms: Option<u64> },
    /// Scripts all tasks of an app; none is the timeline again.
    SetBehaviour { app: PathId, behaviour: Option<Behaviour> },
    /// Cuts an agent off, brings it back, empties or removes it. Named by id or host.
    ChangeAgent { agent: String, fate: AgentFate },
    /// Marathon's clock jumps; what is due is not affected.
    JumpClock { ms: i64 },
    /// Loses, doubles, delays and reorders events from now on.
    DisturbBus { trouble: BusTrouble },
    /// `POST /v2/pods`
    CreatePod { body: Value, force: bool, caller: Caller },
    /// `PUT /v2/pods/{id}`
    UpdatePod { id: PathId, body: Value, force: bool, caller: Caller },
    /// `DELETE /v2/pods/{id}`
    DeletePod { id: PathId, force: bool, caller: Caller },
    /// `DELETE /v2/pods/{id}::instances[/{instance}]`
    KillPodInstances { id: PathId, instances: Vec<String>, one: bool },
    /// Puts an event of one's own on the bus.
    RawEvent { body: Value },
    /// Another node leads: what Marathon itself probed is forgotten.
    ChangeLeader { leader: String },
    /// Puts apps with running, healthy tasks in place at once and without events.
    Fill { apps: u32, tasks: u32, template: Option<Value> },
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer the command with this ticket.
    Answer(Ticket, Answer),
    /// Put an event on all streams and callbacks.
    Event(Event),
    /// Find real ports for a task and say which with [`Command::PortsBound`]. 0 is any.
    BindPorts {
        /// The task's id.
        task: String,
        /// The wanted numbers.
        wanted: Vec<u16>,
    },
    /// The task runs: it answers at its ports from now on.
    TaskRunning {
        /// The task's id.
        task: String,
    },
    /// The task is dead: its ports are free.
    TaskEnded {
        /// The task's id.
        task: String,
    },
    /// All streams end, as the leader has changed.
    CloseStreams,
}

/// The result of a command or of time having passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What has to be done, in this order.
    pub effects: Vec<Effect>,
    /// When the cluster wants to be called again if nothing else happens.
    pub wake_at: Option<Time>,
}
