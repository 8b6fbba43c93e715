//! What an event means for the tasks, read from its JSON by nothing that is under test.

use serde_json::Value;

/// A task, as index into the truth's list.
pub(crate) type At = usize;

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A task has entered a state. The first one of it tells that the instance's task before has ended.
    Status { task: At, state: &'static str, before: Option<At> },
    /// An instance's condition. `hint` if it says by itself that the task goes.
    Condition { task: At, condition: String, hint: bool },
    /// An instance shall go, which shows in its condition being told once more. `before` told it first.
    Goal { task: At, before: usize },
    /// A check has changed, or all of them together (`whole`).
    Health { task: At, alive: bool, whole: bool },
    /// A task will be killed for its health.
    Kill { task: At },
    /// A plan stops these tasks' apps.
    Stop { apps: Vec<String>, tasks: Vec<At> },
    /// A deployment of these apps is under way, or over.
    Deployment { apps: Vec<String>, over: bool },
    /// An app's last task has ended.
    Terminated { app: String, tasks: Vec<At> },
    /// An app was written.
    Written { app: String, config: u64 },
    /// About an app, or about nothing of interest.
    Other { app: Option<String> },
}

impl Meaning {
    /// The tasks that are told to go by this event.
    pub(crate) fn going(&self) -> &[At] {
        match self {
            Self::Status { task, state, .. } if is_leaving(state) => std::slice::from_ref(task),
            Self::Status { before: Some(before), .. } => std::slice::from_ref(before),
            Self::Condition { task, hint: true, .. } | Self::Goal { task, .. } | Self::Kill { task } => {
                std::slice::from_ref(task)
            }
            Self::Stop { tasks, .. } | Self::Terminated { tasks, .. } => tasks,
            _ => &[],
        }
    }

    /// The task that this event is about alone.
    pub(crate) fn task(&self) -> Option<At> {
        match self {
            Self::Status { task, .. }
            | Self::Condition { task, .. }
            | Self::Goal { task, .. }
            | Self::Health { task, .. }
            | Self::Kill { task } => Some(*task),
            _ => None,
        }
    }

    /// The name of the hint, for the counts.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Status { state: "TASK_KILLING", .. } => "told by TASK_KILLING",
            Self::Status { before: Some(_), .. } => "told by a successor",
            Self::Status { state: "TASK_UNREACHABLE", .. } => "told by an unreachable agent",
            Self::Goal { .. } => "told by a changed goal",
            Self::Kill { .. } => "told by a kill event",
            Self::Stop { .. } => "told by a plan that stops",
            Self::Condition { .. } => "told by a condition",
            _ => "told by an end",
        }
    }
}

/// The state of a task under its lasting name.
pub(crate) fn state(name: &str) -> &'static str {
    const STATES: [&str; 13] = [
        "TASK_STAGING",
        "TASK_STARTING",
        "TASK_RUNNING",
        "TASK_KILLING",
        "TASK_KILLED",
        "TASK_FAILED",
        "TASK_FINISHED",
        "TASK_UNREACHABLE",
        "TASK_LOST",
        "TASK_GONE",
        "TASK_ERROR",
        "TASK_DROPPED",
        "TASK_UNKNOWN",
    ];
    STATES.into_iter().find(|state| *state == name).unwrap_or("?")
}

pub(crate) fn is_leaving(state: &str) -> bool {
    !matches!(state, "TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING")
}

pub(crate) fn is_leaving_condition(condition: &str) -> bool {
    !matches!(condition, "Scheduled" | "Provisioned" | "Created" | "Staging" | "Starting" | "Running")
}

/// The apps that a step stops.
pub(crate) fn stopped(body: &Value) -> Vec<String> {
    let actions = body["currentStep"]["actions"].as_array().into_iter().flatten();
    actions
        .filter(|action| action["action"] == "StopApplication")
        .filter_map(|action| action["app"].as_str().map(str::to_owned))
        .collect()
}

/// The apps that a plan changes.
pub(crate) fn changed(body: &Value) -> Vec<String> {
    let steps = body["plan"]["steps"].as_array().into_iter().flatten();
    let actions = steps.flat_map(|step| step["actions"].as_array().into_iter().flatten());
    actions.filter_map(|action| action["app"].as_str().map(str::to_owned)).collect()
}
