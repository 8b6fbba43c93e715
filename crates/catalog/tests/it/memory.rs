//! What is remembered of tasks: over a leader change of Marathon's, over a restart of ours, and over both at once.

use mconn_catalog::{Catalog, Remembered, Settings};
use mconn_model::*;

use crate::support::*;

fn started(id: &str, results: &[bool]) -> AppTask {
    AppTask { started_at: Some(Timestamp::from_millis(0)), ..with_health(task("/web", id), results) }
}

/// A listing by a Marathon whose clock shows this many seconds.
fn list_as_of(bench: &mut Bench, seconds: i64, tasks: Vec<AppTask>) {
    let listing = Box::new(Listing {
        apps: vec![listed(checked("/web", 1), tasks)],
        as_of: Some(Timestamp::from_millis(seconds * 1000)),
        ..Listing::default()
    });
    let requested_at_event = bench.mark();
    bench.see(Observation::Listing { listing, requested_at_event });
}

fn rules(bench: &Bench) -> Vec<&'static str> {
    bench.entry("/web").unwrap().tasks.iter().map(|task| task.verdict.rule.as_str()).collect()
}

/// A new process that was given what the old one remembered.
fn restarted(old: &Catalog) -> Bench {
    let mut bench = Bench::with(Settings::default());
    let kept: Vec<Remembered> = old.remembered().map(|(_, remembered)| remembered).collect();
    bench.catalog.restore(&source("m"), kept);
    bench.see(Observation::Attached);
    bench
}

#[test]
fn our_restart_during_a_leader_change_of_marathons_keeps_what_was_known() {
    let mut before = Bench::with(Settings::default());
    before.see(Observation::Attached);
    list_as_of(
        &mut before,
        100,
        vec![started("web.1", &[true]), started("web.2", &[false]), started("web.3", &[])],
    );
    before.event(ClusterEvent::UnhealthyKill {
        app: app_id("/web"),
        task: Some(task_id("web.2")),
        instance: None,
    });
    assert_eq!(rules(&before), ["healthy", "kill-announced", "health-unknown"]);

    let mut after = restarted(&before.catalog);
    let all = || ["web.1", "web.2", "web.3"].map(|id| started(id, &[])).to_vec();
    list_as_of(&mut after, 100_000, all());
    assert_eq!(rules(&after), ["remembered-healthy", "kill-announced", "health-unknown"]);
    after.pass_ms(61_000);
    assert_eq!(rules(&after)[1], "kill-announced", "time alone proves nothing");
    list_as_of(&mut after, 100_061, all());
    assert_eq!(rules(&after), ["remembered-healthy", "unhealthy", "health-unknown"], "not killed after all");
}

#[test]
fn what_ended_while_we_were_away_is_forgotten_only_when_a_listing_says_so() {
    let mut before = Bench::with(Settings::default());
    before.see(Observation::Attached);
    list_as_of(&mut before, 100, vec![started("web.1", &[true]), started("web.2", &[true])]);
    // Marathon is away for longer than we live.
    let idle = restarted(&before.catalog);
    assert_eq!(idle.catalog.remembered().count(), 2);
    let mut after = restarted(&idle.catalog);
    list_as_of(&mut after, 200, vec![started("web.1", &[])]);
    let kept: Vec<_> = after.catalog.remembered().map(|(_, it)| it.task.to_string()).collect();
    assert_eq!(kept, ["web.1"]);
    assert!(after.catalog.take_memory_changed() && !after.catalog.take_memory_changed());
}

#[test]
fn without_any_memory_tasks_older_than_their_grace_period_are_admitted() {
    let mut bench = Bench::with(Settings::default());
    bench.see(Observation::Attached);
    let young = AppTask { started_at: Some(Timestamp::from_millis(900_000)), ..started("web.2", &[]) };
    list_as_of(&mut bench, 1000, vec![started("web.1", &[]), young.clone(), started("web.3", &[false])]);
    assert_eq!(rules(&bench), ["admitted-without-memory", "health-unknown", "unhealthy"]);
    // Only at the beginning: who is seen later is new to us, however old it says it is.
    list_as_of(&mut bench, 1001, vec![started("web.1", &[]), young, started("web.4", &[])]);
    assert_eq!(rules(&bench), ["admitted-without-memory", "health-unknown", "health-unknown"]);
    // The first result decides, and is remembered from then on.
    bench.event(health("/web", "web.1", Some(false)));
    assert_eq!(rules(&bench)[0], "unhealthy");
    list_as_of(&mut bench, 1002, vec![started("web.1", &[])]);
    assert_eq!(rules(&bench)[0], "unhealthy");
}

#[test]
fn a_task_with_memory_among_the_listed_means_that_memory_is_not_lost() {
    let mut before = Bench::with(Settings::default());
    before.see(Observation::Attached);
    list_as_of(&mut before, 100, vec![started("web.1", &[true])]);
    let mut after = restarted(&before.catalog);
    list_as_of(&mut after, 1000, vec![started("web.1", &[]), started("web.2", &[])]);
    assert_eq!(rules(&after), ["remembered-healthy", "health-unknown"]);
}

#[test]
fn a_task_with_a_newer_version_than_the_known_definition_waits_for_that_definition() {
    let mut bench = Bench::reading(vec![listed(app("/web"), vec![task("/web", "web.1")])]);
    let ClusterEvent::Status(mut update) = status("/web", "web.2", TaskStatus::Running) else {
        unreachable!()
    };
    update.version = Some(Timestamp::from_millis(2));
    bench.event(ClusterEvent::Status(update));
    assert_eq!(rules(&bench), ["running-without-checks", "definition-unknown"]);
    assert_eq!(bench.pass_ms(200).asked(), ["/web"]);
    let next = App { version: Some(Timestamp::from_millis(2)), ..checked("/web", 1) };
    let newer = AppTask { version: next.version, ..task("/web", "web.2") };
    bench.answer("/web", Some(listed(next, vec![task("/web", "web.1"), newer])));
    assert_eq!(rules(&bench), ["remembered-healthy", "health-unknown"]);
}
