//! Runs: starting what may start, and what an outcome leads to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{EventTimestamp, InventoryItem, Preset, TaskEvent, TaskStatus};
use mconn_module::{Failure, InventoryEdit, Outcome};
use mconn_store::{DeadLetter, Seq, Write, beginning};

use super::journal::Progress;
use super::lane::{Job, JobId, Origin, Phase};
use super::{Core, Now};
use crate::{Notice, StateName};

/// Names a run under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    pub(crate) slot: usize,
    job: JobId,
}

/// A run to start now.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) key: RunKey,
    pub(crate) event: Arc<TaskEvent>,
    pub(crate) event_id: Arc<str>,
    pub(crate) preset: Arc<Preset>,
    pub(crate) cleanup: bool,
    pub(crate) attempt: u32,
}

/// How a run ended, seen from outside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RunEnd {
    /// It said so itself; edits of the inventory count only with [`Outcome::Finished`].
    Outcome(Outcome, BTreeMap<Box<str>, InventoryEdit>),
    /// It was cancelled at its deadline.
    TimedOut,
    /// It panicked.
    Panicked(String),
}

impl Core {
    pub(super) fn pump_all(&mut self, now: Now) {
        for slot in 0..self.slots.len() {
            self.pump(slot, now);
        }
    }

    /// Starts what may start in a lane. Events without enabled preset are through at once.
    pub(super) fn pump(&mut self, index: usize, now: Now) {
        self.slots[index].lane.unpark(now.mono);
        loop {
            let slot = &mut self.slots[index];
            if self.ending || slot.paused || slot.lane.running() >= slot.setup.concurrency {
                return;
            }
            let Some((job_id, job)) = slot.lane.start_next(now.mono) else { return };
            let module = slot.setup.name.clone();
            self.notices.push(Notice::Started { module, id: job.display_id.clone() });
            let preset = slot.presets.get(&job.event.app);
            let reason = match preset {
                None => format!("Preset could not be found for app \"{}\"", job.event.app),
                Some(preset) if !preset.is_enabled() => {
                    format!("Preset is not enabled for app \"{}\"", job.event.app)
                }
                Some(preset) => {
                    let start = Start {
                        key: RunKey { slot: index, job: job_id },
                        event: job.event.clone(),
                        event_id: job.event_id.clone(),
                        preset: preset.clone(),
                        cleanup: job.origin == Origin::Cleanup,
                        attempt: job.attempts + 1,
                    };
                    if let Origin::Journal(seq) = job.origin
                        && let Some(copy) = self.journal.copy_mut(seq, index)
                    {
                        copy.state = StateName::Started;
                        copy.started = Some(now.mono);
                        copy.ended = None;
                    }
                    self.starts.push(start);
                    continue;
                }
            };
            self.end(index, job_id, StateName::NoPreset, Some(reason.into()), now);
        }
    }

    /// A run has ended.
    pub(crate) fn run_ended(&mut self, key: RunKey, end: RunEnd, now: Now) {
        let RunKey { slot, job } = key;
        if self.slots[slot].lane.get(job).is_none_or(|job| !matches!(job.phase, Phase::Running { .. })) {
            return;
        }
        match end {
            RunEnd::Outcome(Outcome::Finished, edits) => match self.edits(slot, job, edits, now) {
                Ok(writes) => {
                    self.apply_edits(slot, writes);
                    self.end(slot, job, StateName::Finished, None, now);
                }
                Err(failure) => self.failed(slot, job, &failure, now),
            },
            RunEnd::Outcome(Outcome::UndefinedStatus, _) => {
                self.end(slot, job, StateName::UndefinedStatus, None, now);
            }
            RunEnd::Outcome(Outcome::NoPreset { reason }, _) => {
                self.end(slot, job, StateName::NoPreset, Some(shortened(&reason)), now);
            }
            RunEnd::Outcome(Outcome::Failed(failure), _) => self.failed(slot, job, &failure, now),
            RunEnd::TimedOut => {
                self.slots[slot].count.timeouts += 1;
                self.failed(slot, job, &Failure::transient("timeout on task"), now);
            }
            RunEnd::Panicked(message) => {
                self.failed(slot, job, &Failure::transient(format!("the module panicked: {message}")), now);
            }
        }
        self.pump(slot, now);
        let slot = &self.slots[slot];
        if slot.paused && slot.lane.running() == 0 {
            self.notices.push(Notice::PauseReached { module: slot.name() });
        }
    }

    /// A run's edits as writes. One that the store would never take makes the run a failure that stays one, before anything is
    /// changed.
    fn edits(
        &self,
        slot: usize,
        job: JobId,
        edits: BTreeMap<Box<str>, InventoryEdit>,
        now: Now,
    ) -> Result<Vec<Write>, Failure> {
        let slot = &self.slots[slot];
        let Some(job) = slot.lane.get(job) else { return Ok(Vec::new()) };
        let write = |(key, edit): (Box<str>, InventoryEdit)| {
            let (module, key) = (slot.setup.name.clone(), Arc::from(key));
            let write = match edit {
                InventoryEdit::Put(data) => {
                    // The time of storing, not of the event (spec/mconn.md section 4.4).
                    let timestamp = Some(EventTimestamp::Millis(now.wall.as_millis()));
                    let event = TaskEvent { timestamp, ..(*job.event).clone() };
                    Write::PutItem { module, item: Arc::new(InventoryItem { key, data, event }) }
                }
                InventoryEdit::Remove => Write::RemoveItem { module, key },
            };
            if let Some(limit) = self.record_limit {
                let size = write.size();
                if size > limit {
                    return Err(Failure::permanent(format!(
                        "{write} would have {size} bytes, and the store takes {limit}: keep less in one item"
                    )));
                }
            }
            Ok(write)
        };
        edits.into_iter().map(write).collect()
    }

    fn apply_edits(&mut self, slot: usize, writes: Vec<Write>) {
        let slot = &mut self.slots[slot];
        let module = slot.setup.name.clone();
        let mut changed = false;
        for write in writes {
            match &write {
                Write::PutItem { item, .. } => slot.inventory.put(item.clone()),
                Write::RemoveItem { key, .. } if !slot.inventory.remove(key) => continue,
                _ => {}
            }
            changed = true;
            self.outbox.result(write);
        }
        if changed {
            self.notices.push(Notice::InventoryChanged { module });
        }
    }

    fn failed(&mut self, slot: usize, job_id: JobId, failure: &Failure, now: Now) {
        let reason = shortened(&failure.reason);
        let Some(job) = self.slots[slot].lane.get(job_id) else { return };
        if !failure.retry || job.attempts >= self.settings.retries {
            self.end(slot, job_id, StateName::Failed, Some(reason), now);
            return;
        }
        let delay = self.backoff(job.attempts);
        let slot_ref = &mut self.slots[slot];
        slot_ref.count.retries += 1;
        slot_ref.lane.park(job_id, now.mono + delay, reason.clone());
        let Some(job) = slot_ref.lane.get(job_id) else { return };
        if let Origin::Journal(seq) = job.origin
            && let Some(copy) = self.journal.copy_mut(seq, slot)
        {
            copy.state = StateName::Idle;
            copy.ended = Some(now.mono);
            copy.error = Some(reason.clone());
        }
        let (id, attempt) = (job.display_id.clone(), job.attempts);
        self.notices.push(Notice::Retry { module: slot_ref.name(), id, attempt, delay, reason });
    }

    /// Doubles with each failure up to the limit; between half of it and all of it, so that retries spread.
    fn backoff(&mut self, failures: u32) -> Duration {
        let doubled = self.settings.retry_backoff.saturating_mul(2_u32.saturating_pow(failures));
        let full = doubled.min(self.settings.retry_backoff_max);
        full.mul_f64(0.5 + self.rng.f64() / 2.0)
    }

    /// A job leaves its lane for good.
    fn end(&mut self, index: usize, job: JobId, state: StateName, reason: Option<Arc<str>>, now: Now) {
        let slot = &mut self.slots[index];
        let Some(job) = slot.lane.finish(job) else { return };
        let count = &mut slot.count;
        match state {
            StateName::Finished => count.finished += 1,
            StateName::Failed => count.failed += 1,
            StateName::NoPreset => count.nopreset += 1,
            StateName::UndefinedStatus => count.undefined += 1,
            StateName::Idle | StateName::Started => {}
        }
        slot.left(&job, state, self.first_own);
        let module = slot.name();
        if state == StateName::UndefinedStatus && !expected_by_modules(&job.event.status) {
            let status = job.event.status.as_str().into();
            self.notices.push(Notice::UnknownStatus { module: module.clone(), status });
        }
        self.notices.push(Notice::Ended {
            module: module.clone(),
            id: job.display_id.clone(),
            state,
            waiting: slot.lane.waiting(),
            reason: reason.clone(),
            cleanup: job.origin == Origin::Cleanup,
        });
        if state == StateName::Finished {
            let before = match job.origin {
                Origin::Journal(seq) | Origin::DeadLetter(seq) => Some(seq),
                Origin::Cleanup => None,
            };
            for letter in slot.dead.supersede(&job.event.task_key(), before) {
                self.outbox.result(Write::PutDeadLetter(letter));
            }
        }
        match job.origin {
            Origin::Journal(seq) => {
                if state == StateName::Failed {
                    self.bury(index, seq, &job, reason.clone().unwrap_or_default(), now);
                }
                self.through(index, seq, state, reason, now);
            }
            Origin::Cleanup => {
                if state == StateName::Finished {
                    let added = job.event.status == TaskStatus::Running;
                    self.notices.push(Notice::CleanupDone { module, task: job.event.task.clone(), added });
                }
            }
            Origin::DeadLetter(seq) => {
                let dead = &mut self.slots[index].dead;
                match state {
                    StateName::Failed => self.bury(index, seq, &job, reason.unwrap_or_default(), now),
                    // Nothing was done about it: it is still the operator's.
                    StateName::NoPreset => dead.end_retry(seq),
                    _ if dead.remove(seq).is_some() => {
                        self.outbox.result(Write::RemoveDeadLetter { module, seq });
                    }
                    _ => {}
                }
            }
        }
    }

    fn through(&mut self, slot: usize, seq: Seq, state: StateName, error: Option<Arc<str>>, now: Now) {
        if let Some(copy) = self.journal.copy_mut(seq, slot) {
            copy.state = state;
            copy.ended = Some(now.mono);
            copy.error = error;
        }
        match self.journal.through(seq) {
            Progress::Pending => {
                self.outbox.result(Write::Through { seq, module: self.slots[slot].name() });
            }
            Progress::Done { owed_elsewhere: true, .. } => {
                self.outbox.result(Write::Through { seq, module: self.slots[slot].name() });
            }
            Progress::Done { event, display_id, owed_elsewhere: false } => {
                self.forget(seq, &event, display_id);
            }
            Progress::Unknown => {}
        }
    }

    /// Keeps a failed run as a dead letter, in the same batch in which its event leaves the journal.
    fn bury(&mut self, index: usize, seq: Seq, job: &Job, reason: Arc<str>, now: Now) {
        let slot = &mut self.slots[index];
        let module = slot.name();
        let earlier = slot.dead.get(seq).map_or(0, |letter| letter.attempts);
        let superseded = slot.dead.get(seq).is_some_and(|letter| letter.superseded);
        let mut letter = DeadLetter {
            module: module.clone(),
            seq,
            event: job.event.clone(),
            event_id: job.event_id.clone(),
            reason: reason.clone(),
            attempts: earlier + job.attempts + 1,
            failed_at: now.wall,
            superseded,
        };
        // It is kept with half a reason rather than not at all.
        while self
            .record_limit
            .is_some_and(|limit| Write::PutDeadLetter(Arc::new(letter.clone())).size() > limit)
            && !letter.reason.is_empty()
        {
            letter.reason = beginning(&letter.reason, letter.reason.len() / 2).into();
        }
        let letter = Arc::new(letter);
        let id = job.display_id.clone();
        self.notices.push(Notice::DeadLetter {
            module: module.clone(),
            id,
            attempts: letter.attempts,
            reason,
        });
        self.outbox.result(Write::PutDeadLetter(letter.clone()));
        for dropped in slot.dead.put(letter, self.settings.dead_letter_limit) {
            self.outbox.result(Write::RemoveDeadLetter { module: module.clone(), seq: dropped.seq });
            let id = dropped.event.display_id().into();
            self.notices.push(Notice::DeadLetterDropped { module: module.clone(), id });
        }
    }

    /// Pauses a module: the flag is set now, at most the runs under way end.
    pub(crate) fn pause(&mut self, slot: usize) {
        let slot = &mut self.slots[slot];
        if !std::mem::replace(&mut slot.paused, true) {
            self.notices.push(Notice::Paused { module: slot.name(), active: slot.lane.running() });
            if slot.lane.running() == 0 {
                self.notices.push(Notice::PauseReached { module: slot.name() });
            }
        }
    }

    /// Ends a pause.
    pub(crate) fn resume(&mut self, index: usize, now: Now) {
        let slot = &mut self.slots[index];
        slot.paused = false;
        self.notices.push(Notice::Resumed { module: slot.name() });
        self.pump(index, now);
    }

    /// Hands a dead letter to the module once more. `Err` says why not.
    pub(crate) fn retry_dead_letter(
        &mut self,
        index: usize,
        seq: Seq,
        force: bool,
        now: Now,
    ) -> Result<(), &'static str> {
        let slot = &mut self.slots[index];
        let Some(letter) = slot.dead.get(seq).cloned() else { return Err("there is no such dead letter") };
        if slot.lane.has_task(&letter.event.task_key()) && !force {
            return Err(
                "a later event of the same task waits or runs: retrying this one would turn back time; force it \
                        if you mean it",
            );
        }
        if letter.superseded && !force {
            return Err(
                "a later event of the same task has been handled since: retrying this one would turn back time; \
                        force it if you mean it",
            );
        }
        if !slot.dead.begin_retry(seq) {
            return Err("it is being retried already");
        }
        let display_id: Arc<str> = letter.event.display_id().into();
        self.notices.push(Notice::Created { module: slot.name(), id: display_id.clone() });
        slot.lane.push(Job {
            event: letter.event.clone(),
            event_id: letter.event_id.clone(),
            display_id,
            origin: Origin::DeadLetter(seq),
            attempts: 0,
            last_error: None,
            phase: Phase::Waiting,
        });
        self.pump(index, now);
        Ok(())
    }

    /// Gives up a dead letter.
    pub(crate) fn drop_dead_letter(&mut self, index: usize, seq: Seq) -> Result<(), &'static str> {
        let slot = &mut self.slots[index];
        if slot.dead.is_retrying(seq) {
            return Err("it is being retried");
        }
        slot.dead.remove(seq).ok_or("there is no such dead letter")?;
        let module = slot.name();
        self.outbox.result(Write::RemoveDeadLetter { module, seq });
        Ok(())
    }
}

/// Bytes of a reason that are kept. A module may quote a whole answer in it, and the reason is stored, shown and logged.
const MAX_REASON: usize = 16 * 1024;

fn shortened(reason: &str) -> Arc<str> {
    let kept = beginning(reason, MAX_REASON);
    if kept.len() == reason.len() {
        return reason.into();
    }
    format!("{kept}... ({} bytes more)", reason.len() - kept.len()).into()
}

/// The statuses of Mesos, which every module sees every day. The original had hooks for seven of them.
fn expected_by_modules(status: &TaskStatus) -> bool {
    !matches!(status, TaskStatus::Other(_))
}
