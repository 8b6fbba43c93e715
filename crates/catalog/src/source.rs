//! The working state of one source, and the few operations that change it. Every change of an entry goes through
//! [`Source::put_task`], [`Source::remove_task`], [`Source::put_definition`] or [`Source::remove_app`], which keep the
//! digest and the memory in step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{
    App, AppEntry, AppId, AppTask, Endpoint, Freshness, Pod, SourceId, SourceState, TaskEntry, TaskId,
    Timestamp,
};

use crate::digest;
use crate::effects::Effects;
use crate::endpoints::{self, Resolved};
use crate::memory::{Grave, Graves, TaskMemory};
use crate::refetch::Refetch;
use crate::settings::Settings;
use crate::suspects::Suspects;
use crate::verdict::{self, Facts};

/// The definition that an entry carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definition {
    pub(crate) app: Option<Arc<App>>,
    pub(crate) pod: Option<Arc<Pod>>,
}

/// One app or pod at work.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) entry: Arc<AppEntry>,
    /// The event that told its definition (0: none did).
    pub(crate) defined: u64,
    /// The newest answer folded for it, as number of events at its request.
    pub(crate) listed: u64,
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
    /// A listing shrank too much to be believed at once; a second one decides from then on.
    pub(crate) shrink_held: Option<Duration>,
    pub(crate) digest: u64,
    /// Something that a snapshot shows has changed.
    pub(crate) changed: bool,
}

/// Apps that a deployment named before they could be seen. A deployment names at most some hundreds.
pub(crate) const AWAITED_MAX: usize = 1000;

/// Changed groups that are kept apart; beyond, everything counts as changed.
pub(crate) const STIRRED_MAX: usize = 64;

/// What one step is done with.
pub(crate) struct Step<'a> {
    pub(crate) now: Duration,
    pub(crate) settings: &'a Settings,
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) effects: &'a mut Effects,
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
            shrink_held: None,
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

    pub(crate) fn task(&self, app: &AppId, task: &TaskId) -> Option<&Arc<TaskEntry>> {
        let tasks = &self.apps.get(app)?.entry.tasks;
        tasks.binary_search_by(|entry| entry.task.id.cmp(task)).ok().map(|at| &tasks[at])
    }

    /// The entry's work, created without definition if there is none.
    fn work(&mut self, app: &AppId) -> &mut Work {
        let Self { apps, id, digest, changed, awaited, .. } = self;
        if !apps.contains_key(app) {
            let entry =
                AppEntry { source: id.clone(), id: app.clone(), app: None, pod: None, tasks: Vec::new() };
            *digest = digest.wrapping_add(digest::of_definition(&entry));
            *changed = true;
            awaited.remove(app);
        }
        apps.entry(app.clone()).or_insert_with(|| Work {
            entry: Arc::new(AppEntry {
                source: id.clone(),
                id: app.clone(),
                app: None,
                pod: None,
                tasks: Vec::new(),
            }),
            defined: 0,
            listed: 0,
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
    pub(crate) fn put_definition(&mut self, id: &AppId, mut new: Definition, step: &Step<'_>) {
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
        entry.app = new.app;
        entry.pod = new.pod;
        let after = digest::of_definition(entry);
        let tasks: Vec<AppTask> = entry.tasks.iter().map(|task| task.task.clone()).collect();
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.changed = true;
        for task in tasks {
            self.put_task(id, task, step.now);
        }
    }

    /// Sets a task and judges it. Its app's entry is created if need be.
    pub(crate) fn put_task(&mut self, id: &AppId, task: AppTask, now: Duration) {
        let definition = self.definition(id);
        let memory = self.memory.entry(task.id.clone()).or_default();
        let new = judge(&self.id, id, &definition, task, memory, now);
        let source = self.id.clone();
        let work = self.work(id);
        let place = work.entry.tasks.binary_search_by(|entry| entry.task.id.cmp(&new.task.id));
        let added = digest::of_task(&source, id, &new);
        match place {
            Ok(at) if *work.entry.tasks[at] == new => return,
            Ok(at) => {
                let slot = &mut Arc::make_mut(&mut work.entry).tasks[at];
                let removed = digest::of_task(&source, id, slot);
                let (old, task) = (&slot.task, &new.task);
                let moved = old.status != task.status || old.host != task.host || old.ports != task.ports;
                *slot = Arc::new(new);
                self.tasks_changed |= moved;
                self.digest = self.digest.wrapping_sub(removed);
            }
            Err(at) => {
                Arc::make_mut(&mut work.entry).tasks.insert(at, Arc::new(new));
                self.tasks_changed = true;
            }
        }
        self.digest = self.digest.wrapping_add(added);
        self.changed = true;
    }

    /// Judges a known task again, after its memory changed.
    pub(crate) fn rejudge(&mut self, app: &AppId, task: &TaskId, now: Duration) {
        if let Some(entry) = self.task(app, task) {
            let task = entry.task.clone();
            self.put_task(app, task, now);
        }
    }

    /// Removes a task with its memory. An entry without definition goes with its last task.
    pub(crate) fn remove_task(&mut self, app: &AppId, task: &TaskId) -> bool {
        self.memory.remove(task);
        let Some(work) = self.apps.get_mut(app) else { return false };
        let Ok(at) = work.entry.tasks.binary_search_by(|entry| entry.task.id.cmp(task)) else { return false };
        let removed = Arc::make_mut(&mut work.entry).tasks.remove(at);
        self.digest = self.digest.wrapping_sub(digest::of_task(&self.id, app, &removed));
        self.changed = true;
        self.tasks_changed = true;
        let bare = work.entry.tasks.is_empty() && work.entry.app.is_none() && work.entry.pod.is_none();
        if bare {
            self.remove_app(app);
        }
        true
    }

    /// Removes an app or pod with all its tasks.
    pub(crate) fn remove_app(&mut self, app: &AppId) -> Option<Arc<AppEntry>> {
        let work = self.apps.remove(app)?;
        self.digest = self.digest.wrapping_sub(digest::of_entry(&work.entry));
        for task in &work.entry.tasks {
            self.memory.remove(&task.task.id);
        }
        self.changed = true;
        self.tasks_changed |= !work.entry.tasks.is_empty();
        Some(work.entry)
    }

    /// Remembers that a task has ended, by the newest event.
    pub(crate) fn bury_task(&mut self, task: &TaskId, certain: bool, now: Duration) {
        self.dead_tasks.bury(task, Grave { event: self.state.events, at: now, certain });
    }
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

fn judge(
    source: &SourceId,
    app: &AppId,
    definition: &Definition,
    task: AppTask,
    memory: &mut TaskMemory,
    now: Duration,
) -> TaskEntry {
    let ended = task.status.is_terminal();
    let resolved = match definition {
        _ if ended => Resolved::default(),
        Definition { app: Some(app), .. } => endpoints::of_app(app, &task),
        Definition { pod: Some(pod), .. } => endpoints::of_pod(pod, memory.place.as_deref(), &task),
        _ => Resolved { unresolved: vec!["the definition is not known yet".into()], ..Resolved::default() },
    };
    let mut facts = Facts {
        checks: definition.app.as_ref().map_or(task.health.len(), |app| app.health_checks.len()),
        told: memory.told.map(|(healthy, _)| healthy),
        last: memory.last,
        doomed: memory.doomed_until.is_some_and(|until| until > now),
        has_address: resolved.has_address,
    };
    if let Some(known) = verdict::health(&task, &facts) {
        memory.last = Some(known);
        facts.last = memory.last;
    }
    let verdict = verdict::verdict(&task, &facts);
    let endpoint = |port: endpoints::Reached| Endpoint {
        source: source.clone(),
        app: app.clone(),
        task: task.id.clone(),
        port_index: port.index,
        port_name: port.name,
        service_port: port.service_port,
        transport: port.transport,
        protocols: port.protocols,
        verdict,
    };
    let endpoints = resolved.reached.into_iter().map(endpoint).collect();
    TaskEntry { endpoints, verdict, unresolved: resolved.unresolved, task }
}
