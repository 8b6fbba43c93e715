//! When to sync, and fetching the list of running tasks: one fetch at a time, shared by all modules that wait for one.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppId, SourceId, TaskId};
use mconn_store::BoxFuture;

use super::follow_up::FollowUps;
use super::run::message;
use super::{Reply, Shell, tell};
use crate::core::Core;
use crate::{SyncError, SyncOutcome};

/// A task that runs, as the source lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    /// Whose it is, as in [`mconn_model::TaskEvent::source`].
    pub source: Option<SourceId>,
    /// Mesos task id.
    pub id: TaskId,
    /// Its app.
    pub app: AppId,
    /// The agent's host name.
    pub host: Option<Arc<str>>,
    /// Agent host ports.
    pub ports: Vec<u16>,
}

/// What runs, in all sources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunningList {
    /// The tasks that could be read.
    pub tasks: Vec<RunningTask>,
    /// Sources whose tasks are all here. Of any other source (it does not answer, it has tasks that could not be read, it
    /// is not configured any more) nothing is removed because it is absent.
    pub complete: BTreeSet<Option<SourceId>>,
    /// Sources that gave no list. While there are some, automatic syncs are tried again as after a failure.
    pub unread: usize,
}

/// Where the list of running tasks comes from.
pub trait RunningTasks: Send + Sync + 'static {
    /// Everything that runs now, in all sources that answer. An error (no source answers, with the reason of each) leaves
    /// inventories untouched. Must have a deadline of its own.
    fn fetch(&self) -> BoxFuture<'static, Result<RunningList, String>>;
}

/// Why a sync takes place (spec/mconn.md section 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncTrigger {
    /// This node has begun to work on events.
    Start,
    /// MCONN_MODULE_SYNC_TIME has passed.
    Interval,
    /// Marathon has a new leader, or registered anew with Mesos.
    LeaderChange,
    /// Events were missed, or had to be dropped.
    Missed,
    /// An earlier sync could not decide all: a task was busy, or events of the last leader waited.
    FollowUp,
    /// A preset was created, changed or removed.
    Preset,
    /// Somebody asked for it.
    Request,
}

impl SyncTrigger {
    /// Nobody would notice a failure, so it is tried again.
    fn is_automatic(self) -> bool {
        self != Self::Request
    }

    /// A list that is on its way already is as good as a new one, unless something has changed that it may be older than.
    fn may_join(self) -> bool {
        !matches!(self, Self::Preset | Self::LeaderChange | Self::Missed | Self::FollowUp)
    }
}

type Answer = Reply<Result<SyncOutcome, SyncError>>;

/// Pause before a failed automatic sync is tried again; doubles up to [`RETRY_MAX`].
const RETRY_BASE: Duration = Duration::from_secs(5);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Round {
    /// Modules, and who waits for each.
    slots: BTreeMap<usize, Vec<Answer>>,
    automatic: bool,
}

pub(super) struct Syncs {
    source: Option<Arc<dyn RunningTasks>>,
    pub(super) fetch: Option<BoxFuture<'static, Result<RunningList, String>>>,
    /// Those whose list is on its way.
    current: Round,
    /// Those who came later: that list may be older than what they want to see.
    next: Round,
    interval: Duration,
    slots: usize,
    next_interval: Duration,
    retry: Option<(u32, Duration)>,
    follow_ups: FollowUps,
    rng: fastrand::Rng,
}

impl Syncs {
    pub(super) fn new(
        source: Option<Arc<dyn RunningTasks>>,
        interval: Duration,
        slots: usize,
        seed: u64,
        now: Duration,
    ) -> Self {
        Self {
            source,
            fetch: None,
            current: Round::default(),
            next: Round::default(),
            interval,
            slots,
            next_interval: now + interval,
            retry: None,
            follow_ups: FollowUps::default(),
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    pub(super) fn request_all(&mut self, core: &mut Core, trigger: SyncTrigger) {
        self.request(core, 0..self.slots, trigger, None);
    }

    /// Joins the modules' syncs that are under way, else begins one for all that have none. Without a source there is nothing to compare with,
    /// which only those who ask are told.
    pub(super) fn request(
        &mut self,
        core: &mut Core,
        slots: impl IntoIterator<Item = usize>,
        trigger: SyncTrigger,
        mut answer: Option<Answer>,
    ) {
        if self.source.is_none() {
            if let Some(answer) = answer {
                let reason = "no Marathon is configured (MCONN_MARATHON_HOSTS is empty)".into();
                tell(answer, Err(SyncError::Unreachable { reason }));
            }
            return;
        }
        for slot in slots {
            let joins = trigger.may_join() && self.current.slots.contains_key(&slot);
            let round = if joins || self.fetch.is_none() { &mut self.current } else { &mut self.next };
            round.automatic |= trigger.is_automatic();
            round.slots.entry(slot).or_default().extend(answer.take());
        }
        self.begin(core);
    }

    fn begin(&mut self, core: &mut Core) {
        let Some(source) = &self.source else { return };
        if self.fetch.is_some() || self.current.slots.is_empty() {
            return;
        }
        for slot in self.current.slots.keys() {
            core.begin_sync(*slot);
        }
        self.fetch = Some(source.fetch());
    }

    /// These modules want to be synced once more.
    pub(super) fn follow_up(&mut self, slots: Vec<usize>) {
        if self.source.is_some() {
            self.follow_ups.want(slots);
        }
    }

    pub(super) fn tick(&mut self, core: &mut Core, now: Duration) {
        if now >= self.next_interval {
            self.next_interval = now + self.interval;
            self.request_all(core, SyncTrigger::Interval);
        }
        if self.retry.is_some_and(|(_, at)| now >= at) {
            // The count stays, the time is set anew by the next failure.
            self.retry = self.retry.map(|(failures, _)| (failures, Duration::MAX));
            self.request_all(core, SyncTrigger::Interval);
        }
        if let Some(slots) = self.follow_ups.take(now) {
            tracing::debug!(context = "Module", "a sync follows: the one before could not decide all");
            self.request(core, slots, SyncTrigger::FollowUp, None);
        }
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        if self.slots == 0 {
            return None;
        }
        let retry = self.retry.map(|(_, at)| at).filter(|at| *at != Duration::MAX);
        retry.into_iter().chain(self.follow_ups.due()).chain([self.next_interval]).min()
    }

    fn failed(&mut self, automatic: bool, now: Duration) {
        if automatic {
            let failures = self.retry.map_or(0, |(failures, _)| failures);
            let pause = RETRY_MAX.min(RETRY_BASE * 2_u32.saturating_pow(failures));
            let pause = pause.mul_f64(0.5 + self.rng.f64() / 2.0);
            self.retry = Some((failures + 1, now + pause));
        }
    }
}

impl Shell {
    /// The list is here, or is not to be had.
    pub(super) fn listed(&mut self, listing: Result<RunningList, String>) {
        self.syncs.fetch = None;
        let round = std::mem::replace(&mut self.syncs.current, std::mem::take(&mut self.syncs.next));
        match listing {
            Ok(running) => {
                if running.unread > 0 {
                    self.syncs.failed(round.automatic, self.clock.now().mono);
                } else {
                    self.syncs.retry = None;
                }
                for (slot, answers) in round.slots {
                    let outcome = self.compare(slot, &running, !answers.is_empty());
                    for answer in answers {
                        tell(answer, Ok(outcome));
                    }
                }
            }
            Err(reason) => {
                let reason: Arc<str> = reason.into();
                self.syncs.failed(round.automatic, self.clock.now().mono);
                for (slot, answers) in round.slots {
                    self.core.fail_sync(slot, &reason);
                    for answer in answers {
                        tell(answer, Err(SyncError::Unreachable { reason: reason.clone() }));
                    }
                }
            }
        }
        self.syncs.begin(&mut self.core);
    }

    fn compare(&mut self, slot: usize, running: &RunningList, asked_for: bool) -> SyncOutcome {
        let difference = self.core.finish_sync(slot, running, asked_for, self.clock.now());
        let module = &self.setups[slot].module;
        let tasks = catch_unwind(AssertUnwindSafe(|| module.clean_up(&difference))).unwrap_or_else(|panic| {
            let text = message(&*panic);
            tracing::error!("module \"{}\" panicked while it planned its clean-up: {text}", module.name());
            difference.as_cleanup_tasks()
        });
        self.core.add_cleanup(slot, tasks, self.clock.now());
        SyncOutcome {
            missing: difference.missing.len(),
            wrong: difference.wrong.len(),
            unread: running.unread,
        }
    }
}
