//! The earliest hint that a task will go drains it, and what does not come true is taken back.

use mconn_model::*;

use crate::support::*;

const ONE: &str = "web.instance-1._app.1";
const TWO: &str = "web.instance-2._app.1";

fn web() -> Vec<AppListing> {
    vec![listed(app("/web"), vec![task("/web", ONE), task("/web", TWO)])]
}

fn deploying(id: &str) -> Vec<AppListing> {
    let deployments = vec![Deployment { id: DeploymentId::new(id).unwrap() }];
    vec![listed(App { deployments, ..app("/web") }, vec![task("/web", ONE), task("/web", TWO)])]
}

fn step(id: &str, phase: DeploymentPhase, stopping: &[&str]) -> ClusterEvent {
    ClusterEvent::Deployment {
        id: Some(DeploymentId::new(id).unwrap()),
        phase,
        affected: vec![app_id("/web")],
        stopping: stopping.iter().map(|id| app_id(id)).collect(),
        version: Timestamp::parse("2026-01-05T10:00:10.000Z"),
    }
}

fn changed(name: &str, condition: InstanceCondition) -> ClusterEvent {
    ClusterEvent::InstanceChanged {
        instance: instance(name),
        app: app_id("/web"),
        condition,
        version: None,
        at: None,
    }
}

fn rules(bench: &Bench) -> Vec<&'static str> {
    let entry = bench.entry("/web").unwrap();
    entry.tasks.iter().map(|task| task.verdict.rule.as_str()).collect()
}

const BOTH: [&str; 2] = ["running-without-checks"; 2];
const FIRST_GOES: [&str; 2] = ["goal-changed", "running-without-checks"];

#[test]
fn a_goal_change_during_a_deployment_drains_before_the_kill() {
    let mut bench = Bench::reading(web());
    bench.event(step("d", DeploymentPhase::StepBegan, &[]));
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    assert_eq!(rules(&bench), FIRST_GOES);
    assert_eq!(bench.entry("/web").unwrap().history.last().unwrap().cause, Cause::Goal);
    // Answers that know of the deployment do not take it back.
    bench.pass_ms(5000).list(deploying("d"), Vec::new());
    assert_eq!(rules(&bench), FIRST_GOES);
    bench.event(status("/web", ONE, TaskStatus::Killing));
    assert_eq!(rules(&bench)[0], "killing");
    bench.event(status("/web", ONE, TaskStatus::Killed));
    assert_eq!(rules(&bench), ["running-without-checks"]);
}

#[test]
fn without_a_deployment_a_repeated_condition_says_nothing() {
    let mut bench = Bench::reading(web());
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    assert_eq!(rules(&bench), BOTH);
}

#[test]
fn the_instances_event_after_its_tasks_own_is_no_goal_change() {
    let mut bench = Bench::reading(vec![listed(app("/web"), Vec::new())]);
    bench.event(step("d", DeploymentPhase::StepBegan, &[]));
    for id in [ONE, TWO] {
        let instance = &id[..14];
        for (state, condition) in [
            (TaskStatus::Staging, InstanceCondition::Staging),
            (TaskStatus::Starting, InstanceCondition::Starting),
            (TaskStatus::Running, InstanceCondition::Running),
        ] {
            bench.event(status("/web", id, state)).event(changed(instance, condition));
        }
    }
    assert_eq!(rules(&bench), BOTH);
    // A repeated state, as for a health result or late addresses, has no instance event of its own.
    bench.event(status("/web", ONE, TaskStatus::Running));
    assert_eq!(rules(&bench), BOTH);
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    assert_eq!(rules(&bench), FIRST_GOES);
}

#[test]
fn an_answer_that_was_ahead_of_the_events_makes_no_goal_change_of_them() {
    let mut bench = Bench::reading(vec![listed(app("/web"), Vec::new())]);
    bench.event(step("d", DeploymentPhase::StepBegan, &[]));
    bench.list(deploying("d"), Vec::new());
    bench.event(status("/web", ONE, TaskStatus::Running));
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    assert_eq!(rules(&bench), BOTH);
}

#[test]
fn a_goal_change_is_taken_back_when_the_deployment_is_over() {
    let mut bench = Bench::reading(deploying("d"));
    bench.event(step("d", DeploymentPhase::StepBegan, &[]));
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    assert_eq!(rules(&bench), FIRST_GOES);
    bench.event(step("d", DeploymentPhase::Failed, &[]));
    bench.pass_ms(3000).list(web(), Vec::new());
    assert_eq!(rules(&bench), FIRST_GOES, "a goal is not changed back: it may be dying");
    assert!(!bench.pass_ms(8000).asked().is_empty());
    bench.list(web(), Vec::new());
    assert_eq!(rules(&bench), BOTH);
}

#[test]
fn a_deployment_that_stops_the_app_drains_what_runs_and_nothing_that_starts_later() {
    let mut bench = Bench::reading(web());
    bench.event(step("d", DeploymentPhase::StepBegan, &["/web"]));
    assert_eq!(rules(&bench), ["app-stopping"; 2]);
    bench.pass_ms(5000).list(deploying("d"), Vec::new());
    assert_eq!(rules(&bench), ["app-stopping"; 2]);
    // Cancelled: what it has begun to kill dies nevertheless.
    bench.event(step("d", DeploymentPhase::Failed, &[]));
    assert_eq!(rules(&bench), ["app-stopping"; 2]);
    // The app is there anew, under the same id.
    bench.event(status("/web", "web.instance-3._app.1", TaskStatus::Running));
    assert_eq!(rules(&bench), ["app-stopping", "app-stopping", "running-without-checks"]);
    // They were not killed after all.
    bench.pass_ms(61_000);
    let mut all = web();
    all[0].tasks.push(task("/web", "web.instance-3._app.1"));
    bench.list(all, Vec::new());
    assert_eq!(rules(&bench), ["running-without-checks"; 3]);
}

#[test]
fn an_app_that_is_wanted_with_no_instance_drains() {
    let mut bench = Bench::reading(web());
    bench.event(ClusterEvent::AppDefinition { app: Box::new(App { instances: 0, ..app("/web") }) });
    assert_eq!(rules(&bench), ["scaled-to-zero"; 2]);
    bench.event(ClusterEvent::AppDefinition { app: Box::new(app("/web")) });
    assert_eq!(rules(&bench), BOTH);
}

#[test]
fn the_end_of_an_instance_is_believed_until_an_answer_shows_its_task_running() {
    let mut bench = Bench::reading(web());
    bench.event(changed("web.instance-1", InstanceCondition::Killed));
    assert_eq!(rules(&bench)[0], "kill-announced");
    bench.list(web(), Vec::new());
    assert_eq!(rules(&bench)[0], "kill-announced", "Marathon needs a moment to forget it");
    bench.pass_ms(3000).list(web(), Vec::new());
    assert_eq!(rules(&bench), BOTH);
}

#[test]
fn a_later_incarnation_ends_the_one_before() {
    let mut bench = Bench::reading(web());
    bench.event(status("/web", "web.instance-1._app.2", TaskStatus::Staging));
    assert_eq!(
        bench.shows("/web"),
        [
            "web.instance-1._app.2 not-running agent1:31000".to_owned(),
            format!("{TWO} running-without-checks agent1:31000"),
        ]
    );
}

#[test]
fn the_first_hint_gives_the_time() {
    let mut bench = Bench::reading(web());
    let kill =
        || ClusterEvent::UnhealthyKill { app: app_id("/web"), task: Some(task_id(ONE)), instance: None };
    bench.event(kill());
    let since = || bench.entry("/web").unwrap().tasks[0].since;
    let first = since();
    assert_eq!(first, Timestamp::from_millis(1_000_000));
    bench.pass_ms(700).event(kill());
    assert_eq!(bench.entry("/web").unwrap().tasks[0].since, first);
}

/// A task's event with the time at which Marathon said it, and the definition that it was started with.
fn dated(id: &str, state: TaskStatus, at: &str, version: &str) -> ClusterEvent {
    let ClusterEvent::Status(mut update) = status("/web", id, state) else { unreachable!("made above") };
    update.event.timestamp = Some(EventTimestamp::Text(at.into()));
    update.version = Timestamp::parse(version);
    ClusterEvent::Status(update)
}

#[test]
fn a_task_that_is_first_heard_of_while_its_app_is_being_stopped_drains() {
    let (before, after) = ("2026-01-05T10:00:05.000Z", "2026-01-05T10:00:20.000Z");
    let mut bench = Bench::reading(web());
    bench.event(step("d", DeploymentPhase::StepBegan, &["/web"]));
    // The plan is of 10:00:10 (`step`): what was started before it dies, what was started after it is its successor.
    bench.event(dated("web.instance-3._app.1", TaskStatus::Running, after, before));
    bench.event(dated("web.instance-4._app.1", TaskStatus::Running, after, after));
    let shown: Vec<_> =
        bench.shows("/web").into_iter().filter(|task| !task.contains("app-stopping")).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with("web.instance-4._app.1"), "{shown:?}");
    // By an answer, too.
    let mut all = deploying("d");
    all[0].tasks.push(AppTask { version: Timestamp::parse(before), ..task("/web", "web.instance-5._app.1") });
    bench.pass_ms(5000).list(all, Vec::new());
    let last = bench.shows("/web").pop().unwrap();
    assert!(last.starts_with("web.instance-5._app.1 app-stopping"), "{last}");
}

#[test]
fn a_kill_that_is_told_late_is_not_about_the_next_incarnation() {
    let mut bench = Bench::reading(web());
    let version = "1970-01-01T00:00:00.001Z";
    bench.event(dated(ONE, TaskStatus::Killed, "2026-01-05T10:00:10.000Z", version));
    bench.event(dated("web.instance-1._app.2", TaskStatus::Running, "2026-01-05T10:00:12.000Z", version));
    for condition in [InstanceCondition::Killing, InstanceCondition::Unreachable, InstanceCondition::Killed] {
        let ClusterEvent::InstanceChanged { instance, app, condition, version, .. } =
            changed("web.instance-1", condition)
        else {
            unreachable!("made above")
        };
        let at = Timestamp::parse("2026-01-05T10:00:09.000Z");
        bench.event(ClusterEvent::InstanceChanged { instance, app, condition, version, at });
    }
    assert_eq!(rules(&bench), BOTH);
}

#[test]
fn a_second_hint_holds_beyond_the_time_of_the_first() {
    let mut bench = Bench::reading(web());
    bench.event(step("d", DeploymentPhase::StepBegan, &["/web"]));
    bench.event(step("d", DeploymentPhase::Failed, &[]));
    // Almost over, when the next deployment replaces the task.
    bench.pass_ms(59_000).event(step("e", DeploymentPhase::StepBegan, &[]));
    bench.event(changed("web.instance-1", InstanceCondition::Running));
    bench.pass_ms(3000).list(deploying("e"), Vec::new());
    assert_eq!(rules(&bench), ["app-stopping", "running-without-checks"]);
    // And it is asked about when its own time is over.
    bench.asked();
    assert!(!bench.pass_ms(60_000).asked().is_empty());
}
