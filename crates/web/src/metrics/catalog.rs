//! The catalog's numbers.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use mconn_model::{Freshness, Rule, Snapshot, SourceId, SourceState, Timestamp, VerdictKind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{gauge, level};
use crate::app::{Follower, FollowerCounts};
use crate::dto::explain::Standing;
use crate::freshness::SourceClock;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FreshnessLabels {
    source: String,
    freshness: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    source: String,
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    source: String,
    verdict: &'static str,
    rule: &'static str,
}

/// What the tasks of a source that went are counted under.
const GONE: &str = "gone";

pub(super) fn show(registry: &mut Registry, snapshot: &Snapshot, clock: &SourceClock, now: Timestamp) {
    let version = i64::try_from(snapshot.version).unwrap_or(i64::MAX);
    gauge(registry, "catalog_version", "Version of the newest snapshot", version);
    gauge(registry, "catalog_apps", "Apps and pods", level(snapshot.apps.len()));
    let tasks = snapshot.apps.values().map(|app| app.tasks.len()).sum();
    gauge(registry, "catalog_tasks", "Tasks", level(tasks));
    let endpoints = Family::<VerdictLabels, Gauge>::default();
    for kind in VerdictKind::ALL {
        let count = snapshot.endpoints().filter(|endpoint| endpoint.verdict.kind == kind).count();
        endpoints.get_or_create(&VerdictLabels { verdict: kind.as_str() }).set(level(count));
    }
    registry.register("catalog_endpoints", "Endpoints by verdict", endpoints);
    rules(registry, snapshot);
    states(registry, snapshot, now);
    sources(registry, snapshot, clock);
}

/// What each rule decides and has decided. Every rule has its line from the start, so that none begins out of nothing.
fn rules(registry: &mut Registry, snapshot: &Snapshot) {
    let endpoints = Family::<RuleLabels, Gauge>::default();
    let changes = Family::<RuleLabels, Counter>::default();
    let mut counts: BTreeMap<(&SourceId, Rule), usize> = BTreeMap::new();
    for endpoint in snapshot.endpoints() {
        *counts.entry((&endpoint.source, endpoint.verdict.rule)).or_default() += 1;
    }
    for (id, state) in &snapshot.sources {
        for rule in Rule::ALL.iter().copied() {
            let labels =
                RuleLabels { source: id.to_string(), verdict: rule.kind().as_str(), rule: rule.as_str() };
            let count = counts.get(&(id, rule)).copied().unwrap_or(0);
            endpoints.get_or_create(&labels).set(level(count));
            changes.get_or_create(&labels).inc_by(state.changes.of(Some(rule)));
        }
        let gone = RuleLabels { source: id.to_string(), verdict: GONE, rule: GONE };
        changes.get_or_create(&gone).inc_by(state.changes.of(None));
    }
    registry.register("catalog_rule_endpoints", "Endpoints by the rule that decides", endpoints);
    let help = "Changes of a task's verdict, by the rule that decides since";
    registry.register("catalog_verdict_changes", help, changes);
}

/// What an operator should look at.
fn states(registry: &mut Registry, snapshot: &Snapshot, now: Timestamp) {
    let panic = Family::<SourceLabels, Gauge>::default();
    let held_apps = Family::<SourceLabels, Gauge>::default();
    let held_tasks = Family::<SourceLabels, Gauge>::default();
    let draining = Family::<SourceLabels, Gauge<f64, AtomicU64>>::default();
    for (id, state) in &snapshot.sources {
        let labels = SourceLabels { source: id.to_string() };
        let (apps, tasks) = state.held.map_or((0, 0), |held| (held.apps, held.tasks));
        held_apps.get_or_create(&labels).set(level(apps));
        held_tasks.get_or_create(&labels).set(level(tasks));
        panic.get_or_create(&labels).set(0);
        draining.get_or_create(&labels).set(0.0);
    }
    for app in snapshot.apps.values() {
        let labels = SourceLabels { source: app.source.to_string() };
        if Standing::of(app).panic {
            panic.get_or_create(&labels).inc();
        }
        let drained = app.tasks.iter().filter(|task| task.verdict.kind == VerdictKind::Draining);
        if let Some(oldest) = drained.map(|task| task.since).min() {
            let age = draining.get_or_create(&labels);
            age.set(age.get().max(now.since(oldest).as_secs_f64()));
        }
    }
    registry.register("catalog_panic_apps", "Apps whose failing tasks are served as well", panic);
    registry.register(
        "catalog_held_apps",
        "Apps that a listing lacks and that are not believed gone",
        held_apps,
    );
    let help = "Tasks that a listing lacks and that are not believed gone";
    registry.register("catalog_held_tasks", help, held_tasks);
    let help = "For how long the oldest draining task has been draining";
    registry.register_with_unit("catalog_draining_age", help, Unit::Seconds, draining);
}

fn sources(registry: &mut Registry, snapshot: &Snapshot, clock: &SourceClock) {
    let freshness = Family::<FreshnessLabels, Gauge>::default();
    let age = Family::<SourceLabels, Gauge<f64, AtomicU64>>::default();
    let compared = Family::<SourceLabels, Gauge<f64, AtomicU64>>::default();
    for (id, state) in &snapshot.sources {
        for kind in [Freshness::Never, Freshness::Fresh, Freshness::Stale] {
            let labels = FreshnessLabels { source: id.to_string(), freshness: kind.as_str() };
            freshness.get_or_create(&labels).set((state.freshness == kind).into());
        }
        if let Some(ages) = clock.ages(id) {
            let labels = SourceLabels { source: id.to_string() };
            age.get_or_create(&labels).set(ages.state.as_secs_f64());
            if let Some(comparison) = ages.comparison {
                compared.get_or_create(&labels).set(comparison.as_secs_f64());
            }
        }
    }
    registry.register("source_freshness", "1 for the state that a source is in", freshness);
    let help = "Time since a source entered its state of freshness";
    registry.register_with_unit("source_freshness_age", help, Unit::Seconds, age);
    let help = "Time since the last full comparison with a source";
    registry.register_with_unit("source_comparison_age", help, Unit::Seconds, compared);
    type Read = fn(&SourceState) -> u64;
    let rows: [(&str, &str, Read); 3] = [
        ("source_events", "Events folded", |s| s.events),
        ("source_comparisons", "Full comparisons", |s| s.comparisons),
        ("source_differences", "Missed events that comparisons found", |s| s.differences),
    ];
    for (name, help, read) in rows {
        let family = Family::<SourceLabels, Counter>::default();
        for (id, state) in &snapshot.sources {
            family.get_or_create(&SourceLabels { source: id.to_string() }).inc_by(read(state));
        }
        registry.register(name, help, family);
    }
}

/// What a source is asked, and what it may still be asked.
fn requests(registry: &mut Registry, followers: &[Follower]) {
    let requests = Family::<RequestLabels, Counter>::default();
    let budget = Family::<SourceLabels, Gauge>::default();
    let left = Family::<SourceLabels, Gauge<f64, AtomicU64>>::default();
    for follower in followers {
        let (source, counts) = (follower.source.to_string(), (follower.counts)());
        for of_kind in counts.requests.iter().filter(|of_kind| !of_kind.kind.is_empty()) {
            for (result, count) in [("ok", of_kind.ok), ("failed", of_kind.failed)] {
                let labels = RequestLabels { source: source.clone(), kind: of_kind.kind, result };
                requests.get_or_create(&labels).inc_by(count);
            }
        }
        let labels = SourceLabels { source };
        budget.get_or_create(&labels).set(counts.budget_per_minute.into());
        left.get_or_create(&labels).set(counts.budget_left);
    }
    registry.register("source_requests", "Requests to a source", requests);
    let help = "Requests a minute that changes may cause in the long run (MCONN_MARATHON_REQUEST_BUDGET)";
    registry.register("source_request_budget", help, budget);
    let help = "How many of these could be made at once now";
    registry.register("source_request_budget_left", help, left);
}

/// What came in and what did not, before the catalog saw any of it.
pub(super) fn followers(registry: &mut Registry, followers: &[Follower]) {
    requests(registry, followers);
    type Read = fn(&FollowerCounts) -> u64;
    let rows: [(&str, &str, Read); 6] = [
        ("follower_events", "Events of streams that were read", |c| c.events),
        ("follower_undecodable_events", "Events of streams that could not be read", |c| c.undecodable),
        ("follower_stream_bytes", "Bytes of streams", |c| c.stream_bytes),
        ("follower_streams", "Streams that were attached", |c| c.attached),
        ("follower_failed_requests", "Requests to a source that failed", |c| c.failed_requests),
        ("follower_left_out", "Parts of listings that could not be read and were left out", |c| c.left_out),
    ];
    for (name, help, read) in rows {
        let family = Family::<SourceLabels, Counter>::default();
        for follower in followers {
            let labels = SourceLabels { source: follower.source.to_string() };
            family.get_or_create(&labels).inc_by(read(&(follower.counts)()));
        }
        registry.register(name, help, family);
    }
}
