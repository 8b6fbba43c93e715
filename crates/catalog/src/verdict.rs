//! Whether a task shall get traffic: one pure function.
//!
//! Order matters. What ends a task comes first (removal is fast), then what is missing, then readiness and health
//! (addition is careful). A missing health result is not a bad one: Marathon forgets results on a leader change (trap 8),
//! so the last known answer holds for a task that has one, and a new task waits. The share of healthy tasks in the app,
//! which may overrule a failing check, is weighed afterwards (`panic`).

use mconn_model::{AppTask, Rule, TaskStatus, Verdict, VerdictKind};

use crate::settings::UnreachablePolicy;

/// What is known about a task beside the task itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which one rule asks for")]
pub struct Facts {
    /// The definition that it was started with, or a newer one, is known.
    pub defined: bool,
    /// Number of checks that the definition declares (for a pod's container: 1 if it has a check).
    pub checks: usize,
    /// What an event said about its health since the results in the task were read.
    pub told: Option<bool>,
    /// The last definite health, however old.
    pub last: Option<bool>,
    /// It was ready once: running, healthy and ready as far as its definition asks for it.
    pub proven: bool,
    /// Nothing is remembered of any task, and it has run for longer than its grace period (spec/marathon.md section 8).
    pub admitted: bool,
    /// The earliest hint that it will go, as the rule that says so.
    pub leaving: Option<Rule>,
    /// The readiness check of a running deployment has not succeeded yet.
    pub readiness_pending: bool,
    /// At least one address or port is known at which it could be reached.
    pub has_address: bool,
    /// What to do while Mesos cannot reach its agent.
    pub unreachable: UnreachablePolicy,
}

impl Default for Facts {
    /// A defined task without checks of which nothing else is known.
    fn default() -> Self {
        Self {
            defined: true,
            checks: 0,
            told: None,
            last: None,
            proven: false,
            admitted: false,
            leaving: None,
            readiness_pending: false,
            has_address: false,
            unreachable: UnreachablePolicy::Drain,
        }
    }
}

/// The health of a task: `None` while any check has no result and none is dead.
#[must_use]
pub fn health(task: &AppTask, facts: &Facts) -> Option<bool> {
    if let Some(told) = facts.told {
        return Some(told);
    }
    if task.health.iter().any(|result| !result.alive) {
        return Some(false);
    }
    (facts.checks > 0 && task.health.len() >= facts.checks).then_some(true)
}

/// The verdict on a task.
#[must_use]
pub fn verdict(task: &AppTask, facts: &Facts) -> Verdict {
    rule(task, facts).into()
}

fn rule(task: &AppTask, facts: &Facts) -> Rule {
    if task.status.is_terminal() {
        return Rule::Ended;
    }
    if task.status == TaskStatus::Killing {
        return Rule::Killing;
    }
    if let Some(leaving) = facts.leaving {
        return leaving;
    }
    match (&task.status, facts.unreachable) {
        (TaskStatus::Running, _) => ready_rule(task, facts),
        (TaskStatus::Unreachable, UnreachablePolicy::Drain) => Rule::Unreachable,
        (TaskStatus::Unreachable, UnreachablePolicy::Remove) => Rule::UnreachableRemoved,
        (TaskStatus::Unreachable, UnreachablePolicy::Keep) => match ready_rule(task, facts) {
            rule if rule.kind() == VerdictKind::Routable => Rule::UnreachableKept,
            rule => rule,
        },
        _ => Rule::NotRunning,
    }
}

/// The rules for a task that runs and stays.
fn ready_rule(task: &AppTask, facts: &Facts) -> Rule {
    if !facts.defined {
        return Rule::NoDefinition;
    }
    if !facts.has_address {
        return Rule::NoAddress;
    }
    if facts.readiness_pending {
        return Rule::ReadinessPending;
    }
    match (health(task, facts), facts.last) {
        // Also without checks: a task of an older version keeps the checks that its own version had.
        (Some(false), _) => Rule::Unhealthy,
        _ if facts.checks == 0 => Rule::RunningWithoutChecks,
        (Some(true), _) => Rule::Healthy,
        (None, Some(false)) => Rule::Unhealthy,
        (None, Some(true)) => Rule::RememberedHealthy,
        (None, None) if facts.admitted => Rule::Admitted,
        // Ready before its app got a check, which Marathon makes only for tasks of the newer version.
        (None, None) if facts.proven => Rule::RememberedHealthy,
        (None, None) => Rule::HealthUnknown,
    }
}
