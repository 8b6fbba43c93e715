//! The cluster itself: a synchronous state machine without clock, sockets or global randomness.
//!
//! ```text
//!  (state, Command or "time is now T")  ->  Step { effects: answers, events, ports to bind; wake_at }
//! ```
//! Whoever drives it owns the clock: the shell in [`crate::Sim`] uses the real one, a test may use its own. The same
//! seed, commands and times give the same effects, byte for byte.
//!
//! * `change` and `group` turn a write into new definitions, `deployment` carries them out step by step,
//! * `life` and `kill` move single instances, `health` probes them, `ports` gives them numbers,
//! * `view` and `query` read. A definition is visible to readers only some milliseconds after its deployment began,
//!   as with the real one: `change` publishes it.

mod agent;
mod answer;
mod behaviour;
mod bus;
mod change;
mod clock;
mod control;
mod convert;
mod definition;
mod deployment;
mod event;
mod fields;
mod glance;
mod group;
mod health;
mod instance;
mod kill;
mod life;
mod parse;
mod path;
mod pick;
mod placement;
mod plan;
mod pod;
mod ports;
mod query;
mod readiness;
mod step;
mod truth;
mod view;

#[cfg(test)]
mod tests;

pub use agent::AgentFate;
pub use answer::Answer;
pub use behaviour::Behaviour;
pub use bus::BusTrouble;
pub use definition::{
    AppDef, Container, HealthCheck, Network, NetworkMode, Num, PortDefinition, PortMapping, UpgradeStrategy,
    VersionInfo,
};
pub use event::Event;
pub use glance::{AppGlance, Glance};
pub use instance::{Condition, InstanceId, IpAddress};
pub use path::PathId;
pub use pick::{Pick, PickState, Which};
pub use pod::{Endpoint, PodContainer, PodSpec, Resources};
pub use query::{AppFilter, Embeds};
pub use step::{Caller, Command, Effect, Fate, KillTarget, Step, Ticket};

use crate::options::{SimOptions, Span};
use crate::profile::{Profile, TaskIds};
use crate::time::Time;
use agent::Agent;
use change::Publication;
use deployment::Deployment;
use group::Group;
use instance::Instance;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;
use view::TaskFailure;

/// Versions of an app that are kept; the oldest go first.
const HISTORY_MAX: usize = 50;

/// An app: what is wanted, what readers see of it, and what it went through.
#[derive(Debug)]
struct App {
    /// The newest definition, which deployments work towards.
    def: Arc<AppDef>,
    /// The definition that readers see; none until it is first published.
    visible: Option<Arc<AppDef>>,
    /// Its deletion is under way, though readers still see it.
    deleted: bool,
    /// All definitions, oldest first.
    history: Vec<Arc<AppDef>>,
    /// The delay that the next launch after a failure has.
    backoff: Duration,
    /// No launch before this.
    launch_after: Time,
    last_failure: Option<TaskFailure>,
}

impl App {
    fn new(def: Arc<AppDef>) -> App {
        App {
            history: vec![def.clone()],
            def,
            visible: None,
            deleted: false,
            backoff: Duration::ZERO,
            launch_after: Time::default(),
            last_failure: None,
        }
    }
}

/// What is due at some time. An incarnation that has passed makes a timer void.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Publish(u64),
    Offer(InstanceId, u32),
    Starting(InstanceId, u32),
    Running(InstanceId, u32),
    Killed(InstanceId, u32),
    Probe(InstanceId, u32, usize),
    Inactive(InstanceId, u32),
    Expunge(InstanceId, u32),
    /// Restore the wanted number of instances, as Marathon does every five minutes.
    ScaleCheck(PathId),
    /// Look again whether a deployment can go on.
    Look(PathId),
    /// One container of a pod is to be in this condition.
    Container(InstanceId, u32, usize, Condition),
    /// The task should run by now.
    Overdue(InstanceId, u32),
    Crash(InstanceId, u32),
    /// Probes find the opposite; the number is that of the series.
    Flap(InstanceId, u64),
    Address(InstanceId, u32),
    Ghost(InstanceId),
    /// A late event arrives.
    Deliver(u64),
}

/// The simulated cluster with its Marathon.
#[derive(Debug)]
pub struct Cluster {
    options: SimOptions,
    now: Time,
    rng: fastrand::Rng,
    /// The framework's and the agents' common prefix.
    cluster_id: String,
    leader: String,
    apps: BTreeMap<PathId, App>,
    groups: BTreeMap<PathId, Group>,
    /// The version of the root group; all versions are later than the ones before.
    last_version: Time,
    /// How far Marathon's clock is ahead of the driver's, in milliseconds.
    clock_offset: i64,
    instances: BTreeMap<InstanceId, Instance>,
    /// Instances that Marathon has given up although their tasks may live on.
    ghosts: BTreeMap<InstanceId, Instance>,
    behaviours: BTreeMap<PathId, Behaviour>,
    bus: BusTrouble,
    /// Events that are on their way.
    late: BTreeMap<u64, Event>,
    by_app: BTreeMap<PathId, BTreeSet<InstanceId>>,
    agents: Vec<Agent>,
    deployments: Vec<Deployment>,
    publications: BTreeMap<u64, Publication>,
    timers: BinaryHeap<Reverse<(Time, u64, Timer)>>,
    /// Counts timers and publications: equal times go in order.
    sequence: u64,
    /// Apps whose deployment may be able to go on.
    dirty: BTreeSet<PathId>,
    effects: Vec<Effect>,
}

impl Cluster {
    /// An empty cluster at time `now`.
    #[must_use]
    pub fn new(options: &SimOptions, now: Time) -> Cluster {
        let mut cluster = Cluster {
            options: options.clone(),
            now,
            rng: fastrand::Rng::with_seed(options.seed),
            cluster_id: String::new(),
            leader: options.leader.clone().unwrap_or_else(|| "localhost:8080".to_owned()),
            apps: BTreeMap::new(),
            groups: BTreeMap::from([(PathId::root(), Group::new(now))]),
            last_version: now,
            clock_offset: 0,
            instances: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            bus: BusTrouble::default(),
            late: BTreeMap::new(),
            by_app: BTreeMap::new(),
            agents: Vec::new(),
            deployments: Vec::new(),
            publications: BTreeMap::new(),
            timers: BinaryHeap::new(),
            sequence: 0,
            dirty: BTreeSet::new(),
            effects: Vec::new(),
        };
        cluster.cluster_id = cluster.uuid();
        for _ in 0..options.agents.max(1) {
            cluster.add_agent();
        }
        cluster
    }

    /// Carries out `command` at time `now`. Its answer is among the effects of this step or of a later one.
    pub fn apply(&mut self, now: Time, ticket: Ticket, command: Command) -> Step {
        self.run_timers(self.marathon_time(now));
        if let Some(answer) = self.execute(ticket, command) {
            self.effects.push(Effect::Answer(ticket, answer));
        }
        self.settle();
        self.step()
    }

    /// Does what is due up to `now`.
    pub fn advance(&mut self, now: Time) -> Step {
        self.run_timers(self.marathon_time(now));
        self.step()
    }

    /// When something is due next.
    #[must_use]
    pub fn wake_at(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((at, ..))| self.driver_time(*at))
    }

    /// The time of the last command or timer, by Marathon's clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The version that is imitated.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.options.profile
    }

    /// `host:port` of the node that leads.
    #[must_use]
    pub fn leader(&self) -> &str {
        &self.leader
    }

    fn step(&mut self) -> Step {
        Step { effects: std::mem::take(&mut self.effects), wake_at: self.wake_at() }
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(Reverse((at, ..))) = self.timers.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((at, _, timer))) = self.timers.pop() else { break };
            self.now = self.now.max(at);
            self.fire(timer);
            self.settle();
        }
        self.now = self.now.max(now);
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Publish(number) => self.publish(number),
            Timer::Offer(id, incarnation) => self.offer(&id, incarnation),
            Timer::Starting(id, incarnation) => self.starting(&id, incarnation),
            Timer::Running(id, incarnation) => self.running(&id, incarnation),
            Timer::Killed(id, incarnation) => self.killed(&id, incarnation),
            Timer::Probe(id, incarnation, check) => self.probe(&id, incarnation, check),
            Timer::Inactive(id, incarnation) => self.inactive(&id, incarnation),
            Timer::Expunge(id, incarnation) => self.expunge(&id, incarnation),
            Timer::Container(id, incarnation, index, condition) => {
                self.container_moved(&id, incarnation, index, condition);
            }
            Timer::Overdue(id, incarnation) => self.overdue_launch(&id, incarnation),
            Timer::Crash(id, incarnation) => self.crash(&id, incarnation),
            Timer::Flap(id, number) => self.flap(&id, number),
            Timer::Address(id, incarnation) => self.late_address(&id, incarnation),
            Timer::Ghost(id) => self.lay_ghost(&id, Condition::Killed),
            Timer::Deliver(number) => self.deliver(number),
            Timer::ScaleCheck(app) => self.check_scale(&app),
            Timer::Look(app) => {
                self.dirty.insert(app);
            }
        }
    }

    /// Lets deployments go on until nothing moves any more.
    fn settle(&mut self) {
        while let Some(app) = self.dirty.pop_first() {
            self.drive_app(&app);
        }
    }

    fn execute(&mut self, ticket: Ticket, command: Command) -> Option<Answer> {
        let outcome = match command {
            Command::CreateApp { body, force, caller } => self.create_app(ticket, body, force, caller),
            Command::UpdateApp { id, body, force, partial, create, caller } => {
                self.update_app(ticket, &id, body, change::Mode { force, partial, create }, caller)
            }
            Command::UpdateApps { body, force, partial, create } => {
                self.update_apps(ticket, body, change::Mode { force, partial, create })
            }
            Command::DeleteApp { id, force, caller } => self.delete_app(ticket, &id, force, caller),
            Command::RestartApp { id, force } => self.restart_app(ticket, &id, force),
            Command::KillTasks { target, scale, wipe, force } => {
                self.kill_tasks(ticket, &target, scale, wipe, force)
            }
            Command::UpdateGroup { id, body, force, dry_run, must_be_new } => {
                self.update_group(ticket, &id, body, &group::Mode { force, dry_run, must_be_new })
            }
            Command::DeleteGroup { id, force } => self.delete_group(ticket, &id, force),
            Command::CancelDeployment { id, force } => self.cancel_deployment(ticket, &id, force),
            Command::CreatePod { body, force, caller } => self.create_pod(ticket, body, force, caller),
            Command::UpdatePod { id, body, force, caller } => {
                self.update_pod(ticket, &id, body, force, caller)
            }
            Command::DeletePod { id, force, caller } => self.delete_pod(ticket, &id, force, caller),
            Command::KillPodInstances { id, instances, one } => self.kill_pod_instances(&id, &instances, one),
            other => Ok(Some(self.control(other))),
        };
        outcome.unwrap_or_else(Some)
    }

    fn set_timer(&mut self, delay: Duration, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((self.now.after(delay), self.sequence, timer)));
    }

    /// A duration as this simulation lives it.
    fn scaled(&self, duration: Duration) -> Duration {
        let speed =
            if self.options.speed.is_finite() && self.options.speed > 0.0 { self.options.speed } else { 1.0 };
        Duration::try_from_secs_f64(duration.as_secs_f64() / speed).unwrap_or(Duration::MAX)
    }

    /// A duration drawn from `span`, not scaled.
    fn draw(&mut self, span: Span) -> Duration {
        let (min, max) = (span.min.as_millis() as u64, span.max.as_millis() as u64);
        Duration::from_millis(if min >= max { min } else { self.rng.u64(min..=max) })
    }

    fn draw_scaled(&mut self, span: Span) -> Duration {
        let drawn = self.draw(span);
        self.scaled(drawn)
    }

    /// A version is later than all versions before.
    fn next_version(&mut self) -> Time {
        self.last_version = self.now.max(Time(self.last_version.0 + 1));
        self.last_version
    }

    /// A UUID of the time-based form that Marathon uses, drawn from the seed.
    fn uuid(&mut self) -> String {
        let (high, low) = (self.rng.u64(..), self.rng.u64(..));
        format!(
            "{:08x}-{:04x}-1{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            (low >> 48 & 0x3fff) | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    fn new_instance_id(&mut self, def: &AppDef) -> InstanceId {
        let uuid = self.uuid();
        let name = def.id.flat();
        match self.options.profile.task_ids {
            TaskIds::AppUuid if def.pod.is_none() => format!("{name}.marathon-{uuid}"),
            _ => format!("{name}.instance-{uuid}"),
        }
        .into()
    }

    /// The id of an app's task, or of a pod's first container.
    fn task_id(&self, instance: &Instance) -> String {
        if instance.def.pod.is_some() {
            return self.container_task_id(instance, 0);
        }
        match self.options.profile.task_ids {
            TaskIds::InstanceIncarnation => format!("{}._app.{}", instance.id, instance.incarnation),
            TaskIds::AppUuid => instance.id.replacen(".marathon-", ".", 1),
        }
    }

    /// The instance whose present task, or one of whose containers, has this id.
    fn instance_of_task(&self, task: &str) -> Option<&Instance> {
        self.instance_of_app_task(task).or_else(|| Some(self.container_of_task(task)?.0))
    }

    /// Whether `task` names a task of this instance, which may be one that is given up.
    fn is_task_of(&self, task: &str, instance: &Instance) -> bool {
        match instance.def.pod.as_ref().map(|pod| pod.containers.len()) {
            Some(count) => (0..count).any(|index| self.container_task_id(instance, index) == task),
            None => self.task_id(instance) == task,
        }
    }

    fn instance_of_app_task(&self, task: &str) -> Option<&Instance> {
        let id = match self.options.profile.task_ids {
            TaskIds::InstanceIncarnation => task.rsplit_once("._app.")?.0.to_owned(),
            TaskIds::AppUuid => {
                let (app, uuid) = task.rsplit_once('.')?;
                format!("{app}.marathon-{uuid}")
            }
        };
        let instance = self.instances.get(id.as_str())?;
        (self.task_id(instance) == task).then_some(instance)
    }

    fn instances_of(&self, app: &PathId) -> impl Iterator<Item = &Instance> {
        self.by_app.get(app).into_iter().flatten().filter_map(|id| self.instances.get(id))
    }

    /// The app as deployments see it: not when it is being deleted.
    fn target(&self, id: &PathId) -> Option<&App> {
        self.apps.get(id).filter(|app| !app.deleted)
    }
}
