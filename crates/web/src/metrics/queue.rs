//! The queue's numbers.

use mconn_queue::{ModuleStats, Stats};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{ReasonLabels, counter, gauge, level};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModuleLabels {
    module: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    module: String,
    state: &'static str,
}

pub(super) fn show(registry: &mut Registry, stats: &Stats) {
    counter(registry, "events_accepted", "Events accepted", stats.accepted);
    counter(registry, "events_duplicate", "Deliveries of events that were known already", stats.duplicates);
    counter(registry, "events_timed_out", "Events that were the oldest for too long", stats.timed_out);
    let refused = Family::<ReasonLabels, Counter>::default();
    refused.get_or_create(&ReasonLabels { reason: "full" }).inc_by(stats.refused_full);
    refused.get_or_create(&ReasonLabels { reason: "store" }).inc_by(stats.refused_store);
    registry.register("events_refused", "Events not accepted", refused);
    gauge(registry, "journal_events", "Events accepted and not finished", level(stats.journal));
    gauge(registry, "journal_limit_events", "Limit of mconn_journal_events", level(stats.journal_limit));
    counter(registry, "store_commits", "Batches committed", stats.commits);
    counter(registry, "store_writes", "Writes committed", stats.committed_writes);
    let time: Counter<f64, std::sync::atomic::AtomicU64> = Counter::default();
    time.inc_by(stats.commit_time.as_secs_f64());
    registry.register_with_unit("store_commit_time", "Time spent waiting for commits", Unit::Seconds, time);
    gauge(registry, "store_ok", "Whether the store works", stats.store_ok.into());
    levels(registry, &stats.modules);
    counts(registry, &stats.modules);
}

fn levels(registry: &mut Registry, modules: &[ModuleStats]) {
    type Read = fn(&ModuleStats) -> usize;
    let rows: [(&str, &str, Read); 6] = [
        ("lane_waiting", "Copies waiting in a module's queue", |m| m.waiting),
        ("lane_active", "Runs of a module under way", |m| m.active),
        ("lane_paused", "Whether an operator paused the module", |m| m.paused.into()),
        ("dead_letters", "Failed runs kept for the operator", |m| m.dead_letters),
        ("inventory_items", "Items of a module's inventory", |m| m.inventory),
        ("presets", "Presets of a module", |m| m.presets),
    ];
    for (name, help, read) in rows {
        let family = Family::<ModuleLabels, Gauge>::default();
        for stats in modules {
            let labels = ModuleLabels { module: stats.name.to_string() };
            family.get_or_create(&labels).set(level(read(stats)));
        }
        registry.register(name, help, family);
    }
}

fn counts(registry: &mut Registry, modules: &[ModuleStats]) {
    let outcomes = Family::<StateLabels, Counter>::default();
    for stats in modules {
        let ends = [
            ("finished", stats.finished),
            ("failed", stats.failed),
            ("nopreset", stats.nopreset),
            ("undefinedStatus", stats.undefined),
        ];
        for (state, count) in ends {
            let labels = StateLabels { module: stats.name.to_string(), state };
            outcomes.get_or_create(&labels).inc_by(count);
        }
    }
    registry.register("outcomes", "How copies of events ended", outcomes);
    type Read = fn(&ModuleStats) -> u64;
    let rows: [(&str, &str, Read); 5] = [
        ("retries", "Attempts that failed and were tried again", |m| m.retries),
        ("run_timeouts", "Runs cancelled at their deadline", |m| m.timeouts),
        ("syncs", "Syncs that compared", |m| m.syncs),
        ("syncs_failed", "Syncs that got no list of running tasks", |m| m.syncs_failed),
        ("sync_differences", "Differences that syncs found", |m| m.sync_differences),
    ];
    for (name, help, read) in rows {
        let family = Family::<ModuleLabels, Counter>::default();
        for stats in modules {
            let labels = ModuleLabels { module: stats.name.to_string() };
            family.get_or_create(&labels).inc_by(read(stats));
        }
        registry.register(name, help, family);
    }
}
