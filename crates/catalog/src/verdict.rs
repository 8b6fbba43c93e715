//! Whether a task shall get traffic: one pure function.
//!
//! Order matters. What ends a task comes first (removal is fast), then what is missing, then health (addition is
//! careful). A missing health result is not a bad one: Marathon forgets results on a leader change (trap 8), so the last
//! known answer holds for a task that has one, and a new task waits.

use mconn_model::{AppTask, Rule, TaskStatus, Verdict, VerdictKind};

/// What is known about a task beside the task itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Number of checks that the definition declares (for a pod's container: 1 if it has a check).
    pub checks: usize,
    /// What an event said about its health since the results in the task were read.
    pub told: Option<bool>,
    /// The last definite health, however old.
    pub last: Option<bool>,
    /// Its kill was announced.
    pub doomed: bool,
    /// At least one address or port is known at which it could be reached.
    pub has_address: bool,
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
    let rule = rule(task, facts);
    let kind = match rule {
        Rule::RunningWithoutChecks | Rule::Healthy | Rule::RememberedHealthy => VerdictKind::Routable,
        Rule::Killing => VerdictKind::Draining,
        Rule::NotRunning
        | Rule::Unhealthy
        | Rule::HealthUnknown
        | Rule::NoAddress
        | Rule::Unreachable
        | Rule::Ended => VerdictKind::NotReady,
    };
    Verdict { kind, rule }
}

fn rule(task: &AppTask, facts: &Facts) -> Rule {
    if task.status.is_terminal() {
        return Rule::Ended;
    }
    if facts.doomed || task.status == TaskStatus::Killing {
        return Rule::Killing;
    }
    match task.status {
        TaskStatus::Running => {}
        TaskStatus::Unreachable => return Rule::Unreachable,
        _ => return Rule::NotRunning,
    }
    if !facts.has_address {
        return Rule::NoAddress;
    }
    if facts.checks == 0 {
        return Rule::RunningWithoutChecks;
    }
    match (health(task, facts), facts.last) {
        (Some(true), _) => Rule::Healthy,
        (Some(false), _) | (None, Some(false)) => Rule::Unhealthy,
        (None, Some(true)) => Rule::RememberedHealthy,
        (None, None) => Rule::HealthUnknown,
    }
}
