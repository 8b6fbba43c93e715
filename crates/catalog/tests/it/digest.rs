//! The digest: equal for equal contents, different for any other.

use mconn_catalog::invariants::digest_of;
use mconn_model::*;

use crate::support::*;

fn of(app: App, tasks: Vec<AppTask>) -> u64 {
    Bench::reading(vec![listed(app, tasks)]).snapshot().digest
}

#[test]
fn equal_contents_by_another_way_have_an_equal_digest() {
    let listed_at_once = Bench::reading(vec![listed(app("/web"), vec![task("/web", "web.1")])]);
    let mut told = Bench::reading(Vec::new());
    told.event(ClusterEvent::AppDefinition { app: Box::new(app("/web")) });
    told.event(status("/web", "web.0", TaskStatus::Running));
    told.event(status("/web", "web.1", TaskStatus::Running));
    told.event(status("/web", "web.0", TaskStatus::Finished));
    let tasks = |bench: &Bench| bench.entry("/web").unwrap().tasks.clone();
    assert_eq!(tasks(&told), tasks(&listed_at_once));
    assert_ne!(told.entry("/web").unwrap().history, listed_at_once.entry("/web").unwrap().history);
    assert_eq!(told.snapshot().digest, listed_at_once.snapshot().digest);
    assert_eq!(told.snapshot().digest, digest_of(&told.snapshot()));
}

/// Pins the value: nodes of one version compare theirs, and a change of the algorithm shall be noticed.
#[test]
fn the_value_is_the_same_in_every_process() {
    assert_eq!(Bench::reading(Vec::new()).snapshot().digest, 0);
    assert_eq!(of(app("/web"), vec![task("/web", "web.1")]), 7_535_102_076_688_650_601);
}

#[test]
fn any_change_shows() {
    let label = |app: App| App { labels: [("a".into(), "b".into())].into(), ..app };
    let one = || task("/web", "web.1");
    let digests = [
        of(app("/web"), vec![]),
        of(app("/web"), vec![one()]),
        of(app("/web"), vec![task("/web", "web.2")]),
        of(app("/web"), vec![one(), task("/web", "web.2")]),
        of(label(app("/web")), vec![one()]),
        of(checked("/web", 1), vec![one()]),
        of(checked("/web", 1), vec![with_health(one(), &[true])]),
        of(app("/web"), vec![with_status(one(), TaskStatus::Killing)]),
        of(app("/web"), vec![AppTask { ports: vec![31_001], ..one() }]),
        of(app("/web2"), vec![]),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}
