//! The async part: moves observations in, and snapshots, task events and requests out. It decides nothing.
//!
//! The level path (snapshots) never waits long for the edge path (task events). While the queue is busy, observations are
//! folded and published on, until [`Settings::edge_backlog`] events wait; then intake stops, which the followers feel. If the
//! queue takes nothing for [`Settings::edge_patience`], waiting task events are dropped so that snapshots stay fresh, and
//! sync is told as soon as the queue takes events again: it finds what they would have told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mconn_model::{Observation, Snapshot, SourceId, TaskEvent, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::{Budget, Budgets};
use crate::catalog::Catalog;
use crate::effects::{Effects, Fetch, Notice, Why};
use crate::keeper::Keeper;
use crate::memory_file::MemoryFile;
use crate::remembered::Remembered;
use crate::repeats::Repeats;
use crate::settings::Settings;

/// Task events that are handed to the queue at once.
const EDGE_BATCH: usize = 512;

/// What sync wants to be told at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Another leader speaks for the source. Several changes that nobody has taken yet become one.
    LeaderChanged {
        /// The source.
        source: SourceId,
        /// The leader as it calls itself.
        leader: Arc<str>,
    },
    /// Something happened that no event told: a sync finds it. Several become one, with the newest reason.
    Resync {
        /// The source.
        source: SourceId,
        /// What happened.
        why: Why,
    },
}

/// The channels of the catalog's task.
#[derive(Debug)]
pub struct Wiring {
    /// What the sources say, each batch in order. The task ends when all senders are gone.
    pub observations: mpsc::Receiver<(SourceId, Vec<Observation>)>,
    /// The followers, by source. A request that finds its channel full is made again later.
    pub fetches: BTreeMap<SourceId, mpsc::Sender<Fetch>>,
    /// The queue; `None` for roles that have none.
    pub task_events: Option<mpsc::Sender<Vec<TaskEvent>>>,
    /// Sync; `None` for roles that have none.
    pub signals: Option<mpsc::Sender<Signal>>,
    /// Where what is remembered of tasks outlives the process; `None` keeps nothing.
    pub memory: Option<MemoryFile>,
}

/// Why the catalog's task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Cancelled,
    /// All senders of observations are gone.
    SourcesGone,
}

/// The sources were not all read in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotComplete {
    /// Sources that were never read completely; empty if the catalog's task has ended.
    pub missing: Vec<SourceId>,
}

impl std::fmt::Display for NotComplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.missing.is_empty() {
            return f.write_str("the catalog has ended before every source was read");
        }
        let missing: Vec<_> = self.missing.iter().map(SourceId::as_str).collect();
        write!(f, "never read completely: {}", missing.join(", "))
    }
}

impl std::error::Error for NotComplete {}

/// What readers hold. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CatalogHandle {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    budgets: Arc<Budgets>,
}

impl CatalogHandle {
    /// The newest snapshot.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// A receiver that is told of every new snapshot and may skip some.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// What is left of a source's request budget.
    #[must_use]
    pub fn budget(&self, source: &SourceId) -> Budget {
        self.budgets.read(source)
    }

    /// Waits until every source was read completely once.
    ///
    /// # Errors
    /// [`NotComplete`] after `deadline`, or when the catalog's task has ended.
    pub async fn wait_until_complete(&self, deadline: Duration) -> Result<Arc<Snapshot>, NotComplete> {
        let mut snapshots = self.snapshots.clone();
        let complete = async { snapshots.wait_for(|s| s.is_complete()).await.map(|s| s.clone()) };
        match tokio::time::timeout(deadline, complete).await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(_)) => Err(NotComplete { missing: Vec::new() }),
            Err(_) => {
                let current = self.current();
                let never = |s: &mconn_model::SourceState| s.freshness == mconn_model::Freshness::Never;
                let missing = current.sources.iter().filter(|(_, s)| never(s)).map(|(id, _)| id.clone());
                Err(NotComplete { missing: missing.collect() })
            }
        }
    }
}

/// The catalog with its publishing end, ready to run.
#[derive(Debug)]
pub struct CatalogTask {
    catalog: Catalog,
    settings: Settings,
    snapshots: watch::Sender<Arc<Snapshot>>,
    budgets: Arc<Budgets>,
    rng: fastrand::Rng,
    /// Task events not yet handed on; the first `released` of them are in the published snapshot.
    edge: VecDeque<TaskEvent>,
    released: usize,
    /// The newest leader per source that sync has not been told of.
    leaders: BTreeMap<SourceId, Arc<str>>,
    /// Sources that sync has not been told of.
    resyncs: BTreeMap<SourceId, Why>,
    /// When the queue took events last, or there were none.
    taken_at: Duration,
    /// The queue takes nothing: sources whose task events are dropped meanwhile, and how many.
    shed: Option<(BTreeSet<SourceId>, usize)>,
    repeats: Repeats,
}

impl CatalogTask {
    /// A task and the handle of its readers. `rng` gives the jitter.
    #[must_use]
    pub fn new(
        settings: Settings,
        sources: impl IntoIterator<Item = SourceId>,
        rng: fastrand::Rng,
    ) -> (Self, CatalogHandle) {
        let epoch = Timestamp::from_system_time(SystemTime::now()).unwrap_or(Timestamp::from_millis(0));
        let catalog = Catalog::new(settings.clone(), epoch, sources);
        let (sender, receiver) = watch::channel(catalog.published());
        let budgets = Arc::new(Budgets::new(&settings));
        let task = Self {
            catalog,
            budgets: budgets.clone(),
            settings,
            snapshots: sender,
            rng,
            edge: VecDeque::new(),
            released: 0,
            leaders: BTreeMap::new(),
            resyncs: BTreeMap::new(),
            taken_at: Duration::ZERO,
            shed: None,
            repeats: Repeats::default(),
        };
        (task, CatalogHandle { snapshots: receiver, budgets })
    }

    /// Gives back what was kept before the last end of the process. To be called before [`CatalogTask::run`].
    pub fn restore(&mut self, kept: impl IntoIterator<Item = (SourceId, Remembered)>) {
        for (source, remembered) in kept {
            self.catalog.restore(&source, [remembered]);
        }
    }

    /// Runs until it is cancelled or all senders of observations are gone. The last state is published first; task
    /// events that the queue has not taken by then are handed on unless cancelled.
    pub async fn run(mut self, mut wiring: Wiring, cancel: CancellationToken) -> Ended {
        let mut keeper = wiring.memory.take().map(|file| Keeper::new(file, self.settings.keep_every));
        let ended = self.run_until_end(wiring, keeper.as_mut(), cancel).await;
        if let Some(keeper) = keeper {
            keeper.finish(&mut self.catalog).await;
        }
        ended
    }

    async fn run_until_end(
        &mut self,
        mut wiring: Wiring,
        mut keeper: Option<&mut Keeper>,
        cancel: CancellationToken,
    ) -> Ended {
        let start = Instant::now();
        let mut open = true;
        loop {
            let now = start.elapsed();
            let effects = self.catalog.tick(now);
            self.carry_out(effects, &mut wiring, now);
            self.publish_if_due(now, !open);
            if wiring.task_events.is_none() {
                self.edge.clear();
                self.released = 0;
            }
            if !open && self.released == 0 {
                return Ended::SourcesGone;
            }
            self.shed_if_stuck(&wiring, now);
            let full = self.edge.len() >= self.settings.edge_backlog;
            let intake = open && !full;
            let patience = (full || self.shed.is_some()).then(|| now + self.settings.edge_patience / 5);
            let keep = keeper.as_mut().and_then(|keeper| keeper.turn(&mut self.catalog, now));
            let wake = self.wake().into_iter().chain(patience).chain(keep).min();
            let woken = tokio::select! {
                biased;
                () = cancel.cancelled() => Woken::Cancelled,
                permit = reserve(wiring.task_events.as_ref()), if self.released > 0 => match permit {
                    Some(permit) => {
                        permit.send(self.take_released());
                        self.taken_at = start.elapsed();
                        Woken::Done
                    }
                    None => Woken::QueueGone,
                },
                permit = reserve(wiring.signals.as_ref()), if self.has_signal() => match permit {
                    Some(permit) => {
                        if let Some((source, leader)) = self.leaders.pop_first() {
                            permit.send(Signal::LeaderChanged { source, leader });
                        } else if let Some((source, why)) = self.resyncs.pop_first() {
                            permit.send(Signal::Resync { source, why });
                        }
                        Woken::Done
                    }
                    None => Woken::SyncGone,
                },
                batch = wiring.observations.recv(), if intake => Woken::Batch(batch),
                () = tokio::time::sleep_until(start + wake.unwrap_or_default()), if wake.is_some() => Woken::Done,
            };
            match woken {
                Woken::Done => {}
                Woken::Batch(Some((source, observations))) => {
                    self.fold(&source, observations, &mut wiring, start.elapsed());
                }
                Woken::Batch(None) => open = false,
                Woken::QueueGone => {
                    tracing::error!(events = self.edge.len(), "the queue is gone, task events are dropped");
                    wiring.task_events = None;
                }
                Woken::SyncGone => {
                    wiring.signals = None;
                    self.leaders.clear();
                    self.resyncs.clear();
                }
                Woken::Cancelled => {
                    self.publish_if_due(start.elapsed(), true);
                    return Ended::Cancelled;
                }
            }
        }
    }

    fn wake(&self) -> Option<Duration> {
        [self.catalog.next_tick(), self.catalog.publish_by()].into_iter().flatten().min()
    }

    fn fold(
        &mut self,
        source: &SourceId,
        observations: Vec<Observation>,
        wiring: &mut Wiring,
        now: Duration,
    ) {
        for observation in observations {
            let mut effects = self.catalog.apply(source, observation, now, &mut self.rng);
            if let Some((sources, dropped)) = &mut self.shed
                && !effects.task_events.is_empty()
            {
                sources.insert(source.clone());
                *dropped += effects.task_events.len();
                effects.task_events.clear();
            }
            self.carry_out(effects, wiring, now);
        }
        // A follower's own listing was paid, too.
        self.budgets.note(source, self.catalog.budget_left(source, now));
    }

    fn has_signal(&self) -> bool {
        !self.leaders.is_empty() || !self.resyncs.is_empty()
    }

    /// Drops waiting task events when the queue has taken none for too long, and ends that when it takes some again.
    fn shed_if_stuck(&mut self, wiring: &Wiring, now: Duration) {
        let Some(queue) = &wiring.task_events else { return };
        if self.released == 0 {
            self.taken_at = now;
        }
        let stuck = self.edge.len() >= self.settings.edge_backlog
            && now >= self.taken_at + self.settings.edge_patience;
        if stuck && self.shed.is_none() {
            let waiting = self.edge.len();
            tracing::error!(
                waiting,
                "the queue takes no events: they are dropped, a sync will make up for them"
            );
            // Whose they were is not known any more: every source counts.
            let sources = self.catalog.published().sources.keys().cloned().collect();
            self.shed = Some((sources, waiting));
            self.edge.clear();
            self.released = 0;
        }
        if queue.capacity() > 0
            && let Some((sources, dropped)) = self.shed.take()
        {
            tracing::warn!(
                dropped,
                "the queue takes events again; a sync makes up for those that were dropped"
            );
            if wiring.signals.is_some() {
                self.resyncs.extend(sources.into_iter().map(|source| (source, Why::EventsMissed)));
            }
        }
    }

    fn carry_out(&mut self, effects: Effects, wiring: &mut Wiring, now: Duration) {
        let Effects { fetches, publish_by: _, task_events, notices, resyncs, differences: _ } = effects;
        if wiring.signals.is_some() {
            self.resyncs.extend(resyncs);
        }
        for fetch in fetches {
            self.budgets.note(fetch.source(), self.catalog.budget_left(fetch.source(), now));
            // Without a follower the request stays asked for, and is made again when its time is over.
            let Some(sender) = wiring.fetches.get(fetch.source()) else { continue };
            match sender.try_send(fetch) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(fetch)) => self.catalog.refused(&fetch, now),
                Err(mpsc::error::TrySendError::Closed(fetch)) => {
                    tracing::error!(source = %fetch.source(), "the follower is gone, nothing is fetched any more");
                    wiring.fetches.remove(fetch.source());
                }
            }
        }
        self.edge.extend(task_events);
        for notice in notices {
            if self.repeats.is_news(&notice, now) {
                log(&notice);
            } else {
                tracing::debug!("{notice}");
            }
            if wiring.signals.is_none() {
                continue;
            }
            if let Notice::LeaderChanged { source, leader } = notice {
                self.leaders.insert(source, leader);
            }
        }
    }

    /// Publishes when it is time, and releases the task events that the published state contains: whoever handles an
    /// event finds its task in the snapshot.
    fn publish_if_due(&mut self, now: Duration, at_once: bool) {
        match self.catalog.publish_by() {
            Some(by) if by > now && !at_once => return,
            Some(_) => {
                self.snapshots.send_replace(self.catalog.publish(now));
            }
            None => {}
        }
        self.released = self.edge.len();
    }

    fn take_released(&mut self) -> Vec<TaskEvent> {
        let count = self.released.min(EDGE_BATCH);
        self.released -= count;
        self.edge.drain(..count).collect()
    }
}

/// Why the loop goes on.
enum Woken {
    Done,
    Batch(Option<(SourceId, Vec<Observation>)>),
    QueueGone,
    SyncGone,
    Cancelled,
}

/// Waits for room; `None` if the other side or the channel itself is gone.
async fn reserve<T>(sender: Option<&mpsc::Sender<T>>) -> Option<mpsc::Permit<'_, T>> {
    sender?.reserve().await.ok()
}

fn log(notice: &Notice) {
    match notice {
        Notice::SourceComplete { .. }
        | Notice::SourceBack { .. }
        | Notice::LeaderChanged { .. }
        | Notice::HoldEnded { .. }
        | Notice::PanicEnded { .. } => {
            tracing::info!("{notice}");
        }
        Notice::Held { .. } | Notice::PanicBegan { .. } => tracing::error!("{notice}"),
        Notice::SourceLost { .. }
        | Notice::RequestFailed { .. }
        | Notice::EventsMissed { .. }
        | Notice::Admitted { .. }
        | Notice::ListingIncomplete { .. } => tracing::warn!("{notice}"),
    }
}
