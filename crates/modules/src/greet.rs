//! What HelloWorld and Test have in common: a text when a task comes, a text when it goes, an inventory of those here.

use std::time::Duration;

use mconn_module::{CleanupTask, Failure, Outcome, Run, SyncDifference, TaskStatus};
use serde_json::Value;
use tracing::info;

/// Where the two differ: in their words, which users' log parsers know.
#[derive(Debug)]
pub(crate) struct Greeter {
    /// Context of the log lines.
    pub(crate) context: &'static str,
    /// Around task ids and numbers.
    pub(crate) quote: &'static str,
    /// How the original wrote "proceeded".
    pub(crate) proceeded: &'static str,
    /// What the inventory keeps; `None` for the text of the greeting.
    pub(crate) keeps: Option<&'static str>,
}

/// What a status means to a greeter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Came,
    Went,
    /// TASK_STAGING, TASK_STARTING, TASK_UNREACHABLE and whatever else there is.
    Undefined,
}

impl Meaning {
    /// The original removes on FAILED, KILLED, LOST and FINISHED; the end states that Mesos has added since mean the same.
    fn of(status: &TaskStatus) -> Self {
        match status {
            TaskStatus::Running => Self::Came,
            status if status.is_terminal() => Self::Went,
            _ => Self::Undefined,
        }
    }
}

impl Greeter {
    /// Greets or says goodbye, after so much pretended work.
    pub(crate) async fn greet(
        &self,
        run: &mut Run,
        delay: Duration,
        undefined_delay: Duration,
    ) -> Result<Outcome, Failure> {
        let task = run.event().task.clone();
        let (context, quote) = (self.context, self.quote);
        let done = match Meaning::of(&run.event().status) {
            Meaning::Came => {
                let add = action(run, "add")?;
                pause(delay).await;
                run.put_item("", Value::String(self.keeps.unwrap_or(&add).to_owned()));
                info!(context = context, "{add} {quote}{task}{quote}");
                "added"
            }
            Meaning::Went => {
                let remove = action(run, "remove")?;
                pause(delay).await;
                run.remove_item("");
                info!(context = context, "{remove} {task}");
                "removed"
            }
            Meaning::Undefined => {
                pause(undefined_delay).await;
                let (status, proceeded) = (&run.event().status, self.proceeded);
                info!(
                    context = context,
                    "\"{status}\" is an undefined taskStatus and the task \"{task}\" will be {proceeded} without actions"
                );
                return Ok(Outcome::UndefinedStatus);
            }
        };
        if run.is_cleanup() {
            info!(context = context, "Cleanup task {quote}{task}{quote} successfully {done}");
        }
        Ok(Outcome::Finished)
    }

    /// The usual clean-up, and how many tasks it has.
    pub(crate) fn clean_up(&self, difference: &SyncDifference) -> Vec<CleanupTask> {
        let tasks = difference.as_cleanup_tasks();
        let (context, quote, count) = (self.context, self.quote, tasks.len());
        info!(context = context, "Cleanup initiated, added {quote}{count}{quote} tasks");
        tasks
    }
}

/// A text from the preset's `options.actions`.
fn action(run: &Run, name: &str) -> Result<String, Failure> {
    let text = run.preset().options["actions"][name].as_str();
    text.map(str::to_owned).ok_or_else(|| {
        Failure::permanent(format!(
            "the preset of app \"{}\" has no text options.actions.{name}: set it with \"mconn preset set\"",
            run.event().app
        ))
    })
}

/// A timer rounds up to a millisecond, which would be most of the time of a run that is to take none.
async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}
