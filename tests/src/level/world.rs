//! The loop: one clock, one seed, and everything that is under test.
//!
//! ```text
//!   story --> cluster --> stream, requests --> follower --> catalog --> snapshots
//!                |             (weather)          ^            |            |
//!                +-----> truth                    +-- fetches -+            v
//!                          +-------------------------------------------> watcher --> broken laws
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use mconn_catalog::invariants::overtime::{Bounds, Broken, Budget, Law, Watcher, agree};
use mconn_catalog::{Catalog, Effects, Fetch as CatalogFetch, Notice, Settings, invariants};
use mconn_marathon::follow::{Effect, FollowSettings, Follower, Input, Moment, Request as Wanted};
use mconn_model::{Freshness, Observation, Snapshot, SourceId, Timestamp, VerdictKind};
use mconn_sim::cluster::{Cluster, Command, Effect as ClusterEffect, Step};
use mconn_sim::{SimOptions, Time};

use super::agenda::Agenda;
use super::coverage::Coverage;
use super::report::Log;
use super::requests::{Reply, Request};
use super::story::Story;
use super::stream::{Chunk, Stream};
use super::truth::Truth;
use super::weather::Weather;

/// Faults end.
pub(super) const CALM: Duration = Duration::from_secs(480);
/// Everything is over.
pub(super) const END: Duration = Duration::from_secs(600);
/// From then on the catalog has to agree with the truth...
const AGREED: Duration = Duration::from_secs(580);
/// ...as far as that has not changed for so long: an app that was noisy is left alone for up to 30 s.
const QUIET: Duration = Duration::from_secs(35);
/// 2026-01-05T10:00:00Z, when every simulation begins.
const EPOCH: u64 = 1_767_607_200_000;
/// Steps without time passing that are no endless loop yet.
const SPINS_MAX: u32 = 20_000;

/// What will happen.
#[derive(Debug)]
pub(super) enum Item {
    Story,
    Recover(String),
    EndStream,
    Election,
    Elected,
    Calm,
    StreamAsked(u64),
    StreamOpens(u64),
    StreamFails(u64, bool),
    StreamEnds(u64),
    Heartbeat(u64),
    Bytes(Chunk),
    Asked(u64),
    Reply(Reply),
    /// Look whether a task has stayed routable for too long.
    Inspect,
    InspectAgain,
    Agree,
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) rng: Rng,
    pub(super) agenda: Agenda<Item>,
    pub(super) weather: Weather,
    pub(super) story: Story,
    pub(super) cluster: Cluster,
    pub(super) tickets: u64,
    pub(super) follow: FollowSettings,
    pub(super) follower: Follower,
    inputs: VecDeque<Input>,
    catalog: Catalog,
    source: SourceId,
    /// The follower's and the catalog's own luck.
    dice: Rng,
    published: Arc<Snapshot>,
    pub(super) stream: Option<Stream>,
    pub(super) streams: u64,
    pub(super) request: Option<Request>,
    pub(super) requests: u64,
    /// Marathon has no leader until then.
    pub(super) away_until: Duration,
    /// When everything was read last.
    pub(super) compared: Duration,
    /// The catalog has just held back what it was told to be gone.
    pub(super) held: bool,
    pub(super) truth: Truth,
    watcher: Watcher,
    pub(super) budget: Budget,
    pub(super) coverage: Coverage,
    pub(super) broken: Vec<(Duration, Broken)>,
    log: Log,
}

impl World {
    pub(super) fn new(seed: u64, log: Log) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::of(&mut rng);
        let options = SimOptions {
            seed: rng.u64(..),
            agents: rng.usize(2..=5),
            task_killing: rng.u8(..4) != 0,
            leader: Some("10.0.0.1:8080".into()),
            ..SimOptions::default()
        };
        let settings = Settings {
            // Tight, so that it is used up now and then: a dozen apps never need what thousands do.
            requests_per_minute: rng.u32(12..=60),
            requests_burst: rng.u32(3..=10),
            hold_for: Duration::from_secs(30),
            ..Settings::default()
        };
        let follow = FollowSettings {
            compare_min: Duration::from_secs(20),
            compare_max: Duration::from_secs(60),
            stream_retry: Duration::from_secs(60),
            ..FollowSettings::default()
        };
        // What the follower asks for by itself: a listing per comparison, or per attempt to attach.
        let own = 20;
        let budget = Budget::new(settings.requests_per_minute + own, settings.requests_burst);
        let bounds = Bounds {
            told: settings.publish_every + Duration::from_millis(2),
            // The next comparison, a pause after a request that failed, and a single app that is being asked for.
            lost: follow.compare_max + follow.backoff_max + Duration::from_secs(15),
        };
        let source = SourceId::new("marathon").expect("a usable id");
        let catalog = Catalog::new(settings, Timestamp::from_millis(EPOCH as i64), [source.clone()]);
        let mut world = Self {
            now: Duration::ZERO,
            agenda: Agenda::new(),
            story: Story::default(),
            cluster: Cluster::new(&options, Time(EPOCH)),
            tickets: 0,
            follower: Follower::new(follow.clone(), Duration::ZERO),
            follow,
            inputs: VecDeque::new(),
            published: catalog.published(),
            catalog,
            source,
            dice: rng.fork(),
            stream: None,
            streams: 0,
            request: None,
            requests: 0,
            away_until: Duration::ZERO,
            compared: Duration::ZERO,
            held: false,
            truth: Truth::default(),
            watcher: Watcher::new(bounds),
            budget,
            coverage: Coverage::default(),
            broken: Vec::new(),
            log,
            weather,
            rng,
        };
        world.begin_story();
        world.agenda.plan(CALM, Item::Calm);
        world.agenda.plan(Duration::from_secs(1), Item::InspectAgain);
        for at in [AGREED, AGREED + Duration::from_secs(10), END] {
            world.agenda.plan(at, Item::Agree);
        }
        world
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> (Vec<(Duration, Broken)>, Coverage) {
        let mut spins = 0;
        while let Some(next) = self.next().filter(|next| *next <= END) {
            spins = if next > self.now { 0 } else { spins + 1 };
            assert!(spins < SPINS_MAX, "nothing comes to rest at {:?}: {}", self.now, self.waiting());
            self.now = self.now.max(next);
            self.step();
        }
        (self.broken, self.coverage)
    }

    fn cluster_wakes(&self) -> Option<Duration> {
        self.cluster.wake_at().map(|at| Duration::from_millis(at.0.saturating_sub(EPOCH)))
    }

    fn next(&self) -> Option<Duration> {
        let catalog = [self.catalog.next_tick(), self.catalog.publish_by()];
        let others = [self.cluster_wakes(), self.agenda.next(), self.follower.deadline()];
        catalog.into_iter().chain(others).flatten().min()
    }

    fn waiting(&self) -> String {
        format!(
            "cluster {:?}, agenda {:?}, follower {:?}, catalog {:?} and {:?}",
            self.cluster_wakes(),
            self.agenda.next(),
            self.follower.deadline(),
            self.catalog.next_tick(),
            self.catalog.publish_by()
        )
    }

    /// Does one thing that is due.
    fn step(&mut self) {
        let due = |at: Option<Duration>| at.is_some_and(|at| at <= self.now);
        if due(self.cluster_wakes()) {
            let step = self.cluster.advance(self.cluster_now());
            self.act(step);
        } else if let Some(item) = self.agenda.take_due(self.now) {
            self.happen(item);
        } else if self.follower.deadline().is_some_and(|at| at <= self.now) {
            self.feed(Input::Tick);
        } else if self.catalog.next_tick().is_some_and(|at| at <= self.now) {
            let effects = self.catalog.tick(self.now);
            self.carry_out(effects);
            self.feed_all();
        } else {
            self.publish();
        }
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Story => self.go_on_with_story(),
            Item::Recover(task) => self.recover(task),
            Item::EndStream => self.lose_stream(),
            Item::Election => self.hold_election(),
            Item::Elected => self.elect(),
            Item::Calm => self.calm(),
            Item::StreamAsked(number) => self.stream_asked(number),
            Item::StreamOpens(number) => self.stream_opens(number),
            Item::StreamFails(number, impossible) => self.stream_fails(number, impossible),
            Item::StreamEnds(number) => self.stream_ends(number),
            Item::Heartbeat(number) => self.heartbeat(number),
            Item::Bytes(chunk) => self.receive(chunk),
            Item::Asked(number) => self.asked(number),
            Item::Reply(reply) => self.reply(reply),
            Item::Inspect => self.inspect(),
            Item::InspectAgain => {
                self.inspect();
                self.plan(Duration::from_secs(1), Item::InspectAgain);
            }
            Item::Agree => self.agree(),
        }
    }

    pub(super) fn plan(&mut self, delay: Duration, item: Item) {
        self.agenda.plan(self.now + delay, item);
    }

    pub(super) fn cluster_now(&self) -> Time {
        Time(EPOCH + self.now.as_millis() as u64)
    }

    /// Gives the cluster a command.
    pub(super) fn command(&mut self, command: Command) {
        self.tickets += 1;
        let step = self.cluster.apply(self.cluster_now(), self.tickets, command);
        self.act(step);
    }

    fn act(&mut self, step: Step) {
        for effect in step.effects {
            match effect {
                ClusterEffect::Event(event) => {
                    let number = self.truth.emit(&event, self.now);
                    self.trace(|| format!("  #{number} {} {}", event.event_type, event.body));
                    if &*event.event_type == "unhealthy_instance_kill_event" {
                        self.coverage.note("task killed for its health");
                    }
                    self.send_event(&event, number);
                }
                ClusterEffect::CloseStreams => self.break_stream(false),
                ClusterEffect::Answer(_, answer) => {
                    self.trace(|| format!("  {} {}", answer.status, answer.body.unwrap_or_default()));
                }
                ClusterEffect::BindPorts { .. }
                | ClusterEffect::TaskRunning { .. }
                | ClusterEffect::TaskEnded { .. } => {}
            }
        }
        self.truth.look(&self.cluster, self.now);
    }

    /// An event reaches the follower.
    pub(super) fn delivered(&mut self, number: usize, twisted: bool) {
        self.trace(|| format!("  <- #{number}{}", if twisted { " (a copy, or late)" } else { "" }));
        if let Some(hint) = self.truth.deliver(number, twisted, self.now, &self.published) {
            self.coverage.note(hint);
            self.plan_inspection();
        }
    }

    pub(super) fn say_leader(&mut self) {
        self.feed(Input::LeaderSeen(self.cluster.leader().to_owned()));
    }

    /// Gives the follower an input, and does all that follows at this moment.
    pub(super) fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.feed_all();
    }

    fn feed_all(&mut self) {
        let mut effects = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            let moment = Moment { now: self.now, dice: self.dice.f64() };
            self.follower.step(input, moment, &mut effects);
            for effect in effects.drain(..) {
                match effect {
                    Effect::OpenStream => self.open_stream(),
                    Effect::CloseStream => self.close_stream(),
                    Effect::Fetch(fetch) => self.send(fetch),
                    Effect::CancelFetch => self.cancel(),
                    Effect::Emit(observation) => self.observe(observation),
                }
            }
        }
    }

    fn observe(&mut self, observation: Observation) {
        self.trace(|| match &observation {
            Observation::Listing { listing, requested_at_event } => {
                format!(
                    "    observed: listing of {} apps as of event {requested_at_event}",
                    listing.apps.len()
                )
            }
            other => format!("    observed: {other:?}"),
        });
        let effects = self.catalog.apply(&self.source, observation, self.now, &mut self.dice);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        for notice in effects.notices {
            self.trace(|| format!("    notice: {notice}"));
            match notice {
                Notice::Held { wait, .. } => {
                    self.truth.hinder(self.now + wait);
                    self.coverage.note("disappearance held");
                    self.held = true;
                }
                Notice::HoldEnded { .. } => self.held = false,
                Notice::EventsMissed { .. } => self.coverage.note("difference counted"),
                _ => {}
            }
        }
        for fetch in effects.fetches {
            if self.weather.finds_queue_full(&mut self.rng) {
                self.coverage.note("fetch refused");
                self.catalog.refused(&fetch, self.now);
                continue;
            }
            let wanted = match fetch {
                CatalogFetch::App(_, app) => Wanted::App(app),
                CatalogFetch::Listing(_) => Wanted::Listing,
            };
            self.inputs.push_back(Input::Requested(wanted));
        }
    }

    fn publish(&mut self) {
        let snapshot = self.catalog.publish(self.now);
        let new = !Arc::ptr_eq(&snapshot, &self.published);
        self.published = snapshot;
        if !new {
            return;
        }
        let snapshot = self.published.clone();
        self.trace(|| format!("    published {}: {}", snapshot.version, super::report::shown(&snapshot)));
        if let Err(invariants::Violation(what)) = invariants::check(&snapshot) {
            panic!("a snapshot is inconsistent: {what}");
        }
        self.inspect();
        for task in snapshot.apps.values().flat_map(|entry| &entry.tasks) {
            self.coverage.note(task.verdict.rule.as_str());
            if task.verdict.kind == VerdictKind::Routable {
                self.truth.shown_routable(&task.task.id);
            }
        }
    }

    pub(super) fn plan_inspection(&mut self) {
        // Just after the bound, which is the publishing interval and two milliseconds.
        self.plan(Duration::from_millis(23), Item::Inspect);
    }

    fn inspect(&mut self) {
        let stale = self.stale();
        self.note_broken(stale);
        let broken = self.watcher.observe(&self.published, self.now, &self.truth);
        broken.into_iter().for_each(|broken| self.note_broken(Some(broken)));
    }

    /// A silent stream is left, and an attached one is compared.
    fn stale(&self) -> Option<Broken> {
        /// The longest pause after failures, and the slowest answer.
        const COMPARED: Duration = Duration::from_secs(50);
        let broken = |what: String| Some(Broken { law: Law::Fresh, what });
        let since = self.now.saturating_sub(self.compared.max(self.truth.trouble));
        if since > self.follow.compare_max + COMPARED {
            return broken(format!("nothing has been compared for {since:?}"));
        }
        let stream = self.stream.as_ref().filter(|stream| stream.open)?;
        let silent = self.now - stream.last_byte;
        if silent > self.follow.silence + Duration::from_secs(1) {
            return broken(format!("nothing has come for {silent:?} and the stream is still held"));
        }
        let calm = stream.opened.max(self.truth.trouble) + COMPARED;
        let fresh = self
            .published
            .sources
            .get(&self.source)
            .is_some_and(|source| source.freshness == Freshness::Fresh);
        let what =
            format!("a stream was attached at {:?} and nothing has been compared since", stream.opened);
        if !fresh && self.now > calm { broken(what) } else { None }
    }

    fn agree(&mut self) {
        if self.stream.as_ref().is_none_or(|stream| !stream.open) && !self.follower.is_polling() {
            let what = "there is no stream, long after all faults ended".to_owned();
            self.note_broken(Some(Broken { law: Law::Fresh, what }));
        }
        let settled = self.truth.settled(self.now, QUIET);
        for broken in agree(&self.published, &self.source, &settled) {
            self.note_broken(Some(broken));
        }
    }

    /// Something does not hold. The first of each kind is kept.
    pub(super) fn note_broken(&mut self, broken: Option<Broken>) {
        let Some(broken) = broken else { return };
        if !self.broken.iter().any(|(_, known)| known.kind() == broken.kind()) {
            self.log(&format!("BROKEN {broken}"));
            self.broken.push((self.now, broken));
        }
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        self.log.line(self.now, line);
    }

    pub(super) fn log(&self, line: &str) {
        self.trace(|| line.to_owned());
    }
}
