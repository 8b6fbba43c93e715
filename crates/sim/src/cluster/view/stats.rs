//! Counts and statistics of an app's tasks.

use super::super::Cluster;
use crate::cluster::definition::AppDef;
use crate::cluster::instance::{Condition, Instance};
use crate::cluster::path::PathId;
use serde::Serialize;

/// `tasksStaged`, ...
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Counts {
    pub(super) staged: u32,
    pub(super) running: u32,
    pub(super) healthy: u32,
    pub(super) unhealthy: u32,
}

impl Counts {
    fn of<'a>(tasks: impl Iterator<Item = &'a Instance>) -> Counts {
        let mut counts = Counts::default();
        for instance in tasks {
            match instance.condition {
                Condition::Running | Condition::Killing => counts.running += 1,
                Condition::Provisioned | Condition::Staging | Condition::Starting => counts.staged += 1,
                _ => {}
            }
            if instance.checks.iter().any(|check| check.result.is_some()) {
                if instance.healthy() == Some(true) {
                    counts.healthy += 1;
                } else {
                    counts.unhealthy += 1;
                }
            }
        }
        counts
    }
}

/// `taskStats`: groups without tasks are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskStats {
    #[serde(skip_serializing_if = "Option::is_none")]
    started_after_last_scaling: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_latest_config: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_outdated_config: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_summary: Option<Group>,
}

#[derive(Serialize)]
struct Group {
    stats: Stats,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    life_time: Option<LifeTime>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LifeTime {
    average_seconds: f64,
    median_seconds: f64,
}

impl Cluster {
    pub(super) fn counts(&self, id: &PathId) -> Counts {
        Counts::of(self.tasks_of(id))
    }

    pub(super) fn task_stats(&self, def: &AppDef) -> TaskStats {
        let outdated = |task: &Instance| task.is_outdated(def);
        let scaled =
            |task: &Instance| task.started_at.is_some_and(|at| at >= def.version_info.last_scaling_at);
        TaskStats {
            started_after_last_scaling: self.stats_of(def, scaled),
            with_latest_config: self.stats_of(def, |task| !outdated(task)),
            with_outdated_config: self.stats_of(def, outdated),
            total_summary: self.stats_of(def, |_| true),
        }
    }

    fn stats_of(&self, def: &AppDef, belongs: impl Fn(&Instance) -> bool) -> Option<Group> {
        let tasks: Vec<&Instance> = self.tasks_of(&def.id).filter(|task| belongs(task)).collect();
        if tasks.is_empty() {
            return None;
        }
        let mut ages: Vec<f64> =
            tasks.iter().filter_map(|task| Some(self.now.since(task.started_at?).as_secs_f64())).collect();
        ages.sort_by(f64::total_cmp);
        let life_time = ages.get(ages.len() / 2).map(|&median_seconds| LifeTime {
            average_seconds: ages.iter().sum::<f64>() / ages.len() as f64,
            median_seconds,
        });
        Some(Group { stats: Stats { counts: Counts::of(tasks.into_iter()), life_time } })
    }
}
