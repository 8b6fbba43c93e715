//! What happened to an app's tasks lately, and because of what: the answer to "why is it (not) reachable?".

use std::fmt;
use std::sync::Arc;

use crate::{AppId, InstanceCondition, Rule, SourceId, TaskId, TaskStatus, Timestamp};

/// A verdict changed, or a task came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Which change of its source this is, counted from 1 since the process started: see [`Changes`].
    pub number: u64,
    /// When, by our clock.
    pub at: Timestamp,
    /// To which task.
    pub task: TaskId,
    /// The rule before; `None`: the task was not known.
    pub before: Option<Rule>,
    /// The rule since; `None`: the task is gone.
    pub after: Option<Rule>,
    /// Because of what.
    pub cause: Cause,
}

/// What made a verdict change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// `status_update_event` with this state.
    Status(TaskStatus),
    /// `instance_changed_event` with this condition.
    Instance(InstanceCondition),
    /// `instance_changed_event` with the condition that was known already: the goal changed.
    Goal,
    /// `instance_health_changed_event` or `health_status_changed_event`.
    Health(Option<bool>),
    /// `unhealthy_task_kill_event` or `unhealthy_instance_kill_event`.
    UnhealthyKill,
    /// `api_post_event`: the definition was written.
    Definition,
    /// An event of a deployment.
    Deployment,
    /// `app_terminated_event`.
    Terminated,
    /// `unknown_task_terminated_event` or `unknown_instance_terminated_event`.
    UnknownTerminated,
    /// The app was asked for after an event.
    Answer,
    /// A whole listing: a full comparison, or an answer after events.
    Listing,
    /// Something that was believed for a limited time was not confirmed.
    TimeOver,
    /// Too few of the app's tasks are healthy, or enough are again.
    Panic,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status_update_event {status}"),
            Self::Instance(condition) => write!(f, "instance_changed_event {condition}"),
            Self::Goal => f.write_str("instance_changed_event with unchanged condition"),
            Self::Health(Some(healthy)) => write!(f, "health event, healthy: {healthy}"),
            Self::Health(None) => f.write_str("health event, healthy: unknown"),
            Self::UnhealthyKill => f.write_str("unhealthy kill event"),
            Self::Definition => f.write_str("api_post_event"),
            Self::Deployment => f.write_str("deployment event"),
            Self::Terminated => f.write_str("app_terminated_event"),
            Self::UnknownTerminated => f.write_str("unknown terminated event"),
            Self::Answer => f.write_str("the app was asked for"),
            Self::Listing => f.write_str("comparison with the whole listing"),
            Self::TimeOver => f.write_str("what was announced did not happen in time"),
            Self::Panic => f.write_str("share of healthy tasks crossed the panic threshold"),
        }
    }
}

/// How often verdicts have changed at a source since the process started, by the rule that holds since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    total: u64,
    by_rule: [u64; Rule::ALL.len()],
}

impl Changes {
    /// Counts a change to a rule (`None`: the task went), and numbers it.
    pub fn count(&mut self, after: Option<Rule>) -> u64 {
        self.total += 1;
        if let Some(rule) = after {
            self.by_rule[rule as usize] += 1;
        }
        self.total
    }

    /// All of them, which is the number of the newest. Whoever knows it from an earlier snapshot can tell from the numbers
    /// in the histories which changes are new, and how many are no longer there.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those to a rule; `None`: tasks that went.
    #[must_use]
    pub fn of(&self, after: Option<Rule>) -> u64 {
        match after {
            Some(rule) => self.by_rule[rule as usize],
            None => self.total - self.by_rule.iter().sum::<u64>(),
        }
    }
}

/// An app or pod that is no longer known.
#[derive(Debug, Clone, PartialEq)]
pub struct Gone {
    /// Its source.
    pub source: SourceId,
    /// Its id.
    pub id: AppId,
    /// When it went, by our clock.
    pub at: Timestamp,
    /// Because of what.
    pub cause: Cause,
    /// What happened to its tasks last, oldest first.
    pub history: Arc<[Happened]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_numbered_and_counted_by_rule() {
        let mut changes = Changes::default();
        let steps = [
            Some(Rule::NotRunning),
            Some(Rule::Healthy),
            None,
            Some(Rule::HealthUnknown),
            Some(Rule::Healthy),
        ];
        for (at, after) in steps.into_iter().enumerate() {
            assert_eq!(changes.count(after), at as u64 + 1);
        }
        assert_eq!((changes.total(), changes.of(Some(Rule::Healthy)), changes.of(None)), (5, 2, 1));
        assert_eq!(changes.of(Some(Rule::Panic)), 0);
        let rules: u64 = Rule::ALL.iter().map(|rule| changes.of(Some(*rule))).sum();
        assert_eq!(rules + changes.of(None), changes.total());
    }
}
