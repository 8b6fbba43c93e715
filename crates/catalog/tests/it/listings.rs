//! Answers against events: what is older loses, what differs is counted, what is absent goes.

use mconn_model::*;

use crate::support::*;

fn both() -> Vec<AppListing> {
    vec![listed(app("/web"), vec![task("/web", "web.1"), task("/web", "web.2")])]
}

#[test]
fn trap_1_a_listing_in_flight_does_not_undo_later_events() {
    let mut bench = Bench::reading(both());
    let before = bench.mark();
    bench.event(status("/web", "web.1", TaskStatus::Killed));
    bench.event(status("/web", "web.2", TaskStatus::Killing));
    bench.event(status("/web", "web.3", TaskStatus::Running));
    bench.list_at(both(), Vec::new(), before);
    let wanted = ["web.2 killing agent1:31000", "web.3 running-without-checks agent1:31000"];
    assert_eq!(bench.shows("/web"), wanted);
    assert_eq!(bench.pass_ms(200).asked(), ["/web"], "still dirty");
    bench.answer("/web", Some(listed(app("/web"), vec![task("/web", "web.3")])));
    assert_eq!(bench.shows("/web"), ["web.3 running-without-checks agent1:31000"]);
    assert_eq!(bench.pass_ms(5000).asked(), Vec::<String>::new(), "clean");
    assert_eq!(bench.pass_ms(60_000).state().differences, 0);
}

#[test]
fn events_before_the_first_listing_are_newer_than_it() {
    let mut bench = Bench::with(mconn_catalog::Settings::default());
    bench.see(Observation::Attached);
    bench.event(status("/web", "web.1", TaskStatus::Killing));
    bench.event(status("/web", "web.2", TaskStatus::Killed));
    bench.event(health("/other", "other.1", Some(false)));
    let mut all = both();
    all.push(listed(checked("/other", 1), vec![with_health(task("/other", "other.1"), &[true])]));
    bench.list_at(all, Vec::new(), 0);
    assert_eq!(bench.shows("/web"), ["web.1 killing agent1:31000"]);
    assert_eq!(bench.pass_ms(200).asked(), ["/other", "/web"]);
}

#[test]
fn an_answer_in_flight_does_not_undo_later_events_either() {
    let mut bench = Bench::reading(both());
    let before = bench.mark();
    bench.event(health("/web", "web.1", Some(false)));
    bench.event(status("/web", "web.2", TaskStatus::Killed));
    bench.answer_at("/web", both().pop(), before);
    assert_eq!(bench.shows("/web").len(), 1);
    assert_eq!(bench.pass_ms(200).asked(), ["/web"]);

    let mut next = app("/web");
    next.version = Some(Timestamp::from_millis(5));
    let before = bench.mark();
    bench.event(ClusterEvent::AppDefinition { app: Box::new(next) });
    bench.answer_at("/web", both().pop(), before);
    let version = bench.entry("/web").unwrap().app.as_ref().unwrap().version;
    assert_eq!(version, Some(Timestamp::from_millis(5)));
    // It is gone at the time of the request, but was defined after it.
    bench.answer_at("/web", None, before);
    assert!(bench.entry("/web").is_some());
    bench.answer("/web", None);
    assert!(bench.entry("/web").is_none());
}

#[test]
fn trap_9_the_definition_lags_behind_the_deployment() {
    let mut bench = Bench::reading(both());
    bench.event(deployment(DeploymentPhase::StepBegan, &["/web", "/new"]));
    assert_eq!(bench.pass_ms(200).asked(), ["*"], "a new app can be a pod");
    bench.list(both(), Vec::new());
    // Not visible yet: the group's event asks again.
    bench.pass_ms(1000).event(group("/"));
    assert_eq!(bench.pass_ms(200).asked(), ["*"]);
    let mut all = both();
    all.push(listed(app("/new"), Vec::new()));
    bench.list(all, Vec::new());
    assert!(bench.entry("/new").is_some());
    bench.pass_ms(1000).event(group("/"));
    assert_eq!(bench.pass_ms(200).asked(), ["/new", "/web"], "now they are known and few");
    assert_eq!(bench.pass_ms(20_000).state().differences, 0);
}

#[test]
fn trap_10_deletion_by_absence() {
    let mut bench = Bench::reading(both());
    bench.event(group("/"));
    assert_eq!(bench.pass_ms(200).asked(), ["/web"]);
    bench.answer("/web", None);
    assert_eq!(bench.shows("/web"), ["no such app"]);
    // Its tasks die after it: nothing to ask for.
    bench.event(status("/web", "web.1", TaskStatus::Killing));
    bench.event(status("/web", "web.1", TaskStatus::Killed));
    bench.event(ClusterEvent::AppTerminated { app: app_id("/web") });
    bench.event(deployment(DeploymentPhase::Succeeded, &["/web"]));
    assert_eq!(bench.pass_ms(1000).asked(), Vec::<String>::new());
}

#[test]
fn a_terminated_app_is_not_brought_back_but_can_be_created_anew() {
    let mut bench = Bench::reading(both());
    let before = bench.mark();
    bench.event(ClusterEvent::AppTerminated { app: app_id("/web") });
    bench.list_at(both(), Vec::new(), before);
    assert_eq!(bench.shows("/web"), ["no such app"]);
    assert_eq!(bench.pass_ms(200).asked(), ["*"]);
    bench.list(vec![listed(app("/web"), vec![task("/web", "web.9")])], Vec::new());
    assert_eq!(bench.shows("/web").len(), 1);
}

#[test]
fn an_app_created_anew_does_not_inherit_tasks_from_an_old_listing() {
    let mut bench = Bench::reading(vec![listed(app("/web"), Vec::new())]);
    let before = bench.mark();
    bench.event(ClusterEvent::AppTerminated { app: app_id("/web") });
    bench.event(ClusterEvent::AppDefinition { app: Box::new(app("/web")) });
    bench.list_at(both(), Vec::new(), before);
    assert_eq!(bench.shows("/web"), Vec::<String>::new(), "its tasks started unseen and died with the app");
    assert_eq!(bench.pass_ms(200).asked(), ["/web"]);
}

#[test]
fn an_ended_task_that_is_still_listed_is_believed_only_after_a_while() {
    let mut bench = Bench::reading(both());
    bench.event(status("/web", "web.1", TaskStatus::Killed));
    bench.answer("/web", both().pop());
    assert_eq!(bench.shows("/web").len(), 1, "Marathon up to 1.3 has such windows");
    assert_eq!(bench.pass_ms(200).asked(), ["/web"]);
    bench.pass_ms(2000).answer("/web", both().pop());
    assert_eq!(bench.shows("/web").len(), 2);
}

#[test]
fn listed_ended_tasks_are_shown_without_endpoints() {
    let ended = with_status(task("/web", "web.1"), TaskStatus::Failed);
    let bench = Bench::reading(vec![listed(app("/web"), vec![ended])]);
    assert_eq!(bench.shows("/web"), ["web.1 ended "]);
}

#[test]
fn an_answer_older_than_the_one_before_is_ignored() {
    let mut bench = Bench::reading(both());
    bench.event(group("/"));
    bench.list(vec![listed(app("/web"), vec![task("/web", "web.1")])], Vec::new());
    bench.answer_at("/web", both().pop(), 0);
    assert_eq!(bench.shows("/web").len(), 1);
    bench.answer_at("/web", None, 0);
    assert_eq!(bench.shows("/web").len(), 1);
    bench.list_at(Vec::new(), Vec::new(), 0);
    assert_eq!(bench.shows("/web").len(), 1);
}

#[test]
fn differences_that_no_event_announced_are_counted() {
    let one = || task("/web", "web.1");
    let two = || task("/web", "web.2");
    let check = |what: &str, apps: Vec<AppListing>, wanted: u64| {
        let mut bench = Bench::with(mconn_catalog::Settings { hold_share: 100, ..Default::default() });
        bench.see(Observation::Attached);
        bench.list(both(), Vec::new()).list(apps, Vec::new());
        assert_eq!(bench.state().differences, 0, "{what}: an event may be on its way");
        assert_eq!(bench.pass_ms(10_001).state().differences, wanted, "{what}");
    };
    check("nothing", both(), 0);
    check("a task went", vec![listed(app("/web"), vec![one()])], 1);
    check("a task came", vec![listed(app("/web"), vec![one(), two(), task("/web", "web.3")])], 1);
    let staging = with_status(task("/web", "web.3"), TaskStatus::Staging);
    check("not every generation tells of staging", vec![listed(app("/web"), vec![one(), two(), staging])], 0);
    let killing = with_status(two(), TaskStatus::Killing);
    check("a task is being killed", vec![listed(app("/web"), vec![one(), killing])], 1);
    let moved = AppTask { ports: vec![1], ..two() };
    check("other ports", vec![listed(app("/web"), vec![one(), moved])], 1);
    let late = AppTask { addresses: vec![IpAddress("9.0.0.1".parse().unwrap())], ..two() };
    check("addresses that come late", vec![listed(app("/web"), vec![one(), late])], 0);
    let next = App { version: Some(Timestamp::from_millis(9)), ..app("/web") };
    check("another definition", vec![listed(next, vec![one(), two()])], 1);
    check("an app with two tasks went", Vec::new(), 3);
    let mut more = both();
    more.push(listed(app("/new"), Vec::new()));
    check("an app came", more, 1);
}

#[test]
fn expected_differences_are_not_counted() {
    let fewer = || vec![listed(app("/web"), vec![task("/web", "web.1")])];
    // Dirty.
    let mut bench = Bench::reading(both());
    bench.event(deployment(DeploymentPhase::StepBegan, &["/web"])).list(fewer(), Vec::new());
    assert_eq!(bench.pass_ms(60_000).state().differences, 0);
    // The event comes after the listing that already knew.
    let mut bench = Bench::reading(both());
    bench.list(fewer(), Vec::new());
    bench.pass_ms(300).event(status("/web", "web.2", TaskStatus::Killed));
    assert_eq!(bench.pass_ms(60_000).state().differences, 0);
    // Below a group that changed.
    let mut bench = Bench::reading(both());
    bench.event(group("/")).list(Vec::new(), Vec::new());
    assert_eq!(bench.pass_ms(60_000).state().differences, 0);
    // After an interruption, and while only polling.
    let mut bench = Bench::reading(both());
    bench.see(Observation::Lost { reason: "silent".into() });
    bench.list(fewer(), Vec::new()).list(both(), Vec::new());
    assert_eq!(bench.pass_ms(60_000).state().differences, 0);
    assert_eq!(bench.state().freshness, Freshness::Fresh, "polling works");
}

#[test]
fn trap_21_an_empty_answer_is_held_for_a_while_and_then_believed() {
    let many = || (0..30).map(|n| listed(app(&format!("/a{n}")), Vec::new())).collect::<Vec<_>>();
    let mut bench = Bench::reading(many());
    bench.list(Vec::new(), Vec::new());
    assert_eq!(bench.snapshot().apps.len(), 30);
    assert!(matches!(bench.effects.notices[..], [mconn_catalog::Notice::Held { apps: 30, tasks: 0, .. }]));
    assert_eq!(bench.state().held.map(|held| held.apps), Some(30));
    // Asked again and again, and not believed before the time is over.
    for _ in 0..11 {
        assert_eq!(bench.pass_ms(10_000).asked(), ["*"]);
        bench.list(Vec::new(), Vec::new());
        assert_eq!(bench.snapshot().apps.len(), 30);
    }
    assert_eq!(bench.pass_ms(10_000).asked(), ["*"]);
    bench.list(Vec::new(), Vec::new());
    assert_eq!((bench.snapshot().apps.len(), bench.state().held), (0, None));
    // It was an accident.
    let mut bench = Bench::reading(many());
    bench.list(Vec::new(), Vec::new()).list(many(), Vec::new());
    assert_eq!((bench.snapshot().apps.len(), bench.state().held), (30, None));
}

#[test]
fn tasks_that_vanish_from_listed_apps_are_held_too_unless_others_take_their_place() {
    let apps = |names: &[&str]| -> Vec<AppListing> {
        let tasks =
            |n: usize| names.iter().map(|name| task(&format!("/a{n}"), &format!("a{n}.{name}"))).collect();
        (0..3).map(|n| listed(App { instances: 2, ..app(&format!("/a{n}")) }, tasks(n))).collect()
    };
    let running = |bench: &Bench| -> usize { (0..3).map(|n| bench.shows(&format!("/a{n}")).len()).sum() };
    let mut bench = Bench::reading(apps(&["1", "2"]));
    bench.list(apps(&[]), Vec::new());
    assert_eq!((running(&bench), bench.state().held.map(|held| held.tasks)), (6, Some(6)));
    // What an event says is obeyed meanwhile.
    bench.event(status("/a0", "a0.1", TaskStatus::Killed));
    assert_eq!(running(&bench), 5);
    // Fewer are wanted: a scale-down that nobody told of.
    let mut bench = Bench::reading(apps(&["1", "2"]));
    let mut fewer = apps(&["1"]);
    fewer.iter_mut().for_each(|listing| listing.app.instances = 1);
    fewer.push(listed(app("/b"), Vec::new()));
    bench.list(fewer, Vec::new());
    assert_eq!((running(&bench), bench.state().held), (3, None));
    // All were replaced while nobody listened.
    let mut bench = Bench::reading(apps(&["1", "2"]));
    bench.list(apps(&["3", "4"]), Vec::new());
    assert_eq!((running(&bench), bench.state().held), (6, None));
    assert_eq!(bench.shows("/a0")[0], "a0.3 running-without-checks agent1:31000");
}

#[test]
fn what_events_explain_is_not_held() {
    let many = || (0..9).map(|n| listed(app(&format!("/shop/a{n}")), Vec::new())).collect::<Vec<_>>();
    let mut bench = Bench::reading(many());
    bench.event(group("/shop")).list(Vec::new(), Vec::new());
    assert_eq!((bench.snapshot().apps.len(), bench.state().held), (0, None));
    let hold = mconn_catalog::Settings { hold_share: 100, ..mconn_catalog::Settings::default() };
    let mut bench = Bench::with(hold);
    bench.see(Observation::Attached);
    bench.list(many(), Vec::new()).list(Vec::new(), Vec::new());
    assert_eq!(bench.snapshot().apps.len(), 0, "a share of all is never exceeded");
}

#[test]
fn an_app_that_could_not_be_read_is_not_taken_for_deleted() {
    let mut all = both();
    all.push(listed(app("/b"), Vec::new()));
    let mut bench = Bench::reading(all);
    let warning = |place: &str| Warning { place: place.into(), reason: "is no object".into() };
    let partial = |warnings| {
        let listing = Box::new(Listing { apps: both(), warnings, ..Listing::default() });
        Observation::Listing { listing, requested_at_event: 0 }
    };
    bench.see(partial(vec![warning("apps[1]")]));
    assert!(bench.entry("/b").is_some());
    assert_eq!(bench.pass_ms(200).asked(), ["/b"]);
    bench.answer("/b", None);
    assert!(bench.entry("/b").is_none());
    // A bad part below an app hides no app.
    let mut bench = Bench::reading(vec![listed(app("/b"), Vec::new())]);
    bench.see(partial(vec![warning("apps[0] /web: tasks[3]")]));
    assert!(bench.entry("/b").is_none());
}

#[test]
fn unchanged_entries_keep_their_identity() {
    let mut bench = Bench::reading(both());
    let before = bench.snapshot();
    bench.list(both(), Vec::new());
    let compared = bench.snapshot();
    assert_eq!(before.digest, compared.digest, "the contents are the same");
    assert!(
        compared.sources[&source("m")].comparisons > before.sources[&source("m")].comparisons,
        "but it is told"
    );
    bench.event(status("/other", "other.1", TaskStatus::Running));
    let after = bench.snapshot();
    assert!(after.version > before.version);
    let key = (source("m"), app_id("/web"));
    assert!(std::sync::Arc::ptr_eq(&before.apps[&key], &after.apps[&key]));
}

#[test]
fn an_app_becomes_a_pod() {
    let mut bench = Bench::reading(both());
    let mut pod = pod("/web");
    pod.running = vec![pod_instance("web.instance-1", "main", TaskStatus::Running)];
    bench.list(Vec::new(), vec![pod]);
    assert_eq!(bench.shows("/web").len(), 1);
    assert!(bench.entry("/web").unwrap().app.is_none());
}

#[test]
fn a_listing_that_says_nothing_about_pods_leaves_them() {
    let mut one = pod("/pod");
    one.running = vec![pod_instance("pod.instance-1", "main", TaskStatus::Running)];
    let mut bench = Bench::reading(Vec::new());
    bench.list(vec![listed(app("/a"), Vec::new()), listed(app("/b"), Vec::new())], vec![one]);
    let apps = vec![listed(app("/a"), Vec::new())];
    let listing = Box::new(Listing { apps, pods_unknown: true, ..Listing::default() });
    bench.see(Observation::Listing { listing, requested_at_event: 0 });
    assert_eq!(bench.effects.notices, [], "no part of it is missing");
    assert!(bench.entry("/pod").is_some_and(|entry| entry.tasks.len() == 1));
    assert!(bench.entry("/b").is_none(), "apps are complete");
    bench.list(vec![listed(app("/a"), Vec::new())], Vec::new());
    assert!(bench.entry("/pod").is_none());
}
