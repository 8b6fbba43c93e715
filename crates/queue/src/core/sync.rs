//! Comparing what runs with what a module has done (spec/mconn.md section 12).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{TaskEvent, TaskKey, TaskStatus};
use mconn_module::{CleanupTask, InventoryReader, SyncDifference};

use super::lane::{Job, Origin, Phase};
use super::{Core, Now};
use crate::{Notice, RunningList, RunningTask};

/// Two automatic syncs agree only when so much time lies between them: a Marathon that has just started tells the same
/// untruth twice within a second. Somebody who asks for a sync has looked.
const AGREE_AFTER: Duration = Duration::from_secs(30);

impl Core {
    /// A list of running tasks has been asked for on behalf of this module. False if one is on its way already.
    pub(crate) fn begin_sync(&mut self, slot: usize) -> bool {
        let next = self.next_seq;
        let slot = &mut self.slots[slot];
        if slot.sync.touched.is_some() {
            return false;
        }
        slot.sync.touched = Some(HashMap::new());
        slot.doubts.begin(next);
        self.notices.push(Notice::SyncStarted { module: slot.setup.name.clone() });
        true
    }

    /// The list could not be had. Nothing is touched.
    pub(crate) fn fail_sync(&mut self, slot: usize, reason: &Arc<str>) {
        let slot = &mut self.slots[slot];
        slot.sync.touched = None;
        slot.count.syncs_failed += 1;
        self.notices.push(Notice::SyncFailed { module: slot.setup.name.clone(), reason: reason.clone() });
    }

    /// The list is here: what is missing in the inventory, and what is wrong.
    ///
    /// Takes time in proportion to both lists. Left alone are tasks of apps without an enabled preset, and tasks of
    /// which anything waits, runs, is about to be accepted, or has ended since the list was asked for. Nothing is wrong of
    /// a source whose tasks are not all in the list. What was left alone is looked at again when it is through.
    pub(crate) fn finish_sync(
        &mut self,
        slot: usize,
        running: &RunningList,
        asked_for: bool,
        now: Now,
    ) -> SyncDifference {
        let undecided: HashSet<TaskKey> =
            self.outbox.undecided_events().map(|entry| entry.event.task_key()).collect();
        let slot = &mut self.slots[slot];
        let name = slot.name();
        let touched = slot.sync.touched.take().unwrap_or_default();
        slot.count.syncs += 1;

        let notices = &mut self.notices;
        let lane = &slot.lane;
        let mut left_alone = |task: &TaskKey| {
            let busy = lane.has_task(task) || undecided.contains(task);
            if busy {
                notices.push(Notice::SyncSkipped { module: name.clone(), task: task.task.clone() });
            }
            busy || touched.contains_key(task)
        };
        let known = slot.inventory.tasks();
        let runs: HashSet<TaskKey> = running.tasks.iter().map(RunningTask::key).collect();
        let missing: Vec<TaskEvent> = running
            .tasks
            .iter()
            .filter(|task| !known.contains(&task.key()) && slot.has_enabled_preset(&task.app))
            .filter(|task| !left_alone(&task.key()))
            .map(RunningTask::as_event)
            .collect();
        let mut wrong: Vec<TaskEvent> = slot
            .inventory
            .all()
            .iter()
            .filter(|item| {
                running.complete.contains(&item.event.source)
                    && !runs.contains(&item.event.task_key())
                    && slot.has_enabled_preset(&item.event.app)
            })
            .filter(|item| !left_alone(&item.event.task_key()))
            .map(|item| item.event.clone())
            .collect();

        let limit = self.settings.sync_guard_items;
        #[expect(clippy::cast_precision_loss, reason = "a share of a number of items")]
        let share = wrong.len() as f64 / known.len().max(1) as f64;
        if wrong.len() > limit && share > self.settings.sync_guard_share {
            match &slot.sync.held {
                // An earlier sync saw the same: believe it, for those that both saw.
                Some((before, since)) if asked_for || now.mono >= *since + AGREE_AFTER => {
                    wrong.retain(|event| before.contains(&event.task_key()));
                    slot.sync.held = None;
                }
                Some(_) => wrong.clear(),
                None => {
                    let all = wrong.iter().map(TaskEvent::task_key).collect();
                    let (wrong_count, of) = (wrong.len(), known.len());
                    wrong.clear();
                    slot.sync.held = Some((all, now.mono));
                    notices.push(Notice::SyncHeld { module: name.clone(), wrong: wrong_count, of });
                }
            }
        } else {
            slot.sync.held = None;
        }
        slot.keep_doubts(running, &runs, touched, self.outbox.undecided_events().map(|entry| &**entry));
        slot.count.sync_differences += (missing.len() + wrong.len()) as u64;
        for event in &missing {
            notices.push(Notice::SyncMissing { module: name.clone(), task: event.task.clone() });
        }
        for event in &wrong {
            notices.push(Notice::SyncWrong { module: name.clone(), task: event.task.clone() });
        }
        SyncDifference { missing, wrong }
    }

    /// What the module wants done about the difference goes in front of its lane.
    pub(crate) fn add_cleanup(&mut self, slot: usize, tasks: Vec<CleanupTask>, now: Now) {
        let jobs: Vec<Job> = tasks.into_iter().map(|task| cleanup_job(task.event)).collect();
        let name = self.slots[slot].name();
        for job in &jobs {
            self.notices.push(Notice::Created { module: name.clone(), id: job.display_id.clone() });
        }
        self.notices.push(Notice::SyncDone { module: name, cleanups: jobs.len() });
        self.slots[slot].lane.push_front(jobs);
        self.pump(slot, now);
    }
}

fn cleanup_job(event: TaskEvent) -> Job {
    let display_id: Arc<str> = event.display_id().into();
    Job {
        event_id: format!("{display_id}_sync").into(),
        display_id,
        event: Arc::new(event),
        origin: Origin::Cleanup,
        attempts: 0,
        last_error: None,
        phase: Phase::Waiting,
    }
}

impl RunningTask {
    fn key(&self) -> TaskKey {
        TaskKey { source: self.source.clone(), task: self.id.clone() }
    }

    fn as_event(&self) -> TaskEvent {
        TaskEvent {
            source: self.source.clone(),
            task: self.id.clone(),
            status: TaskStatus::Running,
            app: self.app.clone(),
            host: self.host.clone(),
            ports: self.ports.clone(),
            event_type: None,
            timestamp: None,
        }
    }
}
