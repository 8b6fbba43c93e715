//! Read models, made on request.

use std::sync::Arc;

use mconn_model::Preset;
use mconn_store::DeadLetter;

use super::lane::{Job, Origin, Phase};
use super::{Core, Now};
use crate::{LaneItem, ModuleState, ModuleStats, QueueItem, StateName, Stats};

impl Core {
    /// The main queue: accepted events in order, without those that were the oldest for too long.
    pub(crate) fn queue(&self, now: Now) -> Vec<QueueItem> {
        let entries = self.journal.visible();
        entries
            .map(|entry| QueueItem {
                id: entry.display_id.clone(),
                event: entry.event.clone(),
                modules: self
                    .slots
                    .iter()
                    .zip(&entry.copies)
                    .map(|(slot, copy)| ModuleState {
                        name: slot.name(),
                        state: copy.state,
                        runtime: copy.runtime(now.mono),
                        error: copy.error.clone(),
                    })
                    .collect(),
            })
            .collect()
    }

    /// A module's lane: what runs, then what waits.
    pub(crate) fn lane(&self, slot: usize, now: Now) -> Vec<LaneItem> {
        self.slots[slot].lane.iter().map(|job| lane_item(job, now)).collect()
    }

    /// Presets in order of app ids.
    pub(crate) fn presets(&self, slot: usize) -> Vec<Arc<Preset>> {
        let mut presets: Vec<_> = self.slots[slot].presets.values().cloned().collect();
        presets.sort_by(|a, b| a.app.cmp(&b.app));
        presets
    }

    /// Dead letters, oldest first.
    pub(crate) fn dead_letters(&self, slot: usize) -> Vec<Arc<DeadLetter>> {
        self.slots[slot].dead.iter().cloned().collect()
    }

    pub(crate) fn is_paused(&self, slot: usize) -> bool {
        self.slots[slot].paused
    }

    pub(crate) fn is_syncing(&self, slot: usize) -> bool {
        self.slots[slot].sync.touched.is_some()
    }

    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        Stats {
            accepted: counters.accepted,
            duplicates: counters.duplicates,
            refused_full: counters.refused_full,
            refused_store: counters.refused_store,
            timed_out: counters.timed_out,
            journal: self.journal.len(),
            journal_limit: self.settings.journal_limit,
            commits: counters.commits,
            committed_writes: counters.committed_writes,
            commit_time: counters.commit_time,
            store_ok: self.outbox.is_well(),
            modules: self
                .slots
                .iter()
                .map(|slot| ModuleStats {
                    name: slot.name(),
                    waiting: slot.lane.waiting(),
                    active: slot.lane.running(),
                    paused: slot.paused,
                    finished: slot.count.finished,
                    failed: slot.count.failed,
                    nopreset: slot.count.nopreset,
                    undefined: slot.count.undefined,
                    retries: slot.count.retries,
                    timeouts: slot.count.timeouts,
                    dead_letters: slot.dead.len(),
                    inventory: slot.inventory.len(),
                    presets: slot.presets.len(),
                    syncs: slot.count.syncs,
                    syncs_failed: slot.count.syncs_failed,
                    sync_differences: slot.count.sync_differences,
                })
                .collect(),
        }
    }
}

fn lane_item(job: &Job, now: Now) -> LaneItem {
    let (state, runtime) = match job.phase {
        Phase::Running { since } => (StateName::Started, now.mono.saturating_sub(since)),
        Phase::Waiting | Phase::Parked { .. } => (StateName::Idle, std::time::Duration::ZERO),
    };
    LaneItem {
        id: job.display_id.clone(),
        event: job.event.clone(),
        cleanup: job.origin == Origin::Cleanup,
        state,
        runtime,
        attempts: job.attempts,
        error: job.last_error.clone(),
    }
}
