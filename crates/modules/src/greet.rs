//! What HelloWorld and Test have in common: a text when a task comes, a text when it goes, an inventory of those here.

use mconn_module::{Failure, Run, TaskStatus};
use serde_json::Value;

/// What a status means to a greeter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Came,
    Went,
    /// TASK_STAGING, TASK_STARTING, TASK_UNREACHABLE and whatever else there is.
    Undefined,
}

impl Meaning {
    /// The original removes on FAILED, KILLED, LOST and FINISHED; the end states that Mesos has added since mean the same.
    pub(crate) fn of(status: &TaskStatus) -> Self {
        match status {
            TaskStatus::Running => Self::Came,
            status if status.is_terminal() => Self::Went,
            _ => Self::Undefined,
        }
    }
}

/// A text from the preset's `options.actions`.
pub(crate) fn action<'a>(run: &'a Run, name: &str) -> Result<&'a str, Failure> {
    let options = &run.preset().options;
    options["actions"][name].as_str().ok_or_else(|| {
        Failure::permanent(format!(
            "the preset of app \"{}\" has no text options.actions.{name}: set it with \"mconn preset set\"",
            run.event().app
        ))
    })
}

/// Data that the inventory keeps for a task that came.
pub(crate) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
