//! What is asked for, when, and how often.

use std::time::Duration;

use mconn_catalog::{Fetch, Settings};
use mconn_model::*;

use crate::support::*;

fn apps(count: usize) -> Vec<AppListing> {
    (0..count).map(|n| listed(app(&format!("/g/a{n:04}")), vec![task("/x", &format!("a{n:04}.1"))])).collect()
}

fn touch(bench: &mut Bench, n: usize) {
    bench.event(status(&format!("/g/a{n:04}"), &format!("a{n:04}.1"), TaskStatus::Running));
}

/// What is asked for next, within ten seconds.
fn until_asked(bench: &mut Bench) -> Vec<String> {
    (0..100).map(|_| bench.pass_ms(100).asked()).find(|asked| !asked.is_empty()).unwrap_or_default()
}

#[test]
fn many_events_of_one_app_are_one_request() {
    let mut bench = Bench::reading(apps(1));
    for _ in 0..50 {
        touch(&mut bench, 0);
        bench.pass_ms(1);
    }
    assert_eq!(bench.asked(), Vec::<String>::new());
    assert_eq!(bench.pass_ms(50).asked(), ["/g/a0000"], "100 ms after the first of them");
    touch(&mut bench, 0);
    assert_eq!(bench.pass_ms(5000).asked(), Vec::<String>::new(), "one request is on its way");
    bench.answer_at("/g/a0000", apps(1).pop(), 50);
    assert_eq!(bench.pass_ms(200).asked(), ["/g/a0000"], "but an event came after it");
}

#[test]
fn few_dirty_apps_are_asked_for_one_by_one_and_many_by_listing() {
    let mut bench = Bench::reading(apps(50));
    (0..10).for_each(|n| touch(&mut bench, n));
    assert_eq!(bench.pass_ms(200).asked().len(), 10);
    let mut bench = Bench::reading(apps(50));
    (0..11).for_each(|n| touch(&mut bench, n));
    assert_eq!(bench.pass_ms(200).asked(), ["*"]);
    touch(&mut bench, 20);
    assert_eq!(bench.pass_ms(2000).asked(), Vec::<String>::new(), "the listing may clean it");
    let before = bench.mark() - 1;
    bench.list_at(apps(50), Vec::new(), before);
    assert_eq!(bench.pass_ms(200).asked(), ["/g/a0020"], "it did not");
}

#[test]
fn a_changed_group_with_many_apps_is_one_listing() {
    let mut bench = Bench::reading(apps(50));
    bench.event(group("/g"));
    assert_eq!(bench.pass_ms(200).asked(), ["*"]);
    let mut bench = Bench::reading(apps(3));
    bench.event(group("/g"));
    assert_eq!(bench.pass_ms(200).asked().len(), 3);
}

#[test]
fn trap_30_pods_are_never_asked_for_alone() {
    let mut one = pod("/pod");
    one.running = vec![pod_instance("pod.instance-1", "main", TaskStatus::Running)];
    let mut bench = Bench::reading(Vec::new());
    bench.list(Vec::new(), vec![one.clone()]);
    bench.event(status("/pod", "pod.instance-1.main", TaskStatus::Killing));
    assert_eq!(bench.shows("/pod"), ["pod.instance-1.main killing agent1:31500,9.0.2.1:9090"]);
    assert_eq!(until_asked(&mut bench), ["*"]);
    bench.list(Vec::new(), vec![one.clone()]);
    // One that we do not know: only its task's id tells.
    bench.event(status("/new", "new.instance-1.main", TaskStatus::Running));
    assert_eq!(until_asked(&mut bench), ["*"]);
    bench.list(Vec::new(), vec![one]);
    bench.event(status("/app", "app.instance-1._app.1", TaskStatus::Running));
    assert_eq!(bench.pass_ms(1500).asked(), ["/app"]);
    bench.event(status("/old", "old.5c1d", TaskStatus::Running));
    assert_eq!(bench.pass_ms(1500).asked(), ["/old"]);
    // An answer about a pod's id says nothing.
    bench.answer("/pod", None);
    assert!(bench.entry("/pod").is_some());
}

#[test]
fn the_budget_bounds_a_storm() {
    let mut bench =
        Bench::with(Settings { app_gap: (Duration::ZERO, Duration::ZERO), ..Settings::default() });
    bench.see(Observation::Attached).list(apps(5), Vec::new());
    let mut asked = 0;
    for _ in 0..600 {
        (0..5).for_each(|n| touch(&mut bench, n));
        bench.pass_ms(100);
        for id in bench.asked() {
            asked += 1;
            bench.answer(&id, apps(5).into_iter().find(|listed| listed.app.id.as_str() == id));
        }
    }
    let bound = 20 + 120;
    assert!((bound - 25..=bound).contains(&asked), "{asked} requests in a minute");
}

#[test]
fn listings_keep_their_distance() {
    let mut bench = Bench::reading(apps(50));
    let mut asked = 0;
    for _ in 0..100 {
        bench.event(group("/g")).pass_ms(100);
        for _ in bench.asked() {
            asked += 1;
            bench.list(apps(50), Vec::new());
        }
    }
    assert!((9..=10).contains(&asked), "{asked} listings in ten seconds");
}

#[test]
fn failures_are_asked_again_with_growing_pauses() {
    let mut bench = Bench::reading(apps(2));
    let before = bench.snapshot().apps.clone();
    touch(&mut bench, 0);
    let mut pauses = Vec::new();
    bench.pass_ms(150);
    for _ in 0..8 {
        assert_eq!(bench.asked(), ["/g/a0000"]);
        let id = Some(app_id("/g/a0000"));
        bench.see(Observation::RequestFailed { id, reason: "503".into() });
        let failed_at = bench.now;
        while bench.fetches.is_empty() {
            bench.pass_ms(10);
        }
        pauses.push((bench.now - failed_at).as_secs_f64());
    }
    assert!(pauses[0] >= 0.5 && pauses[0] <= 1.02, "{pauses:?}");
    assert!(pauses[7] >= 15.0 && pauses[7] <= 30.02, "{pauses:?}");
    assert_eq!(bench.state().last_error.as_deref(), Some("503"));
    assert_eq!(bench.snapshot().apps, before);
    bench.asked();
    bench.answer("/g/a0000", apps(1).pop());
    assert_eq!(bench.pass_ms(60_000).asked(), Vec::<String>::new());

    bench.see(Observation::RequestFailed { id: None, reason: "timeout".into() });
    assert_eq!(bench.pass_ms(1100).asked(), ["*"]);
    bench.list(apps(2), Vec::new());
    assert_eq!(bench.state().last_error, None);
}

#[test]
fn nothing_is_asked_while_the_source_is_away_and_nothing_is_forgotten() {
    let mut bench = Bench::reading(apps(2));
    touch(&mut bench, 0);
    bench.see(Observation::Lost { reason: "silent".into() });
    assert_eq!(bench.pass_ms(60_000).asked(), Vec::<String>::new());
    bench.see(Observation::Attached);
    assert_eq!(bench.pass_ms(50_000).asked(), Vec::<String>::new(), "the follower lists by itself");
    assert_eq!(bench.pass_ms(20_000).asked(), ["*"], "or does not");
    let before = bench.mark() - 1;
    bench.list_at(apps(2), Vec::new(), before);
    assert_eq!(bench.pass_ms(200).asked(), ["/g/a0000"]);
}

#[test]
fn a_refused_request_is_made_again() {
    let mut bench = Bench::reading(apps(2));
    touch(&mut bench, 0);
    assert_eq!(bench.pass_ms(150).asked(), ["/g/a0000"]);
    bench.catalog.refused(&Fetch::App(source("m"), app_id("/g/a0000")), bench.now);
    assert_eq!(bench.pass_ms(150).asked(), ["/g/a0000"]);
    bench.event(ClusterEvent::PodChanged { pod: None });
    assert_eq!(bench.pass_ms(150).asked(), ["*"]);
    bench.catalog.refused(&Fetch::Listing(source("m")), bench.now);
    assert_eq!(bench.pass_ms(1500).asked(), ["*"]);
}

#[test]
fn a_request_that_nobody_answers_is_made_again() {
    let mut bench = Bench::reading(apps(2));
    touch(&mut bench, 0);
    assert_eq!(bench.pass_ms(50_000).asked(), ["/g/a0000"]);
    assert_eq!(bench.pass_ms(20_000).asked(), ["/g/a0000"]);
    bench.event(ClusterEvent::PodChanged { pod: None });
    assert_eq!(bench.pass_ms(50_000).asked(), ["*"]);
    assert_eq!(bench.pass_ms(20_000).asked(), ["*"]);
}

#[test]
fn a_registered_scheduler_reconciles_first() {
    let mut bench = Bench::reading(apps(2));
    bench.event(ClusterEvent::SchedulerRegistered);
    assert_eq!(bench.pass(Duration::from_secs(10)).asked(), Vec::<String>::new());
    bench.list(apps(2), Vec::new());
    assert_eq!(bench.pass(Duration::from_secs(4)).asked(), Vec::<String>::new());
    assert_eq!(bench.pass(Duration::from_secs(17)).asked(), ["*"], "an earlier listing does not count");
}

#[test]
fn publishing_is_coalesced() {
    let mut catalog =
        mconn_catalog::Catalog::new(Settings::default(), Timestamp::from_millis(0), [source("m")]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut at = |catalog: &mut mconn_catalog::Catalog, millis: u64| {
        let event = status("/web", &format!("web.{millis}"), TaskStatus::Running);
        catalog
            .apply(&source("m"), Observation::Event(event), Duration::from_millis(millis), &mut rng)
            .publish_by
    };
    assert_eq!(at(&mut catalog, 100), Some(Duration::from_millis(100)), "at once after a quiet time");
    let first = catalog.publish(Duration::from_millis(100));
    assert_eq!(at(&mut catalog, 101), Some(Duration::from_millis(120)));
    assert_eq!(at(&mut catalog, 105), Some(Duration::from_millis(120)));
    let second = catalog.publish(Duration::from_millis(120));
    assert_eq!((first.version + 1, catalog.publish_by()), (second.version, None));
    assert!(std::sync::Arc::ptr_eq(&second, &catalog.publish(Duration::from_millis(500))));
}

#[test]
fn a_used_up_budget_goes_to_whoever_waits_longest() {
    let settings = Settings {
        app_gap: (Duration::ZERO, Duration::ZERO),
        requests_burst: 1,
        requests_per_minute: 60,
        ..Settings::default()
    };
    let mut bench = Bench::with(settings);
    bench.see(Observation::Attached).list(apps(10), Vec::new());
    let mut asked = Vec::new();
    for step in 0..100 {
        (0..4).for_each(|n| touch(&mut bench, n));
        if step == 10 {
            touch(&mut bench, 9);
        }
        bench.pass_ms(100);
        for id in bench.asked() {
            bench.answer(&id, apps(10).into_iter().find(|listed| listed.app.id.as_str() == id));
            asked.push(id);
        }
    }
    assert!(asked.iter().any(|id| id == "/g/a0009"), "{asked:?}");
    assert!((0..4).all(|n| asked.contains(&format!("/g/a{n:04}"))), "{asked:?}");
}

#[test]
fn a_noisy_app_is_asked_for_ever_more_rarely_until_it_is_quiet() {
    let mut bench = Bench::reading(apps(1));
    let mut times = Vec::new();
    let start = bench.now;
    for _ in 0..1200 {
        touch(&mut bench, 0);
        bench.pass_ms(100);
        for id in bench.asked() {
            times.push((bench.now - start).as_secs());
            bench.answer(&id, apps(1).pop());
        }
    }
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 61, 91], "gaps of 1, 2, 4, 8, 16 and then 30 seconds");
    bench.pass(Duration::from_secs(100)).asked();
    bench.answer("/g/a0000", apps(1).pop());
    bench.pass(Duration::from_secs(100));
    touch(&mut bench, 0);
    assert_eq!(bench.pass_ms(150).asked(), ["/g/a0000"], "at once after a quiet time");
}

#[test]
fn slow_listings_rest_five_times_as_long_as_they_took() {
    let mut bench = Bench::reading(apps(50));
    let mut asked = 0;
    for _ in 0..300 {
        bench.event(group("/g")).pass_ms(100);
        for _ in bench.asked() {
            asked += 1;
            bench.pass_ms(2000).list(apps(50), Vec::new());
        }
    }
    let whole = 300 / 80 + 1;
    assert!((whole - 1..=whole + 1).contains(&asked), "{asked} listings of two seconds each");
}

#[test]
fn the_end_of_an_unknown_task_of_an_unknown_app_is_not_worth_a_request() {
    let mut bench = Bench::reading(apps(1));
    let end = |app: &str, task: &str| ClusterEvent::UnknownTerminated {
        app: app_id(app),
        task: Some(task_id(task)),
        instance: None,
    };
    bench.event(end("/never", "never.1"));
    assert_eq!(bench.pass_ms(5000).asked(), Vec::<String>::new());
    bench.event(end("/g/a0000", "a0000.1"));
    assert_eq!(bench.pass_ms(5000).asked(), ["/g/a0000"]);
}

#[test]
fn the_group_of_an_app_that_was_written_needs_no_listing() {
    let version = Some(Timestamp::from_millis(77));
    let changed = || ClusterEvent::GroupChanged { group: "/".into(), version };
    let written = || ClusterEvent::AppDefinition { app: Box::new(App { version, ..app("/g/a0007") }) };
    for events in [[changed(), written()], [written(), changed()]] {
        let mut bench = Bench::reading(apps(50));
        for event in events {
            bench.event(event);
        }
        assert_eq!(bench.pass_ms(3000).asked(), ["/g/a0007"]);
    }
    let mut bench = Bench::reading(apps(50));
    bench.event(group("/g")).event(changed()).event(written());
    assert_eq!(until_asked(&mut bench), ["*"], "another change is not explained by it");
    let mut bench = Bench::reading(apps(50));
    bench.event(written()).pass_ms(1000).asked();
    bench.event(changed());
    assert_eq!(until_asked(&mut bench), ["*"], "nor one much later");
}
