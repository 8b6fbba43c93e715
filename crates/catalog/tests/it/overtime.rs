//! The laws that hold over time find what they are for, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mconn_catalog::invariants::overtime::*;
use mconn_model::*;

use crate::support::{app, app_id, source, task, task_id};

const SECOND: Duration = Duration::from_secs(1);

/// One task, of which everything is known.
struct Truth(Known);

impl World for Truth {
    fn known(&self, _: &SourceId, _: &TaskId) -> Known {
        self.0
    }

    fn is_place(&self, endpoint: &Endpoint) -> bool {
        endpoint.transport.to_string() == "agent1:31000"
    }
}

fn good() -> Known {
    Known { first_ready: Some(SECOND), good: true, ..Known::default() }
}

/// A snapshot with one task of `/a`, at these ports of its agent.
fn snapshot(rule: Rule, kind: VerdictKind, ports: &[u16]) -> Snapshot {
    let verdict = Verdict { kind, rule };
    let endpoint = |(index, port): (usize, &u16)| Endpoint {
        source: source("m"),
        app: app_id("/a"),
        task: task_id("a.1"),
        port_index: index,
        port_name: None,
        service_port: None,
        transport: Transport::Host { host: "agent1".into(), port: *port },
        protocols: Protocols::TCP,
        verdict,
    };
    let endpoints = ports.iter().enumerate().map(endpoint).collect();
    let entry = TaskEntry {
        task: task("/a", "a.1"),
        endpoints,
        verdict,
        unresolved: Vec::new(),
        since: Timestamp::from_millis(0),
    };
    let entry = AppEntry {
        source: source("m"),
        id: app_id("/a"),
        app: Some(Arc::new(app("/a"))),
        pod: None,
        tasks: vec![Arc::new(entry)],
        history: Vec::new(),
    };
    let apps = BTreeMap::from([((source("m"), app_id("/a")), Arc::new(entry))]);
    Snapshot { apps, ..Snapshot::default() }
}

fn routable() -> Snapshot {
    snapshot(Rule::Healthy, VerdictKind::Routable, &[31_000])
}

fn unhealthy() -> Snapshot {
    snapshot(Rule::Unhealthy, VerdictKind::NotReady, &[31_000])
}

/// Shows snapshots in turn, and says which laws were broken.
#[track_caller]
fn check(shown: &[(u64, Snapshot, Known)], expected: &[Law]) {
    let mut watcher = Watcher::new(Bounds { told: SECOND, lost: 10 * SECOND });
    let mut laws = Vec::new();
    for (second, snapshot, known) in shown {
        let broken = watcher.observe(snapshot, *second as u32 * SECOND, &Truth(*known));
        laws.extend(broken.into_iter().map(|broken| broken.law));
    }
    assert_eq!(laws, expected);
}

#[test]
fn no_task_is_routable_before_it_was_ready() {
    check(&[(1, routable(), good())], &[]);
    check(&[(1, routable(), Known { first_ready: None, ..good() })], &[Law::ReadyFirst]);
    check(&[(0, routable(), good())], &[Law::ReadyFirst]);
    check(&[(1, unhealthy(), Known::default())], &[]);
}

#[test]
fn a_hint_counts_from_its_arrival_and_each_task_once() {
    let told = Known { told: Some((5 * SECOND, "by a test")), good: false, ..good() };
    check(&[(5, routable(), told), (6, routable(), told)], &[]);
    check(&[(7, routable(), told), (8, routable(), told)], &[Law::Told]);
    check(&[(5, routable(), told), (7, unhealthy(), told)], &[]);
}

#[test]
fn a_lost_hint_has_a_longer_bound() {
    let given = Known { given: Some(5 * SECOND), good: false, ..good() };
    check(&[(15, routable(), given)], &[]);
    check(&[(16, routable(), given)], &[Law::Lost]);
}

#[test]
fn what_is_good_stays_with_all_its_ports_unless_something_spoke_against_it() {
    let gone = || Snapshot::default();
    check(&[(1, routable(), good()), (2, unhealthy(), good())], &[Law::Steady]);
    check(&[(1, routable(), good()), (2, gone(), good())], &[Law::Steady]);
    check(&[(1, routable(), good()), (2, unhealthy(), Known { doubted: true, ..good() })], &[]);
    check(&[(1, routable(), good()), (2, unhealthy(), Known { good: false, ..good() })], &[]);
    let without_ports = snapshot(Rule::Healthy, VerdictKind::Routable, &[]);
    check(&[(1, routable(), good()), (2, without_ports, good())], &[Law::Steady]);
}

#[test]
fn a_routable_endpoint_is_where_the_task_is() {
    check(&[(1, snapshot(Rule::Healthy, VerdictKind::Routable, &[31_001]), good())], &[Law::Place]);
}

#[test]
fn a_settled_cluster_is_agreed_on_in_both_directions() {
    let expected = |status, routable| Expected {
        app: app_id("/a"),
        status,
        routable,
        places: vec![(0, "agent1:31000".to_owned())],
    };
    let truth = Settled {
        apps: BTreeMap::from([(app_id("/a"), Timestamp::from_millis(1))]),
        moving: Vec::new(),
        tasks: BTreeMap::from([(task_id("a.1"), Some(expected("TASK_RUNNING", true)))]),
    };
    let count = |truth: &Settled| agree(&routable(), &source("m"), truth).len();
    assert_eq!(count(&truth), 0);
    let with = |tasks: Vec<(&str, Option<Expected>)>| Settled {
        tasks: tasks.into_iter().map(|(id, expected)| (task_id(id), expected)).collect(),
        ..truth.clone()
    };
    assert_eq!(count(&with(vec![])), 1, "a task that does not exist");
    assert_eq!(count(&with(vec![("a.1", Some(expected("TASK_KILLING", true)))])), 1);
    assert_eq!(count(&with(vec![("a.1", Some(expected("TASK_RUNNING", false)))])), 1);
    assert_eq!(
        count(&with(vec![("a.1", None), ("a.2", Some(expected("TASK_RUNNING", true)))])),
        1,
        "missing"
    );
    assert_eq!(count(&with(vec![("a.1", None)])), 0, "it changed too short a time ago");
    let later =
        Settled { apps: BTreeMap::from([(app_id("/a"), Timestamp::from_millis(2))]), ..truth.clone() };
    assert_eq!(count(&later), 1, "an old definition");
    assert_eq!(count(&Settled { apps: BTreeMap::new(), ..truth.clone() }), 1, "an app that does not exist");
    let moving = Settled { apps: BTreeMap::new(), moving: vec![app_id("/a")], tasks: BTreeMap::new() };
    assert_eq!(count(&moving), 0);
}

#[test]
fn a_budget_is_counted_in_any_minute() {
    let mut budget = Budget::new(2, 1);
    let mut sent = |second: u32| budget.sent(second * SECOND).is_some();
    assert_eq!([0, 1, 2, 3].map(&mut sent), [false, false, false, true]);
    assert_eq!([62, 63, 64].map(&mut sent), [false, false, false], "a minute later");
}
