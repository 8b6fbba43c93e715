//! What a step can do. As JSON an object with one key, the action's name.

use crate::cluster::{AgentFate, Behaviour, BusTrouble, PathId, Pick};
use crate::http::Fault;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What happens to the event streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamTrouble {
    /// All are closed.
    Close,
    /// They stay open and say nothing.
    Stall,
    /// They say something again.
    Resume,
}

/// Which agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentChoice {
    /// Any that fits, drawn by the seed: one that can be reached, or for a return one that cannot.
    Any,
    /// All that fit.
    All,
    /// By id or host name.
    Named(String),
}

/// One action.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields are the parameters of the call or the control named by the variant"
)]
pub enum Action {
    /// `POST /v2/apps`
    CreateApp(Value),
    /// `PUT /v2/apps/{id}`
    PutApp {
        #[serde(deserialize_with = "id")]
        id: PathId,
        app: Value,
        #[serde(default)]
        force: bool,
        #[serde(default = "yes")]
        partial: bool,
    },
    /// `DELETE /v2/apps/{id}`
    DeleteApp {
        #[serde(deserialize_with = "id")]
        id: PathId,
        #[serde(default = "yes")]
        force: bool,
    },
    /// `PUT /v2/apps/{id}` with a number of instances
    Scale {
        #[serde(deserialize_with = "id")]
        id: PathId,
        instances: u32,
        #[serde(default)]
        force: bool,
    },
    /// `POST /v2/apps/{id}/restart`
    Restart {
        #[serde(deserialize_with = "id")]
        id: PathId,
        #[serde(default)]
        force: bool,
    },
    /// `POST /v2/pods`
    CreatePod(Value),
    /// `PUT /v2/pods/{id}`
    PutPod {
        #[serde(deserialize_with = "id")]
        id: PathId,
        pod: Value,
        #[serde(default)]
        force: bool,
    },
    /// `DELETE /v2/pods/{id}`
    DeletePod {
        #[serde(deserialize_with = "id")]
        id: PathId,
        #[serde(default)]
        force: bool,
    },
    /// `PUT /v2/groups/{id}`
    PutGroup {
        #[serde(deserialize_with = "group_id")]
        id: PathId,
        group: Value,
        #[serde(default)]
        force: bool,
    },
    /// `DELETE /v2/groups/{id}`
    DeleteGroup {
        #[serde(deserialize_with = "id")]
        id: PathId,
        #[serde(default)]
        force: bool,
    },
    /// `POST /v2/tasks/delete`
    Kill {
        tasks: Pick,
        #[serde(default)]
        scale: bool,
        #[serde(default)]
        wipe: bool,
    },
    /// `DELETE /v2/deployments/{id}` of the deployment that changes an app; nothing if there is none
    CancelDeployment {
        #[serde(deserialize_with = "id")]
        of: PathId,
        #[serde(default)]
        force: bool,
    },
    /// `DELETE /v2/queue/{id}/delay`
    ResetDelay {
        #[serde(deserialize_with = "id")]
        id: PathId,
    },
    /// Tasks end with TASK_FAILED.
    Fail(Pick),
    /// Tasks end with TASK_FINISHED.
    Finish(Pick),
    /// Tasks become unreachable.
    Lose(Pick),
    /// Lost tasks come back.
    Return(Pick),
    /// Probes of tasks fail, succeed, or change in turn.
    Health { tasks: Pick, alive: Option<bool>, flap_ms: Option<u64> },
    /// Tasks of an app behave in their own way; without `set` as all do.
    Behaviour {
        #[serde(deserialize_with = "id")]
        app: PathId,
        set: Option<Behaviour>,
    },
    /// An agent is `lost`, `return`s, is `gone` or is `drain`ed.
    Agent {
        #[serde(default = "any_agent", deserialize_with = "agent_choice")]
        which: AgentChoice,
        #[serde(deserialize_with = "agent_fate")]
        fate: AgentFate,
    },
    /// Another node leads: streams close, what Marathon probed is forgotten. Without `leader` the same one again.
    LeaderChange { leader: Option<String> },
    /// `POST /sim/fault`; null is `DELETE`.
    Fault(Option<Fault>),
    /// `close`, `stall` or `resume`
    Streams(StreamTrouble),
    /// `POST /sim/bus`; null is `DELETE`.
    Bus(Option<BusTrouble>),
    /// Marathon's clock jumps.
    ClockJump { ms: i64 },
    /// Apps with running tasks are in place at once.
    Fill { apps: u32, tasks: u32, app: Option<Value> },
    /// An event of one's own.
    Event(Value),
    /// A line for the log.
    Say(String),
}

fn yes() -> bool {
    true
}

fn any_agent() -> AgentChoice {
    AgentChoice::Any
}

fn group_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathId, D::Error> {
    let text = String::deserialize(deserializer)?;
    let id = PathId::lenient(&text);
    match id.fault() {
        Some(fault) if !id.is_root() => Err(serde::de::Error::custom(format!("\"{text}\" {fault}"))),
        _ => Ok(id),
    }
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathId, D::Error> {
    let id = group_id(deserializer)?;
    if id.is_root() {
        return Err(serde::de::Error::custom("the id is missing"));
    }
    Ok(id)
}

fn agent_choice<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AgentChoice, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "any" => AgentChoice::Any,
        "all" => AgentChoice::All,
        name => AgentChoice::Named(name.to_owned()),
    })
}

fn agent_fate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AgentFate, D::Error> {
    let text = String::deserialize(deserializer)?;
    AgentFate::by_name(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("fate \"{text}\" is none of lost, return, gone, drain"))
    })
}
