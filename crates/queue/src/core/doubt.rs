//! What a sync cannot decide, and how it is decided later. No sync that was made while a task was busy may be the last word
//! on it.
//!
//! * A sync leaves a task alone of which events wait or run, or have ended since its list was asked for. What the list
//!   says of such a task is kept as a *doubt*. When nothing of the task waits any more and the inventory says otherwise,
//!   another sync follows. The old list only starts it, it changes nothing itself. A doubt ends when a newer event of the
//!   task is accepted than the list: then the event is right.
//! * After a start a second sync follows when the module is through with what was *inherited*: what the one before had
//!   accepted. It waits a little even where there is nothing, for what was on its way while nobody led: callbacks that the
//!   other nodes held back may come in any order.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mconn_model::{AppId, EventKey, TaskEvent, TaskKey, TaskStatus};
use mconn_store::{JournalEntry, Seq};

use super::lane::{Job, Origin};
use super::slot::Slot;
use super::{Core, Now};
use crate::{RunningList, StateName};

/// Of one module: what a list says of tasks that were busy, and what is to follow.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Whether the task runs, by the last list.
    tasks: HashMap<TaskKey, bool>,
    /// The first place that was free when the list was asked for.
    asked_at: Option<Seq>,
    /// While the list is on its way: tasks of which events were accepted after it was asked for.
    newer: HashSet<TaskKey>,
    /// Jobs in the lane that were inherited.
    inherited: usize,
    /// When the second sync after the start is due; it waits for those.
    second: Option<Duration>,
    /// Another sync is to follow.
    follows: bool,
}

impl Doubts {
    pub(super) fn second_at(&mut self, at: Duration) {
        self.second = Some(at);
    }

    pub(super) fn inherit(&mut self) {
        self.inherited += 1;
    }

    /// A list is asked for.
    pub(super) fn begin(&mut self, next: Seq) {
        self.asked_at = Some(next);
        self.newer.clear();
    }

    /// An event has become durable.
    pub(super) fn enter(&mut self, entry: &JournalEntry, list_on_its_way: bool) {
        if Some(entry.seq) < self.asked_at || (self.tasks.is_empty() && !list_on_its_way) {
            return;
        }
        let task = entry.event.task_key();
        self.tasks.remove(&task);
        if list_on_its_way {
            self.newer.insert(task);
        }
    }
}

impl Slot {
    /// The list is here: keeps what it says of tasks of which anything waits, and looks at once at those with which this
    /// module has been through meanwhile. `undecided` are events that are about to be accepted.
    pub(super) fn keep_doubts<'a>(
        &mut self,
        running: &RunningList,
        runs: &HashSet<TaskKey>,
        touched: HashMap<TaskKey, Option<AppId>>,
        undecided: impl Iterator<Item = &'a JournalEntry>,
    ) {
        let mut newer = std::mem::take(&mut self.doubts.newer);
        let mut busy: HashSet<TaskKey> = self.lane.tasks().cloned().collect();
        for entry in undecided {
            let task = entry.event.task_key();
            if Some(entry.seq) < self.doubts.asked_at {
                busy.insert(task);
            } else {
                newer.insert(task);
            }
        }
        // Of a source whose list has holes, absence tells nothing.
        let told = |task: &TaskKey| {
            let runs = runs.contains(task);
            (runs || running.complete.contains(&task.source)).then_some(runs)
        };
        for (task, app) in touched {
            if let (Some(app), Some(runs)) = (app, told(&task))
                && !busy.contains(&task)
                && !newer.contains(&task)
            {
                self.compare(&task, &app, runs);
            }
        }
        let doubts = busy.into_iter().filter(|task| !newer.contains(task));
        self.doubts.tasks = doubts.filter_map(|task| told(&task).map(|runs| (task, runs))).collect();
    }

    fn compare(&mut self, task: &TaskKey, app: &AppId, runs: bool) {
        let differs = self.inventory.has_task(task) != runs;
        self.doubts.follows |= differs && self.has_enabled_preset(app);
    }

    /// A job has left the lane.
    pub(super) fn left(&mut self, job: &Job, state: StateName, first_own: Seq) {
        if matches!(job.origin, Origin::Journal(seq) if seq < first_own) {
            self.doubts.inherited = self.doubts.inherited.saturating_sub(1);
        }
        let task = job.event.task_key();
        // A failure is known already, and the next sync of its own time tries again.
        let app = (state != StateName::Failed).then(|| job.event.app.clone());
        if let Some(touched) = &mut self.sync.touched {
            touched.insert(task.clone(), app.clone());
        }
        if !self.lane.has_task(&task)
            && let (Some(runs), Some(app)) = (self.doubts.tasks.remove(&task), app)
        {
            self.compare(&task, &app, runs);
        }
    }

    fn second_due(&self) -> Option<Duration> {
        self.doubts.second.filter(|_| self.doubts.inherited == 0)
    }
}

/// What the one before had accepted of a task, and this one has taken over.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    events: HashSet<EventKey>,
    /// With which the task has ended for good.
    ends: Vec<EventKey>,
}

impl Inherited {
    pub(super) fn add(&mut self, event: &TaskEvent) {
        let Some(key) = event.key() else { return };
        if ends_for_good(&event.status) {
            self.ends.push(key.clone());
        }
        self.events.insert(key);
    }
}

/// A task that is lost may come back.
fn ends_for_good(status: &TaskStatus) -> bool {
    status.is_terminal() && *status != TaskStatus::Lost
}

impl Core {
    /// Of events that were heard while somebody else led or nobody did, in order: those that the one before has not
    /// accepted, as far as can be told. What it was through with is not known any more, so that may be among them.
    ///
    /// Left out is what would turn back time. The one before heard the same in the same order: whatever comes before an
    /// event of the same task that is in the journal, it has accepted. Where the journal knows an end of which nothing was
    /// heard here yet, nothing but an end can be new.
    pub(crate) fn unheard(&self, events: Vec<TaskEvent>) -> Vec<TaskEvent> {
        let mut last_known: HashMap<TaskKey, usize> = HashMap::new();
        let mut heard: HashSet<EventKey> = HashSet::new();
        for (place, event) in events.iter().enumerate() {
            let task = event.task_key();
            let Some(key) = event.key() else { continue };
            if self.inherited.get(&task).is_some_and(|inherited| inherited.events.contains(&key)) {
                last_known.insert(task, place);
                heard.insert(key);
            }
        }
        let is_new = |place: usize, event: &TaskEvent| {
            let task = event.task_key();
            let Some(inherited) = self.inherited.get(&task) else { return true };
            let ended_unheard = inherited.ends.iter().any(|end| !heard.contains(end));
            last_known.get(&task).is_none_or(|known| place > *known)
                && (!ended_unheard || ends_for_good(&event.status))
        };
        let all = events.into_iter().enumerate();
        all.filter(|(place, event)| is_new(*place, event)).map(|(_, event)| event).collect()
    }

    /// Second syncs that are due.
    pub(super) fn settle(&mut self, now: Now) {
        for slot in &mut self.slots {
            if slot.second_due().is_some_and(|at| now.mono >= at) {
                slot.doubts.second = None;
                slot.doubts.follows = true;
            }
        }
        if !self.inherited.is_empty() && self.slots.iter().all(|slot| slot.doubts.second.is_none()) {
            self.inherited = HashMap::new();
        }
    }

    pub(super) fn next_second(&self) -> impl Iterator<Item = Duration> {
        self.slots.iter().filter_map(Slot::second_due)
    }

    /// Modules that are to be synced once more, because the last sync could not decide all.
    pub(crate) fn take_follow_ups(&mut self) -> Vec<usize> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(at, slot)| std::mem::take(&mut slot.doubts.follows).then_some(at)).collect()
    }
}
