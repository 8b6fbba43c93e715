//! Several sources side by side, and one that goes away.

use mconn_catalog::{Catalog, Notice, Settings, Why, diff};
use mconn_model::*;

use crate::support::*;

fn listing(apps: Vec<AppListing>) -> Observation {
    let listing = Box::new(Listing { apps, ..Listing::default() });
    Observation::Listing { listing, requested_at_event: 0 }
}

#[test]
fn trap_24_two_marathons_with_equal_ids() {
    let mut bench = Bench::reading(vec![listed(app("/web"), vec![task("/web", "web.1")])]);
    bench.see_from("n", listing(vec![listed(app("/web"), vec![task("/web", "web.1")])]));
    assert_eq!(bench.snapshot().apps.len(), 2);
    bench.see_from("n", Observation::Event(status("/web", "web.1", TaskStatus::Killed)));
    bench.see_from("n", Observation::Lost { reason: "silent".into() });
    assert_eq!(bench.shows("/web"), ["web.1 running-without-checks agent1:31000"]);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.sources[&source("n")].freshness, Freshness::Stale);
    assert_eq!(snapshot.sources[&source("m")].freshness, Freshness::Fresh);
    bench.see_from("n", listing(Vec::new()));
    assert_eq!(bench.snapshot().apps.len(), 1);
}

#[test]
fn a_lost_source_keeps_everything() {
    let mut bench = Bench::reading(vec![listed(app("/web"), vec![task("/web", "web.1")])]);
    let before = bench.snapshot();
    bench.see(Observation::Lost { reason: "no byte for 30 s".into() });
    let after = bench.snapshot();
    assert_eq!((before.digest, &before.apps), (after.digest, &after.apps));
    assert_eq!(bench.state().freshness, Freshness::Stale);
    assert_eq!(bench.state().last_error.as_deref(), Some("no byte for 30 s"));
    assert!(after.is_complete(), "the last good state is served");
    bench.see(Observation::Attached);
    assert_eq!(bench.state().freshness, Freshness::Stale, "not before it is compared");
    bench.list(vec![listed(app("/web"), vec![task("/web", "web.1")])], Vec::new());
    assert_eq!(bench.state().freshness, Freshness::Fresh);
    assert_eq!(bench.state().last_error, None);
    assert_eq!(bench.effects.notices, [Notice::SourceBack { source: source("m") }]);
}

#[test]
fn complete_means_that_every_source_was_read() {
    let mut catalog =
        Catalog::new(Settings::default(), Timestamp::from_millis(0), [source("m"), source("n")]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut see = |catalog: &mut Catalog, from: &str, observation| {
        catalog.apply(&source(from), observation, std::time::Duration::ZERO, &mut rng);
        catalog.publish(std::time::Duration::ZERO).is_complete()
    };
    assert!(!catalog.published().is_complete());
    assert!(!see(&mut catalog, "m", Observation::Attached));
    assert!(!see(&mut catalog, "m", listing(Vec::new())));
    let failed = Observation::RequestFailed { id: None, reason: "refused".into() };
    assert!(!see(&mut catalog, "n", failed));
    assert!(see(&mut catalog, "n", listing(Vec::new())));
}

#[test]
fn a_leader_is_announced_once() {
    let mut bench = Bench::reading(Vec::new());
    let change = |leader: &str| Observation::LeaderChanged { leader: leader.into() };
    bench.see(change("a:8080"));
    assert_eq!(bench.effects.notices, [], "the first one has not changed");
    bench.see(change("b:8080"));
    let wanted = Notice::LeaderChanged { source: source("m"), leader: "b:8080".into() };
    assert_eq!(bench.effects.notices, [wanted]);
    bench.see(change("b:8080"));
    assert_eq!(bench.effects.notices, []);
}

#[test]
fn changes_between_snapshots() {
    let mut bench = Bench::reading(vec![
        listed(app("/a"), vec![task("/a", "a.1")]),
        listed(app("/b"), vec![task("/b", "b.1"), task("/b", "b.2")]),
    ]);
    let before = bench.snapshot();
    assert_eq!(diff(&before, &before), []);
    let next = App { version: None, ..app("/b") };
    let killing = with_status(task("/b", "b.2"), TaskStatus::Killing);
    bench.list(
        vec![listed(next, vec![killing, task("/b", "b.3")]), listed(app("/c"), vec![task("/c", "c.1")])],
        Vec::new(),
    );
    let names = |changes: Vec<Change>| -> Vec<String> {
        let name = |change: &Change| match change {
            Change::AppAdded(_, app) => format!("+{app}"),
            Change::AppChanged(_, app) => format!("~{app}"),
            Change::AppRemoved(_, app) => format!("-{app}"),
            Change::TaskAdded(_, _, task, verdict) => format!("+{task} {}", verdict.kind.as_str()),
            Change::TaskChanged(_, _, task, verdict) => format!("~{task} {}", verdict.kind.as_str()),
            Change::TaskRemoved(_, _, task) => format!("-{task}"),
        };
        changes.iter().map(name).collect()
    };
    let after = bench.snapshot();
    assert_eq!(
        names(diff(&before, &after)),
        ["-a.1", "-/a", "~/b", "-b.1", "~b.2 draining", "+b.3 routable", "+/c", "+c.1 routable"]
    );
    assert_eq!(diff(&after, &before).len(), 8);
}

/// Why a sync is wanted after the last step.
fn why(bench: &Bench) -> Option<Why> {
    bench.effects.resyncs.get(&source("m")).copied()
}

fn web(tasks: &[&str]) -> Vec<AppListing> {
    vec![listed(app("/web"), tasks.iter().map(|id| task("/web", id)).collect())]
}

#[test]
fn the_listing_after_a_gap_asks_for_a_sync_once() {
    let mut bench = Bench::reading(web(&["web.1"]));
    assert_eq!(why(&bench), None, "whoever syncs does so at its start by itself");
    bench.see(Observation::Lost { reason: "end".into() });
    bench.see(Observation::Attached);
    assert_eq!(why(&bench), None, "not before it is listed");
    bench.list(web(&["web.1"]), Vec::new());
    assert_eq!(why(&bench), Some(Why::StreamGap), "whatever it shows: a task may have come and gone");
    bench.list(web(&["web.2"]), Vec::new());
    assert_eq!(why(&bench), None);
}

#[test]
fn a_listing_that_is_not_believed_yet_asks_for_no_sync() {
    let many =
        |count: usize| (0..count).map(|n| listed(app(&format!("/a{n}")), Vec::new())).collect::<Vec<_>>();
    let mut bench = Bench::reading(many(30));
    bench.see(Observation::Lost { reason: "end".into() });
    bench.see(Observation::Attached);
    bench.list(many(1), Vec::new());
    assert_eq!(why(&bench), None);
    bench.pass_ms(121_000).list(many(1), Vec::new());
    assert_eq!(why(&bench), Some(Why::StreamGap));
}

#[test]
fn without_a_stream_changed_tasks_ask_for_a_sync() {
    let mut bench = Bench::reading(web(&["web.1"]));
    bench.see(Observation::Lost { reason: "no stream".into() });
    bench.list(web(&["web.1"]), Vec::new());
    assert_eq!(why(&bench), None, "the same");
    for tasks in [&["web.1", "web.2"][..], &["web.2"], &[]] {
        bench.list(web(tasks), Vec::new());
        assert_eq!(why(&bench), Some(Why::NoStream), "{tasks:?}");
        bench.list(web(tasks), Vec::new());
        assert_eq!(why(&bench), None, "{tasks:?} again");
    }
    bench.list(web(&["web.3"]), Vec::new()).list(Vec::new(), Vec::new());
    assert_eq!(why(&bench), Some(Why::NoStream), "the app is gone with its task");
}

#[test]
fn a_registered_scheduler_asks_for_a_sync() {
    let mut bench = Bench::reading(web(&["web.1"]));
    bench.event(ClusterEvent::SchedulerDisconnected);
    assert_eq!(why(&bench), None);
    bench.event(ClusterEvent::SchedulerRegistered);
    assert_eq!(why(&bench), Some(Why::SchedulerRegistered));
}
