//! The working state of one source, and the few operations that change it. Every change of an entry goes through
//! [`Source::put_task`], [`Source::remove_task`], [`Source::put_definition`] or [`Source::remove_app`], which keep the
//! digest and the memory in step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{
    App, AppEntry, AppId, AppTask, Cause, Changes, DeploymentId, Freshness, Gone, Happened, InstanceId, Pod,
    SourceId, SourceState, TaskEntry, TaskId, Timestamp,
};

use crate::digest;
use crate::effects::Effects;
use crate::hints::Deploying;
use crate::judge::{self, Circumstances};
use crate::memory::{Grave, Graves, TaskMemory};
use crate::older::Older;
use crate::panic::Tally;
use crate::refetch::Refetch;
use crate::remembered::Remembered;
use crate::settings::Settings;
use crate::suspects::Suspects;

/// The definition that an entry carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definition {
    pub(crate) app: Option<Arc<App>>,
    pub(crate) pod: Option<Arc<Pod>>,
}

impl Definition {
    /// Its version.
    pub(crate) fn version(&self) -> Option<Timestamp> {
        let app = self.app.as_ref().and_then(|app| app.version);
        app.or_else(|| self.pod.as_ref().and_then(|pod| pod.version))
    }

    /// Whether the task was started with a newer version than this one.
    pub(crate) fn is_older_than(&self, task: &AppTask) -> bool {
        matches!((task.version, self.version()), (Some(task), Some(known)) if task > known)
    }

    /// How many tasks are wanted at least; a pod may have several containers per instance.
    pub(crate) fn wanted(&self) -> Option<usize> {
        let instances = self.app.as_ref().map(|app| app.instances);
        instances.or_else(|| self.pod.as_ref().map(|pod| pod.instances)).map(|n| n as usize)
    }
}

/// One app or pod at work.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) entry: Arc<AppEntry>,
    /// The event that told its definition (0: none did).
    pub(crate) defined: u64,
    /// The newest answer folded for it, as number of events at its request.
    pub(crate) listed: u64,
    /// Definitions that older tasks were started with.
    pub(crate) older: Older,
    /// The last event that began to stop it.
    pub(crate) stopped: u64,
    /// How its tasks stand.
    pub(crate) tally: Tally,
    /// So few are healthy that all are served.
    pub(crate) panic: bool,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) state: SourceState,
    pub(crate) apps: BTreeMap<AppId, Work>,
    pub(crate) memory: BTreeMap<TaskId, TaskMemory>,
    pub(crate) dead_tasks: Graves<TaskId>,
    pub(crate) dead_apps: Graves<AppId>,
    pub(crate) refetch: Refetch,
    pub(crate) suspects: Suspects,
    /// Ids that deployments named and no listing has shown yet; bounded by [`AWAITED_MAX`].
    pub(crate) awaited: BTreeSet<AppId>,
    /// Groups that changed since the last listing, with the event that said so: what differs below them is expected.
    /// Bounded by [`STIRRED_MAX`].
    pub(crate) stirred: Vec<(Arc<str>, u64)>,
    /// The version of the app that was written last, and when we heard of it.
    pub(crate) written: Option<(Timestamp, Duration)>,
    /// The newest whole listing folded, as number of events at its request: answers older than this say nothing, not
    /// even about apps that it did not have.
    pub(crate) listed: u64,
    /// The stream is attached.
    pub(crate) attached: bool,
    /// There was no stream for a while, and no listing since it is back: events of that time were told to nobody.
    pub(crate) gap: bool,
    /// Tasks were added or removed, or changed their state, host or ports, since an answer was asked about it last.
    pub(crate) tasks_changed: bool,
    /// A listing was folded since the stream is attached: what differs from now on was missed.
    pub(crate) trusted: bool,
    /// A mass disappearance is held: since when and until when.
    pub(crate) hold: Option<(Duration, Duration)>,
    /// What was kept of tasks over a restart, until they are seen.
    pub(crate) restored: BTreeMap<TaskId, Remembered>,
    /// Something worth keeping over a restart has changed.
    pub(crate) memory_changed: bool,
    /// Deployments under way, as events told, with what they change. Bounded by the hints.
    pub(crate) deploying: BTreeMap<DeploymentId, Deploying>,
    /// Instances that are ending and of which no task was known, with the event that said so; bounded by the hints.
    pub(crate) omens: VecDeque<(u64, InstanceId)>,
    /// Hints to be forgotten with their tasks at a time.
    pub(crate) rechecks: BTreeSet<(Duration, AppId, TaskId)>,
    /// Apps that went lately; bounded by [`GONE_MAX`].
    pub(crate) gone: VecDeque<Gone>,
    pub(crate) gone_changed: bool,
    pub(crate) digest: u64,
    /// Something that a snapshot shows has changed.
    pub(crate) changed: bool,
}

/// Apps that a deployment named before they could be seen. A deployment names at most some hundreds.
pub(crate) const AWAITED_MAX: usize = 1000;

/// Changed groups that are kept apart; beyond, everything counts as changed.
pub(crate) const STIRRED_MAX: usize = 64;

/// Apps that went lately, for those who ask where they are.
const GONE_MAX: usize = 200;

/// Changes of verdicts that are kept per app.
const HISTORY_MAX: usize = 24;

/// What one step is done with.
pub(crate) struct Step<'a> {
    pub(crate) now: Duration,
    /// The time by our clock when `now` was zero.
    pub(crate) epoch: Timestamp,
    /// What is being folded.
    pub(crate) cause: Cause,
    pub(crate) settings: &'a Settings,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) effects: &'a mut Effects,
}

impl Step<'_> {
    /// Now by our clock.
    pub(crate) fn at(&self) -> Timestamp {
        self.epoch.after(self.now)
    }
}

impl Source {
    pub(crate) fn new(id: SourceId, settings: &Settings) -> Self {
        let state = SourceState {
            freshness: Freshness::Never,
            events: 0,
            comparisons: 0,
            differences: 0,
            leader: None,
            last_error: None,
            held: None,
            changes: Changes::default(),
        };
        Self {
            id,
            state,
            apps: BTreeMap::new(),
            memory: BTreeMap::new(),
            dead_tasks: Graves::new(settings.graves_max, settings.grave_age),
            dead_apps: Graves::new(settings.graves_max, settings.grave_age),
            refetch: Refetch::new(settings),
            suspects: Suspects::default(),
            awaited: BTreeSet::new(),
            stirred: Vec::new(),
            written: None,
            listed: 0,
            attached: false,
            trusted: false,
            gap: false,
            tasks_changed: false,
            hold: None,
            restored: BTreeMap::new(),
            memory_changed: false,
            deploying: BTreeMap::new(),
            omens: VecDeque::new(),
            rechecks: BTreeSet::new(),
            gone: VecDeque::new(),
            gone_changed: false,
            digest: 0,
            changed: true,
        }
    }

    pub(crate) fn definition(&self, app: &AppId) -> Definition {
        self.apps.get(app).map_or_else(Definition::default, |work| Definition {
            app: work.entry.app.clone(),
            pod: work.entry.pod.clone(),
        })
    }

    /// The definition that a task was started with, as far as it is known, and whether that is certain.
    pub(crate) fn definition_of(
        &self,
        app: &AppId,
        task: &AppTask,
        newest: &Definition,
    ) -> (Definition, bool) {
        let older = self.apps.get(app).and_then(|work| work.older.of(task, newest));
        let (definition, certain) = older.unwrap_or((newest, true));
        (definition.clone(), certain)
    }

    pub(crate) fn task(&self, app: &AppId, task: &TaskId) -> Option<&Arc<TaskEntry>> {
        let tasks = &self.apps.get(app)?.entry.tasks;
        tasks.binary_search_by(|entry| entry.task.id.cmp(task)).ok().map(|at| &tasks[at])
    }

    /// The entry's work, created without definition if there is none.
    fn work(&mut self, app: &AppId) -> &mut Work {
        let Self { apps, id, digest, changed, awaited, .. } = self;
        apps.entry(app.clone()).or_insert_with(|| {
            let (source, id) = (id.clone(), app.clone());
            let entry = AppEntry { source, id, app: None, pod: None, tasks: Vec::new(), history: Vec::new() };
            *digest = digest.wrapping_add(digest::of_definition(&entry));
            *changed = true;
            awaited.remove(app);
            Work {
                entry: Arc::new(entry),
                defined: 0,
                listed: 0,
                older: Older::default(),
                stopped: 0,
                tally: Tally::default(),
                panic: false,
            }
        })
    }

    /// Marks the app dirty because of the newest event. Whatever may be a pod is asked for by listing (trap 30).
    pub(crate) fn mark(&mut self, app: &AppId, task: Option<&TaskId>, step: &Step<'_>) {
        let single = match self.apps.get(app) {
            Some(work) if work.entry.app.is_some() => true,
            Some(work) if work.entry.pod.is_some() => false,
            _ => task.is_some_and(is_app_task),
        };
        self.refetch.mark(app, !single, self.state.events, step.now + step.settings.coalesce);
    }

    /// Sets an app's or pod's definition; its tasks are judged anew if it differs.
    pub(crate) fn put_definition(&mut self, id: &AppId, mut new: Definition, step: &mut Step<'_>) {
        let old = self.definition(id);
        // Equal definitions keep their Arc, so that readers can compare by pointer.
        if old.app.is_some() && old.app == new.app {
            new.app = old.app;
        }
        if old.pod.is_some() && old.pod == new.pod {
            new.pod = old.pod;
        }
        let work = self.work(id);
        if same(work.entry.app.as_ref(), new.app.as_ref()) && same(work.entry.pod.as_ref(), new.pod.as_ref())
        {
            return;
        }
        let before = digest::of_definition(&work.entry);
        let entry = Arc::make_mut(&mut work.entry);
        let old = Definition { app: entry.app.take(), pod: entry.pod.take() };
        work.older.superseded(&old, &new, &entry.tasks);
        entry.app = new.app;
        entry.pod = new.pod;
        let after = digest::of_definition(entry);
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.changed = true;
        self.rejudge_app(id, step);
    }

    /// Sets a task and judges it. Its app's entry is created if need be.
    pub(crate) fn put_task(&mut self, id: &AppId, task: AppTask, step: &mut Step<'_>) {
        let newest = self.definition(id);
        let (definition, certain) = self.definition_of(id, &task, &newest);
        let deploying = !self.deploying.is_empty() && self.is_deploying(id);
        let (source, task_id) = (self.id.clone(), task.id.clone());
        let circumstances = Circumstances {
            source: &source,
            app: id,
            definition: &definition,
            newest: &newest,
            certain,
            deploying,
            now: step.now,
            settings: step.settings,
        };
        let memory = self.recall(id, &task_id, step.now, step.settings);
        let before = (memory.last, memory.proven);
        let mut new = judge::judge(task, memory, &circumstances);
        self.memory_changed |= (memory.last, memory.proven) != before;
        self.overrule(id, &mut new);
        let old = self.task(id, &task_id);
        new.since = match old {
            Some(old) if old.verdict == new.verdict => old.since,
            _ => step.at(),
        };
        if old.is_some_and(|old| **old == new) {
            return;
        }
        self.set_entry(id, new, step);
        self.weigh_panic(id, step);
    }

    /// Puts a judged task in its place, in step with the digest, the counts and the history.
    pub(crate) fn set_entry(&mut self, id: &AppId, new: TaskEntry, step: &Step<'_>) {
        let source = self.id.clone();
        let added = digest::of_task(&source, id, &new);
        let tell = self.state.freshness != Freshness::Never;
        let work = self.work(id);
        work.tally.count(&new, true);
        let place = work.entry.tasks.binary_search_by(|entry| entry.task.id.cmp(&new.task.id));
        let entry = Arc::make_mut(&mut work.entry);
        let (mut moved, mut removed) = (true, 0);
        let (task, after) = (new.task.id.clone(), Some(new.verdict.rule));
        let before = match place {
            Ok(at) => {
                let slot = &mut entry.tasks[at];
                work.tally.count(slot, false);
                removed = digest::of_task(&source, id, slot);
                let (old, task) = (&slot.task, &new.task);
                moved = old.status != task.status || old.host != task.host || old.ports != task.ports;
                Some(std::mem::replace(slot, Arc::new(new)).verdict.rule)
            }
            Err(at) => {
                entry.tasks.insert(at, Arc::new(new));
                None
            }
        };
        if tell
            && before != after
            && let Some(work) = self.apps.get_mut(id)
        {
            let (number, at, cause) = (self.state.changes.count(after), step.at(), step.cause.clone());
            let happened = Happened { number, at, task, before, after, cause };
            note(&mut Arc::make_mut(&mut work.entry).history, happened);
        }
        self.tasks_changed |= moved;
        self.digest = self.digest.wrapping_sub(removed).wrapping_add(added);
        self.changed = true;
    }

    /// Judges a known task again, after its memory or its circumstances changed.
    pub(crate) fn rejudge(&mut self, app: &AppId, task: &TaskId, step: &mut Step<'_>) {
        if let Some(entry) = self.task(app, task) {
            let task = entry.task.clone();
            self.put_task(app, task, step);
        }
    }

    /// Judges all tasks of an app again.
    pub(crate) fn rejudge_app(&mut self, app: &AppId, step: &mut Step<'_>) {
        let Some(work) = self.apps.get(app) else { return };
        let tasks: Vec<AppTask> = work.entry.tasks.iter().map(|entry| entry.task.clone()).collect();
        for task in tasks {
            self.put_task(app, task, step);
        }
    }

    /// Removes a task with its memory. An entry without definition goes with its last task.
    pub(crate) fn remove_task(&mut self, app: &AppId, task: &TaskId, step: &mut Step<'_>) -> bool {
        self.memory_changed |= self.memory.remove(task).is_some();
        let Some(work) = self.apps.get_mut(app) else { return false };
        let Ok(at) = work.entry.tasks.binary_search_by(|entry| entry.task.id.cmp(task)) else { return false };
        let entry = Arc::make_mut(&mut work.entry);
        let removed = entry.tasks.remove(at);
        work.tally.count(&removed, false);
        // What comes and goes before the first listing is not told: neither is what the listing brings.
        if self.state.freshness != Freshness::Never {
            let (number, at, cause) = (self.state.changes.count(None), step.at(), step.cause.clone());
            let (task, before) = (task.clone(), Some(removed.verdict.rule));
            note(&mut entry.history, Happened { number, at, task, before, after: None, cause });
        }
        self.digest = self.digest.wrapping_sub(digest::of_task(&self.id, app, &removed));
        self.changed = true;
        self.tasks_changed = true;
        let bare = work.entry.tasks.is_empty() && work.entry.app.is_none() && work.entry.pod.is_none();
        if bare {
            self.remove_app(app, step);
        } else {
            self.weigh_panic(app, step);
        }
        true
    }

    /// Removes an app or pod with all its tasks.
    pub(crate) fn remove_app(&mut self, app: &AppId, step: &Step<'_>) -> Option<Arc<AppEntry>> {
        let work = self.apps.remove(app)?;
        self.digest = self.digest.wrapping_sub(digest::of_entry(&work.entry));
        let mut history = work.entry.history.clone();
        for task in &work.entry.tasks {
            // An app that is created anew may show the dying tasks of the one before.
            if self.memory.get(&task.task.id).is_some_and(|memory| memory.leaving.is_none()) {
                self.memory.remove(&task.task.id);
            }
            let (at, cause) = (step.at(), step.cause.clone());
            let (task, before) = (task.task.id.clone(), Some(task.verdict.rule));
            let number = self.state.changes.count(None);
            note(&mut history, Happened { number, at, task, before, after: None, cause });
        }
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        let (source, id) = (self.id.clone(), app.clone());
        let (at, cause, history) = (step.at(), step.cause.clone(), history.into());
        self.gone.push_back(Gone { source, id, at, cause, history });
        self.gone_changed = true;
        self.changed = true;
        self.memory_changed = true;
        self.tasks_changed |= !work.entry.tasks.is_empty();
        Some(work.entry)
    }

    /// Remembers that a task has ended, by the newest event.
    pub(crate) fn bury_task(&mut self, task: &TaskId, certain: bool, now: Duration) {
        self.dead_tasks.bury(task, Grave { event: self.state.events, at: now, certain });
    }
}

fn note(history: &mut Vec<Happened>, happened: Happened) {
    if history.len() >= HISTORY_MAX {
        history.remove(0);
    }
    history.push(happened);
}

fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
}

/// Whether a task id alone proves that it belongs to an app: pods' tasks have `.instance-` in them and no `._app`
/// (spec/marathon.md section 4).
pub(crate) fn is_app_task(task: &TaskId) -> bool {
    match task.as_str().rsplit_once(".instance-") {
        None => true,
        Some((_, rest)) => rest.split('.').nth(1).is_some_and(|part| part == "_app"),
    }
}
