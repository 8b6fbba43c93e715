//! What happened between two snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use mconn_catalog::news;
use mconn_model::{Cause, ClusterEvent, Rule, Snapshot, TaskId, TaskStatus};
use proptest::prelude::*;

use crate::support::{Bench, app, app_id, checked, health, listed, status, task, task_id, with_health};

#[test]
fn what_comes_and_goes_between_two_snapshots_is_told() {
    let mut bench = Bench::reading(vec![listed(app("/web"), vec![task("/web", "web.1")])]);
    let before = bench.snapshot();
    assert_eq!(news(&Snapshot::default(), &before).shown, [], "what was there when we came did not happen");
    bench.event(status("/web", "web.2", TaskStatus::Staging));
    bench.event(status("/web", "web.2", TaskStatus::Failed));
    bench.event(status("/web", "web.1", TaskStatus::Killing));
    let after = bench.snapshot();
    let news = news(&before, &after);
    let told: Vec<_> =
        news.shown.iter().map(|(_, app, what)| (app.as_str(), what.task.as_str(), what.after)).collect();
    assert_eq!(
        told,
        [
            ("/web", "web.2", Some(Rule::NotRunning)),
            ("/web", "web.2", None),
            ("/web", "web.1", Some(Rule::Killing))
        ]
    );
    assert_eq!((news.more, &news.shown[1].2.cause), (0, &Cause::Status(TaskStatus::Failed)));
}

#[test]
fn an_app_that_went_and_came_back_tells_both() {
    let mut bench = Bench::reading(vec![listed(app("/web"), vec![task("/web", "web.1")])]);
    let before = bench.snapshot();
    bench.event(ClusterEvent::AppTerminated { app: app_id("/web") });
    bench.event(status("/web", "web.2", TaskStatus::Running));
    let after = bench.snapshot();
    let news = news(&before, &after);
    assert_eq!(news.more, 0);
    assert!(
        news.shown.iter().any(|(_, _, what)| what.task == task_id("web.1") && what.after.is_none()),
        "{news:?}"
    );
}

#[test]
fn what_the_histories_cannot_hold_is_counted() {
    let web = listed(checked("/web", 1), vec![with_health(task("/web", "web.1"), &[true])]);
    let mut bench = Bench::reading(vec![web]);
    let before = bench.snapshot();
    for round in 0..40 {
        bench.event(health("/web", "web.1", Some(round % 2 == 1)));
    }
    let after = bench.snapshot();
    let news = news(&before, &after);
    assert_eq!((news.shown.len(), news.more), (24, 16));
    let changes = &bench.state().changes;
    assert_eq!((changes.of(Some(Rule::Healthy)), changes.of(Some(Rule::Unhealthy))), (20, 20));
}

fn event() -> impl Strategy<Value = ClusterEvent> {
    let app = prop_oneof![Just("/a"), Just("/b")];
    (app, 0..3_u8, 0..7_u8).prop_map(|(app, task, what)| {
        let task = format!("{}.{task}", &app[1..]);
        match what {
            0 => status(app, &task, TaskStatus::Staging),
            1 | 2 => status(app, &task, TaskStatus::Running),
            3 => status(app, &task, TaskStatus::Killing),
            4 => status(app, &task, TaskStatus::Failed),
            5 => health(app, &task, Some(false)),
            _ => ClusterEvent::AppTerminated { app: app_id(app) },
        }
    })
}

proptest! {
    /// Whatever happens and whenever somebody looks: numbers have no gap, and the changes of a task are a chain.
    #[test]
    fn nothing_is_lost(steps in prop::collection::vec((event(), any::<bool>()), 1..60)) {
        let mut bench = Bench::reading(vec![listed(app("/a"), Vec::new()), listed(app("/b"), Vec::new())]);
        let mut seen: Arc<Snapshot> = bench.snapshot();
        let mut at: BTreeMap<TaskId, Rule> = BTreeMap::new();
        let mut number = bench.state().changes.total();
        for (event, look) in steps {
            bench.event(event);
            if !look {
                continue;
            }
            let now = bench.snapshot();
            let news = news(&seen, &now);
            prop_assert_eq!(news.shown.len() as u64 + news.more, bench.state().changes.total() - number);
            if news.more > 0 {
                return Ok(());
            }
            for (_, _, what) in &news.shown {
                number += 1;
                prop_assert_eq!(what.number, number);
                prop_assert_eq!(what.before, at.get(&what.task).copied());
                match what.after {
                    Some(rule) => at.insert(what.task.clone(), rule),
                    None => at.remove(&what.task),
                };
            }
            let shown: BTreeMap<TaskId, Rule> = now
                .apps
                .values()
                .flat_map(|app| app.tasks.iter().map(|task| (task.task.id.clone(), task.verdict.rule)))
                .collect();
            prop_assert_eq!(&shown, &at);
            seen = now;
        }
    }
}
