//! The verdict as a table.

use mconn_catalog::verdict::{Facts, verdict};
use mconn_model::*;

use crate::support::*;

fn check(status: TaskStatus, results: &[bool], facts: Facts, rule: Rule, kind: VerdictKind) {
    let task = with_health(with_status(task("/web", "web.1"), status.clone()), results);
    assert_eq!(verdict(&task, &facts), Verdict { kind, rule }, "{status} {results:?} {facts:?}");
}

#[test]
fn the_table() {
    use Rule::*;
    use VerdictKind::*;
    let none = Facts { has_address: true, ..Facts::default() };
    let one = Facts { checks: 1, ..none };
    let two = Facts { checks: 2, ..none };
    let (was_good, was_bad) = (Facts { last: Some(true), ..one }, Facts { last: Some(false), ..one });
    let running = || TaskStatus::Running;

    check(running(), &[], none, RunningWithoutChecks, Routable);
    check(running(), &[true], one, Healthy, Routable);
    check(running(), &[true, true], two, Healthy, Routable);
    check(running(), &[true, false], two, Unhealthy, NotReady);
    // Fewer results than checks is unknown, as long as none is bad.
    check(running(), &[true], two, HealthUnknown, NotReady);
    check(running(), &[false], two, Unhealthy, NotReady);
    check(running(), &[], one, HealthUnknown, NotReady);
    // Trap 8: forgotten is not bad, and the last answer holds in both directions.
    check(running(), &[], was_good, RememberedHealthy, Routable);
    check(running(), &[], was_bad, Unhealthy, NotReady);
    // An event is newer than the results in the task.
    check(running(), &[true], Facts { told: Some(false), ..one }, Unhealthy, NotReady);
    check(running(), &[], Facts { told: Some(true), ..one }, Healthy, Routable);

    check(running(), &[true], Facts { leaving: Some(KillAnnounced), ..one }, KillAnnounced, Draining);
    check(TaskStatus::Killing, &[true], one, Killing, Draining);
    check(TaskStatus::Unreachable, &[true], one, Unreachable, Draining);
    for status in
        [TaskStatus::Staging, TaskStatus::Starting, TaskStatus::Unknown, TaskStatus::parse("TASK_NEW")]
    {
        check(status, &[], none, NotRunning, NotReady);
    }
    for status in [TaskStatus::Killed, TaskStatus::Lost, TaskStatus::GoneByOperator] {
        check(status, &[true], Facts { leaving: Some(GoalChanged), ..one }, Ended, NotReady);
    }
    check(running(), &[true], Facts { has_address: false, ..one }, NoAddress, NotReady);
    check(TaskStatus::Staging, &[], Facts { has_address: false, ..one }, NotRunning, NotReady);
}
