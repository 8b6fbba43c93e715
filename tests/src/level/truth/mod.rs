//! What is true of each task, since when, and what of it has reached the catalog.
//!
//! Comes in: each event that the cluster emits, a look at the cluster after each of its steps, and what was delivered to
//! the catalog. Goes out: [`Known`] per task, and what a quiet cluster should look like ([`Truth::settled`]).

mod delivery;
mod emission;
pub(super) mod meaning;
mod settled;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mconn_catalog::invariants::overtime::{Known, World};
use mconn_model::{Endpoint, SourceId, TaskId};
use mconn_sim::cluster::{Cluster, Condition, Glance};

use meaning::{At, Meaning};

pub(super) use delivery::View;

/// One task, from its launch on and after its end.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) app: String,
    pub(super) incarnation: u32,
    /// As the API shows it; `None` when it is not (or no more) shown.
    pub(super) shown: Option<&'static str>,
    /// It exists.
    pub(super) alive: bool,
    pub(super) good: bool,
    pub(super) decommissioned: bool,
    pub(super) routable: bool,
    /// Its readiness check has passed, or nobody asks.
    pub(super) ready: bool,
    pub(super) first_ready: Option<Duration>,
    pub(super) lacks: &'static str,
    /// When anything of it changed last.
    pub(super) changed: Duration,
    /// Where its ports are.
    pub(super) places: Vec<Option<String>>,
    /// The definition that it runs: the version of its last change that matters to tasks.
    pub(super) config: u64,
    /// The first hint that it goes.
    pub(super) hint: Option<Duration>,
    /// Events before this one are void: it came back.
    pub(super) valid_from: usize,
    /// Since when the API no longer shows it as running.
    pub(super) leaving: Option<Duration>,
    /// The first hint that reached the catalog, and its name.
    pub(super) told: Option<(Duration, &'static str)>,
    pub(super) doubted: bool,
    /// The number of events delivered when the last one about this task was.
    pub(super) heard: u64,
    /// Events about this task so far: emitted, and up to which they were delivered in order.
    emitted: u32,
    in_order: u32,
    /// Until when events about it that were lost or came out of order make it unclear what a repeated condition means.
    unclear: Duration,
    /// The condition told last, by which event, and whether that was delivered.
    pub(super) condition: Option<(String, usize)>,
    /// It ran, or passed its last check, within the present step.
    blink: Blink,
    /// Every check had passed when results were last known.
    passed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Blink {
    ran: bool,
    passed: bool,
}

/// An event that was emitted.
#[derive(Debug)]
pub(super) struct Emitted {
    pub(super) meaning: Meaning,
    /// Which one it is of those about its task.
    nth: u32,
    pub(super) delivered: bool,
}

/// Everything that is true.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) tasks: Vec<Task>,
    pub(super) by_id: HashMap<String, At>,
    /// The present task of each instance.
    by_instance: HashMap<Arc<str>, At>,
    /// Tasks that exist, or whose end the catalog has not been told.
    pub(super) open: BTreeSet<At>,
    pub(super) emitted: Vec<Emitted>,
    /// Events delivered so far.
    pub(super) delivered: u64,
    /// The number of events delivered when the last one about this app was.
    pub(super) app_heard: HashMap<String, u64>,
    /// When an app's version, visibility or deployments changed last.
    pub(super) app_changed: HashMap<String, (Duration, AppState)>,
    /// Apps of which the catalog has been told that a deployment is under way.
    deploying: BTreeSet<String>,
    /// Definitions, by app and version, that reached the catalog. Of tasks of others it cannot know the ports.
    pub(super) configs: BTreeSet<(String, u64)>,
    /// Until when something hindered the catalog from asking.
    pub(super) trouble: Duration,
}

pub(super) type AppState = (Option<u64>, bool, bool);

impl Truth {
    /// Looks at every task after a step of the cluster.
    pub(super) fn look(&mut self, cluster: &Cluster, now: Duration) {
        self.look_at_apps(cluster, now);
        let mut present = BTreeSet::new();
        for glance in cluster.glances().filter(|glance| glance.condition.has_task()) {
            let Some(&at) = self.by_instance.get(glance.instance) else { continue };
            if self.tasks[at].incarnation == glance.incarnation {
                present.insert(at);
                self.look_at_task(at, &glance, cluster, now);
            }
        }
        let gone: Vec<At> = self.open.iter().copied().filter(|at| !present.contains(at)).collect();
        for at in gone {
            let task = &mut self.tasks[at];
            if task.alive {
                task.alive = false;
                task.shown = None;
                task.good = false;
                task.routable = false;
                task.changed = now;
                task.leaving.get_or_insert(now);
                task.hint.get_or_insert(now);
                task.note_ready(None, now);
            } else if task.told.is_some() {
                self.open.remove(&at);
            }
        }
    }

    fn look_at_apps(&mut self, cluster: &Cluster, now: Duration) {
        for app in cluster.app_glances() {
            let state = (app.visible.map(|version| version.0), app.deleted, app.deploying);
            match self.app_changed.get_mut(app.id.as_str()) {
                Some((_, before)) if *before == state => {}
                Some(entry) => *entry = (now, state),
                None => {
                    self.app_changed.insert(app.id.as_str().to_owned(), (now, state));
                }
            }
        }
        // An app that is gone altogether.
        if cluster.sizes().0 < self.app_changed.values().filter(|(_, state)| *state != GONE).count() {
            let present: BTreeSet<&str> = cluster.app_glances().map(|app| app.id.as_str()).collect();
            for (id, entry) in &mut self.app_changed {
                if entry.1 != GONE && !present.contains(id.as_str()) {
                    *entry = (now, GONE);
                }
            }
        }
    }

    fn look_at_task(&mut self, at: At, glance: &Glance<'_>, cluster: &Cluster, now: Duration) {
        let visible =
            self.app_changed.get(glance.app.as_str()).is_some_and(|(_, (version, _, _))| version.is_some());
        let task = &mut self.tasks[at];
        task.config = glance.config.0;
        let running = glance.condition == Condition::Running;
        if running && task.places.is_empty() {
            task.places = cluster.places(glance.instance).map(|(_, places)| places).unwrap_or_default();
        }
        task.note_ready(Some(glance), now);
        let shown = visible.then(|| glance.condition.task_state());
        let stays = running && !glance.dying && !glance.decommissioned;
        let good = stays && !glance.failing && glance.ready && task.hint.is_none();
        let routable = stays && glance.passes && glance.ready;
        task.ready = glance.ready;
        let state = (shown, good, routable, glance.decommissioned);
        if state != (task.shown, task.good, task.routable, task.decommissioned) {
            task.changed = now;
            (task.shown, task.good, task.routable, task.decommissioned) = state;
        }
        // Only what had run can be missed as leaving.
        if shown != Some("TASK_RUNNING") && task.first_ready.is_some() {
            task.leaving.get_or_insert(now);
        } else {
            task.leaving = None;
        }
    }

    /// What the catalog has shown as routable is forgiven nothing any more.
    pub(super) fn shown_routable(&mut self, task: &TaskId) {
        if let Some(&at) = self.by_id.get(task.as_str()) {
            self.tasks[at].doubted = false;
        }
    }

    fn knows_definition(&self, task: &Task) -> bool {
        self.configs.contains(&(task.app.clone(), task.config))
    }

    /// Something hinders the catalog from asking until then.
    pub(super) fn hinder(&mut self, until: Duration) {
        self.trouble = self.trouble.max(until);
    }
}

const GONE: AppState = (None, true, false);

impl Task {
    fn note_ready(&mut self, glance: Option<&Glance<'_>>, now: Duration) {
        let blink = std::mem::take(&mut self.blink);
        let running =
            blink.ran || blink.passed || glance.is_some_and(|glance| glance.condition == Condition::Running);
        // That a new leader has forgotten a result does not make the task another one.
        let failing = glance.is_some_and(|glance| glance.failing);
        let passes = blink.passed || glance.is_none_or(|glance| glance.passes) || (self.passed && !failing);
        // Before it runs it has no checks to pass.
        self.passed = passes && running;
        let ready = glance.is_none_or(|glance| glance.ready);
        self.lacks = match (running, passes, ready) {
            (true, true, true) => "",
            (true, true, false) => "its readiness check has not passed",
            (true, false, _) => "not every health check has passed",
            // It has run, and lacked what it lacked.
            (false, ..) => self.lacks,
        };
        if self.lacks.is_empty() {
            self.first_ready.get_or_insert(now);
        }
    }
}

impl World for Truth {
    fn known(&self, _: &SourceId, task: &TaskId) -> Known {
        let Some(task) = self.by_id.get(task.as_str()).map(|at| &self.tasks[*at]) else {
            return Known::default();
        };
        let unjudgeable = (!self.knows_definition(task)).then_some(Duration::ZERO);
        Known {
            first_ready: task.first_ready.or(unjudgeable),
            lacks: task.lacks,
            told: task.told,
            given: task.leaving.map(|leaving| leaving.max(self.trouble)),
            good: task.good,
            doubted: task.doubted || !self.knows_definition(task),
        }
    }

    fn is_place(&self, endpoint: &Endpoint) -> bool {
        let Some(task) = self.by_id.get(endpoint.task.as_str()).map(|at| &self.tasks[*at]) else {
            return false;
        };
        let place = task.places.get(endpoint.port_index).and_then(Option::as_ref);
        !self.knows_definition(task) || place.is_some_and(|place| endpoint.transport.to_string() == *place)
    }
}

impl Truth {
    /// The event is the end of a task, after which none comes.
    pub(super) fn is_last_hint(&self, number: usize) -> bool {
        let ends =
            |state: &str| meaning::is_leaving(state) && !matches!(state, "TASK_KILLING" | "TASK_UNREACHABLE");
        matches!(&self.emitted[number].meaning, Meaning::Status { state, .. } if ends(state))
    }
}

impl Task {
    /// It runs, and no check of it has ever passed.
    pub(super) fn is_untested(&self) -> bool {
        self.alive && self.shown == Some("TASK_RUNNING") && self.first_ready.is_none()
    }
}
