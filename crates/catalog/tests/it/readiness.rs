//! Readiness checks (spec/marathon.md section 3.5): told by answers alone, and only during a deployment.

use mconn_model::*;

use crate::support::*;

fn checked_app(deploying: bool) -> App {
    let check = ReadinessCheck {
        name: "ready".into(),
        port_name: None,
        interval_seconds: 30.0,
        timeout_seconds: 10.0,
    };
    let deployment = Deployment { id: DeploymentId::new("d").unwrap() };
    let deployments = if deploying { vec![deployment] } else { Vec::new() };
    App { readiness_checks: vec![check], deployments, ..app("/web") }
}

fn started(id: &str, ready: Option<bool>) -> AppTask {
    AppTask { ready, started_at: Some(Timestamp::from_millis(0)), ..task("/web", id) }
}

/// An answer about `/web` by a Marathon whose clock shows this many seconds.
fn answer(bench: &mut Bench, seconds: i64, deploying: bool, tasks: Vec<AppTask>) {
    let listing = Some(Box::new(listed(checked_app(deploying), tasks)));
    let as_of = Some(Timestamp::from_millis(seconds * 1000));
    bench.see(Observation::App { id: app_id("/web"), listing, as_of, requested_at_event: bench.mark() });
}

fn rules(bench: &Bench) -> Vec<&'static str> {
    bench.entry("/web").unwrap().tasks.iter().map(|task| task.verdict.rule.as_str()).collect()
}

#[test]
fn a_new_task_waits_for_its_result_and_is_asked_for_without_events() {
    let mut bench = Bench::reading(vec![listed(checked_app(false), vec![started("web.1", None)])]);
    assert_eq!(rules(&bench), ["running-without-checks"], "no deployment, no result: ready");
    bench.event(deployment(DeploymentPhase::StepBegan, &["/web"]));
    bench.event(status("/web", "web.2", TaskStatus::Running));
    assert_eq!(rules(&bench), ["running-without-checks", "readiness-pending"]);
    answer(&mut bench, 1, true, vec![started("web.1", None), started("web.2", None)]);
    bench.asked();
    // At a steady rhythm, which no growing gap slows down.
    for seconds in [3, 5, 7] {
        assert_eq!(bench.pass_ms(2000).asked(), ["/web"]);
        answer(&mut bench, seconds, true, vec![started("web.1", None), started("web.2", Some(false))]);
        assert_eq!(rules(&bench), ["running-without-checks", "readiness-pending"]);
    }
    bench.pass_ms(2000);
    answer(&mut bench, 9, true, vec![started("web.1", None), started("web.2", Some(true))]);
    assert_eq!(rules(&bench), ["running-without-checks"; 2]);
    bench.asked();
    assert_eq!(bench.pass_ms(60_000).asked(), [""; 0], "nothing is pending any more");
}

#[test]
fn a_task_without_any_result_is_older_than_the_deployment() {
    let mut bench = Bench::with(mconn_catalog::Settings::default());
    bench.see(Observation::Attached);
    let listing = |seconds: i64| Listing {
        apps: vec![listed(checked_app(true), vec![started("web.1", None)])],
        as_of: Some(Timestamp::from_millis(seconds * 1000)),
        ..Listing::default()
    };
    bench.see(Observation::Listing { listing: Box::new(listing(14)), requested_at_event: 0 });
    assert_eq!(rules(&bench), ["readiness-pending"]);
    bench.see(Observation::Listing { listing: Box::new(listing(15)), requested_at_event: 0 });
    assert_eq!(rules(&bench), ["running-without-checks"], "timeout and margin are over by Marathon's clock");
}

#[test]
fn a_result_that_a_new_leader_has_forgotten_makes_nothing_ready() {
    let mut bench = Bench::reading(vec![listed(checked_app(true), vec![started("web.1", Some(false))])]);
    answer(&mut bench, 1000, true, vec![started("web.1", None)]);
    assert_eq!(rules(&bench), ["readiness-pending"]);
    answer(&mut bench, 1001, false, vec![started("web.1", None)]);
    assert_eq!(rules(&bench), ["running-without-checks"], "after the deployment absence means ready");
}

#[test]
fn nothing_is_ready_before_an_answer_says_whether_a_deployment_runs() {
    // The deployment's event was lost.
    let mut bench = Bench::reading(vec![listed(checked_app(false), Vec::new())]);
    bench.event(status("/web", "web.1", TaskStatus::Running));
    assert_eq!(rules(&bench), ["readiness-pending"]);
    answer(&mut bench, 1, true, vec![started("web.1", None)]);
    assert_eq!(rules(&bench), ["readiness-pending"]);
}

#[test]
fn what_one_deployment_found_unready_says_nothing_in_the_next() {
    let mut bench = Bench::reading(vec![listed(checked_app(true), vec![started("web.1", Some(false))])]);
    let next = |bench: &mut Bench, seconds: i64, ready| {
        let deployments = vec![Deployment { id: DeploymentId::new("e").unwrap() }];
        let app = App { deployments, ..checked_app(true) };
        let listing = Some(Box::new(listed(app, vec![started("web.1", ready)])));
        let as_of = Some(Timestamp::from_millis(seconds * 1000));
        bench.see(Observation::App { id: app_id("/web"), listing, as_of, requested_at_event: bench.mark() });
    };
    next(&mut bench, 1000, None);
    assert_eq!(rules(&bench), ["readiness-pending"], "the next one may check it again");
    bench.pass_ms(14_000);
    next(&mut bench, 1014, None);
    assert_eq!(rules(&bench), ["readiness-pending"]);
    bench.pass_ms(1000);
    next(&mut bench, 1015, None);
    assert_eq!(rules(&bench), ["running-without-checks"], "timeout and margin are over, and it did not");
}
