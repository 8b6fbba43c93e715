//! The panic threshold.

use mconn_catalog::{Notice, Settings};
use mconn_model::*;

use crate::support::*;

fn tasks(results: &[bool]) -> Vec<AppListing> {
    let one = |(n, alive): (usize, &bool)| with_health(task("/web", &format!("web.{n}")), &[*alive]);
    vec![listed(checked("/web", 1), results.iter().enumerate().map(one).collect())]
}

fn reading(panic_below: u8, results: &[bool]) -> Bench {
    let mut bench = Bench::with(Settings { panic_below, ..Settings::default() });
    bench.see(Observation::Attached);
    bench.list(tasks(results), Vec::new());
    bench
}

fn rules(bench: &Bench) -> Vec<&'static str> {
    bench.entry("/web").unwrap().tasks.iter().map(|task| task.verdict.rule.as_str()).collect()
}

#[test]
fn below_the_threshold_all_that_were_ready_once_are_served() {
    let mut bench = reading(50, &[true; 4]);
    bench.event(health("/web", "web.0", Some(false))).event(health("/web", "web.1", Some(false)));
    assert_eq!(rules(&bench), ["unhealthy", "unhealthy", "healthy", "healthy"], "half is not less than half");
    bench.event(health("/web", "web.2", Some(false)));
    assert_eq!(rules(&bench), ["panic", "panic", "panic", "healthy"]);
    assert!(matches!(bench.effects.notices[..], [Notice::PanicBegan { healthy: 1, of: 4, .. }]));
    assert!(
        bench
            .entry("/web")
            .unwrap()
            .tasks
            .iter()
            .flat_map(|t| &t.endpoints)
            .all(|e| { e.verdict.kind == VerdictKind::Routable })
    );
    // Those that were never ready are not served even now.
    bench.event(status("/web", "web.9", TaskStatus::Running)).event(health("/web", "web.9", Some(false)));
    assert_eq!(rules(&bench), ["panic", "panic", "panic", "healthy", "unhealthy"]);
    bench.event(status("/web", "web.9", TaskStatus::Killed));
    bench.event(health("/web", "web.0", Some(true)));
    assert_eq!(rules(&bench), ["healthy", "unhealthy", "unhealthy", "healthy"]);
    assert!(matches!(bench.effects.notices[..], [Notice::PanicEnded { healthy: 2, of: 4, .. }]));
}

#[test]
fn no_threshold_no_panic() {
    let mut bench = reading(0, &[true; 2]);
    bench.event(health("/web", "web.0", Some(false))).event(health("/web", "web.1", Some(false)));
    assert_eq!(rules(&bench), ["unhealthy"; 2]);
}

#[test]
fn what_goes_is_never_served_and_does_not_count() {
    let mut bench = reading(50, &[true; 3]);
    bench.event(status("/web", "web.0", TaskStatus::Killing));
    bench.event(health("/web", "web.1", Some(false)));
    assert_eq!(rules(&bench), ["killing", "unhealthy", "healthy"]);
    bench.event(status("/web", "web.2", TaskStatus::Killed));
    assert_eq!(rules(&bench), ["killing", "panic"]);
}
