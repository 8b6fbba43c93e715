//! The fold itself: observations in, effects out, snapshots on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{AppEntry, AppId, Cause, Freshness, Gone, Observation, Snapshot, SourceId, Timestamp};

use crate::effects::{Effects, Fetch, Notice, Why};
use crate::refetch::Want;
use crate::settings::Settings;
use crate::source::{Source, Step};

/// Builds with debug assertions check published snapshots up to this many apps; beyond, it would take milliseconds.
const CHECKED_MAX: usize = 500;

/// The one in-memory truth. Synchronous and deterministic: time since the process started and randomness are given.
///
/// # Numbering of events
/// `requested_at_event` of an answer is compared with the number of [`Observation::Event`]s that the catalog has folded
/// for that source since it was made. Whoever sends answers must count every event that it passes on, over all streams,
/// and must pass on events and answers through one channel, in order.
#[derive(Debug)]
pub struct Catalog {
    settings: Settings,
    epoch: Timestamp,
    sources: BTreeMap<SourceId, Source>,
    published: Arc<Snapshot>,
    published_at: Option<Duration>,
    /// Since when the published snapshot is old.
    dirty_since: Option<Duration>,
    gone: Arc<[Gone]>,
}

impl Catalog {
    /// An empty catalog that waits for these sources. It is complete when each was read once. `epoch` is the time by our
    /// clock at which `now` is zero; it is shown to people, and decides nothing that a source's own clock can decide.
    #[must_use]
    pub fn new(settings: Settings, epoch: Timestamp, sources: impl IntoIterator<Item = SourceId>) -> Self {
        let sources: BTreeMap<_, _> =
            sources.into_iter().map(|id| (id.clone(), Source::new(id, &settings))).collect();
        let (published, gone) = Default::default();
        let mut catalog =
            Self { settings, epoch, sources, published, published_at: None, dirty_since: None, gone };
        catalog.published = Arc::new(catalog.build(0));
        catalog
    }

    /// Folds one observation. `now` is the time since the process started and never goes back.
    pub fn apply(
        &mut self,
        source: &SourceId,
        observation: Observation,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Effects {
        let mut effects = Effects::default();
        let settings = &self.settings;
        let at = self.sources.entry(source.clone()).or_insert_with(|| Source::new(source.clone(), settings));
        let mut step =
            Step { now, epoch: self.epoch, cause: Cause::Listing, settings, rng, effects: &mut effects };
        at.fold(observation, &mut step);
        at.poll(&mut step);
        self.conclude(now, &mut effects);
        effects
    }

    /// Does what has become due. To be called at [`Catalog::next_tick`].
    pub fn tick(&mut self, now: Duration) -> Effects {
        let mut effects = Effects::default();
        // Nothing that time alone brings about is left to chance.
        let mut rng = fastrand::Rng::with_seed(0);
        for source in self.sources.values_mut() {
            let (epoch, settings, rng) = (self.epoch, &self.settings, &mut rng);
            let cause = Cause::TimeOver;
            source.poll(&mut Step { now, epoch, cause, settings, rng, effects: &mut effects });
        }
        self.conclude(now, &mut effects);
        effects
    }

    /// When [`Catalog::tick`] has something to do.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        self.sources
            .values()
            .flat_map(|source| {
                let recheck = source.rechecks.first().map(|(at, ..)| *at);
                [source.refetch.next(), source.suspects.next(), recheck]
            })
            .flatten()
            .min()
    }

    /// Takes back a request that could not be handed on; it becomes due again after the coalescing delay.
    pub fn refused(&mut self, fetch: &Fetch, now: Duration) {
        if let Some(source) = self.sources.get_mut(fetch.source()) {
            let want = match fetch {
                Fetch::App(_, app) => Want::App(app.clone()),
                Fetch::Listing(_) => Want::Listing,
            };
            source.refetch.refused(&want, now + self.settings.coalesce);
        }
    }

    /// When a snapshot must be published at the latest; `None` if the published one is current.
    #[must_use]
    pub fn publish_by(&self) -> Option<Duration> {
        let since = self.dirty_since?;
        Some(self.published_at.map_or(since, |last| since.max(last + self.settings.publish_every)))
    }

    /// Publishes what changed. The same `Arc` as before if nothing did.
    pub fn publish(&mut self, now: Duration) -> Arc<Snapshot> {
        if self.dirty_since.take().is_some() {
            self.published_at = Some(now);
            self.published = Arc::new(self.build(self.published.version + 1));
            debug_assert!(
                self.published.apps.len() > CHECKED_MAX
                    || crate::invariants::check(&self.published) == Ok(()),
                "{:?}",
                crate::invariants::check(&self.published)
            );
        }
        self.published.clone()
    }

    /// The snapshot that was published last.
    #[must_use]
    pub fn published(&self) -> Arc<Snapshot> {
        self.published.clone()
    }

    /// Apps and pods of a source that wait to be asked for, for metrics.
    #[must_use]
    pub fn dirty_apps(&self, source: &SourceId) -> usize {
        self.sources.get(source).map_or(0, |source| source.refetch.dirty_len())
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    pub(crate) fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.sources.values_mut()
    }

    pub(crate) fn source_mut(&mut self, source: &SourceId) -> Option<&mut Source> {
        self.sources.get_mut(source)
    }

    /// Requests that a source's budget would pay at once now, for metrics.
    #[must_use]
    pub fn budget_left(&self, source: &SourceId, now: Duration) -> f64 {
        self.sources.get(source).map_or(0.0, |source| source.refetch.budget_left(now, &self.settings))
    }

    fn conclude(&mut self, now: Duration, effects: &mut Effects) {
        let (mut changed, mut gone) = (false, false);
        for source in self.sources.values_mut() {
            changed |= std::mem::take(&mut source.changed);
            gone |= std::mem::take(&mut source.gone_changed);
        }
        if gone {
            self.gone = self.sources.values().flat_map(|source| source.gone.iter().cloned()).collect();
        }
        if changed {
            self.dirty_since.get_or_insert(now);
        }
        effects.publish_by = self.publish_by();
    }

    /// Sources and apps come in order, so the map is built in one pass of reference counts.
    fn build(&self, version: u64) -> Snapshot {
        let apps: BTreeMap<(SourceId, AppId), Arc<AppEntry>> = self
            .sources
            .values()
            .flat_map(|source| {
                source.apps.iter().map(|(id, work)| ((source.id.clone(), id.clone()), work.entry.clone()))
            })
            .collect();
        let digest = self.sources.values().fold(0u64, |sum, source| sum.wrapping_add(source.digest));
        let sources = self.sources.iter().map(|(id, source)| (id.clone(), source.state.clone())).collect();
        Snapshot { version, digest, apps, sources, gone: self.gone.clone() }
    }
}

impl Source {
    fn fold(&mut self, observation: Observation, step: &mut Step<'_>) {
        match observation {
            Observation::Attached => {
                // Differences count only from the listing that follows.
                self.gap |= self.attached;
                self.attached = true;
                self.trusted = false;
                self.forget_due();
                self.refetch.attached(step.now, step.settings);
                self.refetch.charge(step.now, step.settings);
            }
            Observation::Listing { listing, requested_at_event } => {
                self.fold_listing(*listing, requested_at_event, step);
            }
            Observation::App { id, listing, requested_at_event, as_of } => {
                step.cause = Cause::Answer;
                self.fold_app(&id, listing.map(|listing| *listing), requested_at_event, as_of, step);
            }
            Observation::RequestFailed { id, reason } => {
                self.refetch.failed(id.as_ref(), step.now, step.rng.f64(), step.settings);
                self.state.last_error = Some(reason.as_str().into());
                self.changed = true;
                step.effects.notices.push(Notice::RequestFailed { source: self.id.clone(), app: id, reason });
            }
            Observation::Event(event) => self.fold_event(event, step),
            Observation::Lost { reason } => {
                self.attached = false;
                self.trusted = false;
                self.gap = true;
                self.suspects.drop_all();
                self.refetch.pause();
                if self.state.freshness == Freshness::Fresh {
                    self.state.freshness = Freshness::Stale;
                }
                self.state.last_error = Some(reason.as_str().into());
                self.changed = true;
                step.effects.notices.push(Notice::SourceLost { source: self.id.clone(), reason });
            }
            Observation::LeaderChanged { leader } => {
                self.trusted = false;
                self.suspects.drop_all();
                if self.state.leader.as_deref() == Some(leader.as_str()) {
                    return;
                }
                let leader: Arc<str> = leader.into();
                let before = self.state.leader.replace(leader.clone());
                self.changed = true;
                // The first leader that is learnt has not changed.
                if before.is_some() {
                    step.effects.notices.push(Notice::LeaderChanged { source: self.id.clone(), leader });
                }
            }
        }
    }

    /// What was due on another stream does not come on this one. Deployments that ended meanwhile were told to nobody: of
    /// apps the listing that follows says which still run, of pods nothing does.
    fn forget_due(&mut self) {
        let Self { deploying, apps, .. } = self;
        deploying.retain(|_, deploying| {
            deploying.keep_apps(|app| apps.get(app).is_some_and(|work| work.entry.app.is_some()))
        });
        for memory in self.memory.values_mut() {
            memory.spoken.due = None;
        }
    }

    /// Asks for what is due, and counts what nobody explained.
    fn poll(&mut self, step: &mut Step<'_>) {
        step.cause = Cause::TimeOver;
        self.recheck(step);
        let Step { now, settings, ref mut effects, .. } = *step;
        for (app, count) in self.suspects.due(now) {
            self.state.differences += count;
            self.changed = true;
            effects.differences += count;
            effects.resyncs.entry(self.id.clone()).or_insert(Why::EventsMissed);
            effects.notices.push(Notice::EventsMissed { source: self.id.clone(), app, count });
        }
        let source = || self.id.clone();
        effects.fetches.extend(self.refetch.due(now, settings).into_iter().map(|want| match want {
            Want::App(app) => Fetch::App(source(), app),
            Want::Listing => Fetch::Listing(source()),
        }));
    }
}
