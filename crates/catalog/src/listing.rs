//! Folding answers: a whole listing, or one app. An answer is a full comparison of what it covers, but only against what
//! was known when it was requested: later events know better, and their apps stay dirty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mconn_model::{
    App, AppId, AppListing, AppTask, Deployment, Freshness, IpAddress, Listing, Pod, PodContainer,
    PodInstance, TaskId, TaskStatus, Timestamp, Warning,
};

use crate::effects::{Notice, Why};
use crate::endpoints::PodPlace;
use crate::hold::{Missing, is_live};
use crate::memory::Grave;
use crate::source::{Definition, Source, Step, Work, is_app_task};
use crate::suspects;

/// One app or pod as an answer has it, both brought to one form.
struct Answer {
    id: AppId,
    definition: Definition,
    tasks: BTreeMap<TaskId, (AppTask, Option<Arc<PodPlace>>)>,
}

impl Source {
    /// Folds everything the source knows, as of the event number `requested`.
    pub(crate) fn fold_listing(&mut self, listing: Listing, requested: u64, step: &mut Step<'_>) {
        let requested = requested.min(self.state.events);
        let Listing { apps, pods, pods_unknown, as_of, warnings } = listing;
        self.note_warnings(&warnings, step);
        let mut seen: BTreeSet<AppId> = apps.iter().map(|listed| listed.app.id.clone()).collect();
        seen.extend(pods.iter().map(|pod| pod.id.clone()));
        let mut answers: Vec<Answer> = apps.into_iter().map(of_app).collect();
        answers.extend(pods.into_iter().map(of_pod));
        let mut absent = self.absent(&seen, requested);
        if pods_unknown {
            absent.retain(|id| !self.may_be_pod(id));
        }
        let verify = warnings.iter().any(hides_an_app);
        // What is dirty is expected to differ, and is clean in a moment.
        let expected = self.refetch.dirty_apps();
        let missing = self.missing(&answers, if verify { &[] } else { &absent }, requested, &expected);
        let held = self.holds(&missing, step);
        let kept = if held { missing.of } else { BTreeSet::new() };
        let forgotten =
            self.state.freshness == Freshness::Never && !answers.iter().any(|a| self.remembers(a));
        self.tasks_changed = false;
        self.refetch.answered_listing(requested, step.now, step.settings.coalesce);
        let mut admitted = 0;
        for mut answer in answers {
            if kept.contains(&answer.id) {
                self.keep_tasks(&mut answer);
            }
            admitted += self.fold_answer(answer, requested, Some((&expected, forgotten)), as_of, step);
        }
        if admitted > 0 {
            step.effects.notices.push(Notice::Admitted { source: self.id.clone(), tasks: admitted });
        }
        if verify {
            // Nothing is taken for deleted; the first few are asked for alone, and only that answer removes them.
            let apps = absent.iter().filter(|id| self.definition(id).app.is_some());
            let doubted: Vec<AppId> = apps.take(step.settings.singles_max).cloned().collect();
            for id in doubted {
                self.mark(&id, None, step);
            }
        } else {
            for id in absent.into_iter().filter(|id| !kept.contains(id)) {
                self.remove_absent(&id, requested, &expected, step);
            }
        }
        // What was kept over a restart and is not listed has ended meanwhile.
        if !verify && !held && !pods_unknown {
            self.memory_changed |= !self.restored.is_empty();
            self.restored.clear();
        }
        self.listed = self.listed.max(requested);
        self.stirred.retain(|(_, event)| *event > requested);
        self.awaited.retain(|id| !seen.contains(id));
        self.resync_after_listing(held, step);
        let apps = &self.apps;
        self.refetch.classify(|id| apps.get(id).is_none_or(|work| work.entry.app.is_none()));
        self.compared(step);
    }

    /// Says that modules must be synced if the listing tells what no event told them. One that is not believed yet tells
    /// nothing: a sync would ask the same Marathon.
    fn resync_after_listing(&mut self, held: bool, step: &mut Step<'_>) {
        if held {
            return;
        }
        if !self.attached {
            if self.tasks_changed {
                step.effects.resyncs.insert(self.id.clone(), Why::NoStream);
            }
        } else if std::mem::take(&mut self.gap) {
            step.effects.resyncs.insert(self.id.clone(), Why::StreamGap);
        }
    }

    /// Folds the answer about one app.
    pub(crate) fn fold_app(
        &mut self,
        id: &AppId,
        listing: Option<AppListing>,
        requested: u64,
        as_of: Option<Timestamp>,
        step: &mut Step<'_>,
    ) {
        let requested = requested.min(self.state.events);
        self.refetch.answered_app(id, requested, step.now + step.settings.coalesce);
        self.state.last_error = None;
        if let Some(listing) = listing {
            self.fold_answer(of_app(listing), requested, None, as_of, step);
            return;
        }
        // Pods are not known under /v2/apps (trap 30), and what a later event told of is not gone.
        if !self.apps.contains_key(id)
            || self.may_be_pod(id)
            || self.answered_since(id, requested)
            || self.is_newer(id, requested)
        {
            return;
        }
        self.remove_gone(id, requested, step);
    }

    /// Whether it is a pod, or something that only its tasks' ids tell of, and they do not tell of an app.
    fn may_be_pod(&self, id: &AppId) -> bool {
        self.apps.get(id).is_some_and(|work| {
            let unclear = || !work.entry.tasks.iter().all(|t| is_app_task(&t.task.id));
            work.entry.pod.is_some() || (work.entry.app.is_none() && unclear())
        })
    }

    /// Removes what an answer lacks, and remembers it, so that the late ends of its tasks mean nothing.
    fn remove_gone(&mut self, id: &AppId, requested: u64, step: &Step<'_>) {
        self.remove_app(id, step);
        self.dead_apps.bury(id, Grave { event: requested, at: step.now, certain: false });
    }

    /// Whether a newer answer about the app was folded already.
    fn answered_since(&self, id: &AppId, requested: u64) -> bool {
        self.listed > requested || self.apps.get(id).is_some_and(|work| work.listed > requested)
    }

    /// Whether an event after `requested` told of the app or of one of its tasks.
    fn is_newer(&self, id: &AppId, requested: u64) -> bool {
        let Some(work) = self.apps.get(id) else { return false };
        let told = |task: &TaskId| self.memory.get(task).is_some_and(|memory| memory.event > requested);
        work.defined > requested || work.entry.tasks.iter().any(|entry| told(&entry.task.id))
    }

    /// What a listing lacks and no later event or answer vouches for.
    fn absent(&self, seen: &BTreeSet<AppId>, requested: u64) -> Vec<AppId> {
        let unseen = self.apps.iter().filter(|(id, _)| !seen.contains(*id));
        let gone =
            unseen.filter(|(id, _)| !self.answered_since(id, requested) && !self.is_newer(id, requested));
        gone.map(|(id, _)| id.clone()).collect()
    }

    /// What a listing lacks that no event explains, newer tasks that take an older one's place aside.
    fn missing(
        &self,
        answers: &[Answer],
        absent: &[AppId],
        requested: u64,
        expected: &BTreeSet<AppId>,
    ) -> Missing {
        let mut missing = Missing::default();
        let unexplained = |id: &AppId| !expected.contains(id) && !self.is_stirred(id);
        for id in absent.iter().filter(|id| unexplained(id)) {
            if let Some(work) = self.apps.get(id) {
                missing.add_app(&work.entry);
            }
        }
        for answer in answers.iter().filter(|answer| unexplained(&answer.id)) {
            let Some(work) = self.apps.get(&answer.id) else { continue };
            if self.answered_since(&answer.id, requested) {
                continue;
            }
            let told = |task: &TaskId| self.memory.get(task).is_some_and(|memory| memory.event > requested);
            let lost = work.entry.tasks.iter().map(|entry| &entry.task).filter(|task| {
                let listed = answer.tasks.contains_key(&task.id);
                is_live(&task.status) && !listed && !told(&task.id)
            });
            let known = |task: &TaskId| self.task(&answer.id, task).is_some();
            // Those that are being launched, too: a Marathon that replaces tasks knows what it does.
            let listed = || answer.tasks.values().map(|(task, _)| task).filter(|t| !t.status.is_terminal());
            let new = listed().filter(|task| !known(&task.id)).count();
            // Fewer are wanted now: that is what the definition in the same listing says.
            let short = answer.definition.wanted().map_or(usize::MAX, |n| n.saturating_sub(listed().count()));
            missing.add_tasks(&answer.id, lost.count().saturating_sub(new).min(short));
        }
        missing
    }

    /// Adds to an answer the known tasks that it lacks, because they are held.
    fn keep_tasks(&self, answer: &mut Answer) {
        let Some(work) = self.apps.get(&answer.id) else { return };
        for entry in &work.entry.tasks {
            let place = || self.memory.get(&entry.task.id).and_then(|memory| memory.place.clone());
            answer.tasks.entry(entry.task.id.clone()).or_insert_with(|| (entry.task.clone(), place()));
        }
    }

    /// Whether anything of an answer's tasks was kept over our restart.
    fn remembers(&self, answer: &Answer) -> bool {
        !self.restored.is_empty() && answer.tasks.keys().any(|task| self.restored.contains_key(task))
    }

    /// Whether an event told of a change of everything below one of the app's groups since the last listing.
    fn is_stirred(&self, id: &AppId) -> bool {
        self.stirred.iter().any(|(group, _)| id.is_below(group) || id.as_str() == &**group)
    }

    fn remove_absent(&mut self, id: &AppId, requested: u64, expected: &BTreeSet<AppId>, step: &Step<'_>) {
        let count = self.apps.get(id).map_or(0, |work| {
            let tasks = work.entry.tasks.iter().filter(|t| t.task.status == TaskStatus::Running);
            1 + tasks.count() as u64
        });
        self.suspect(id, count, expected, step);
        self.remove_gone(id, requested, step);
    }

    /// Remembers differences that no event announced, if events would have reached us.
    fn suspect(&mut self, id: &AppId, count: u64, expected: &BTreeSet<AppId>, step: &Step<'_>) {
        if self.trusted && !expected.contains(id) && !self.is_stirred(id) {
            self.suspects.add(id, count, step.now + step.settings.explain_within);
        }
    }

    /// Folds what an answer says of one app. `comparison` is about a full listing: the apps that may differ, and whether
    /// nothing is remembered of any task; `None` for an answer about this app alone. The tasks that were admitted without
    /// memory are counted.
    fn fold_answer(
        &mut self,
        answer: Answer,
        requested: u64,
        comparison: Option<(&BTreeSet<AppId>, bool)>,
        as_of: Option<Timestamp>,
        step: &mut Step<'_>,
    ) -> usize {
        let Answer { id, definition, tasks } = answer;
        if self.dead_apps.get(&id, step.now).is_some_and(|grave| grave.event > requested) {
            // Older than its end. It may have been created anew since: ask.
            self.mark(&id, None, step);
            return 0;
        }
        if self.answered_since(&id, requested) {
            return 0;
        }
        let before = self.apps.get(&id).map(|work| work.entry.clone()).filter(|_| comparison.is_some());
        self.dead_apps.dig(&id);
        let deployments = definition.app.as_ref().map(|app| app.deployments.clone());
        if let Some(deployments) = &deployments {
            self.forget_unready(&id, deployments, step);
        }
        if self.apps.get(&id).is_none_or(|work| work.defined <= requested) {
            self.put_definition(&id, definition, step);
        } else if let (Some(app), Some(deployments)) = (self.definition(&id).app, &deployments)
            && app.deployments != *deployments
        {
            // The event that told the newer definition did not tell of deployments.
            let app = App { deployments: deployments.clone(), ..App::clone(&app) };
            self.put_definition(&id, Definition { app: Some(Arc::new(app)), pod: None }, step);
        }
        if let Some(work) = self.apps.get_mut(&id) {
            work.listed = requested;
        }
        self.confirm_deployments(&id, deployments.as_deref(), requested);
        let mut doubt = self.remove_unlisted(&id, &tasks, requested, step);
        let mut admitted = 0;
        for (task, place) in tasks.into_values() {
            let clock = as_of.unwrap_or_else(|| step.at());
            if comparison.is_some_and(|(_, forgotten)| forgotten) {
                admitted += usize::from(self.admit(&id, &task, clock, step));
            }
            doubt |= self.fold_task(&id, task, place, requested, clock, step);
        }
        if let Some((expected, _)) = comparison {
            match (before, self.apps.get(&id).map(|work| work.entry.clone())) {
                (Some(old), Some(new)) if !Arc::ptr_eq(&old, &new) && !doubt => {
                    self.suspect(&id, suspects::differences(&old, &new), expected, step);
                }
                (None, Some(new)) => self.suspect(&id, 1 + new.tasks.len() as u64, expected, step),
                _ => {}
            }
        }
        if doubt {
            self.mark(&id, None, step);
        } else if self.apps.get(&id).is_some_and(Work::awaits_readiness) {
            self.refetch.poll(&id, self.state.events, step.now + step.settings.readiness_poll);
        }
        admitted
    }

    /// Removes tasks that the answer lacks. `true` if some stay because a later event told of them.
    fn remove_unlisted<T>(
        &mut self,
        id: &AppId,
        listed: &BTreeMap<TaskId, T>,
        requested: u64,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(work) = self.apps.get(id) else { return false };
        let ids = work.entry.tasks.iter().map(|entry| &entry.task.id);
        let unlisted: Vec<TaskId> = ids.filter(|id| !listed.contains_key(*id)).cloned().collect();
        let mut newer = false;
        for task in unlisted {
            if self.memory.get(&task).is_some_and(|memory| memory.event > requested) {
                newer = true;
            } else {
                self.remove_task(id, &task, step);
            }
        }
        newer
    }

    /// Admits a task of whose health nothing is known although it has run for longer than its grace period by Marathon's
    /// own `clock`: Marathon has forgotten the result, and so have we (spec/marathon.md section 8).
    fn admit(&mut self, app: &AppId, task: &AppTask, clock: Timestamp, step: &Step<'_>) -> bool {
        let Some(definition) = self.definition(app).app.filter(|app| app.has_health_checks()) else {
            return false;
        };
        let unknown = task.status == TaskStatus::Running
            && task.health.len() < definition.health_checks.len()
            && task.health.iter().all(|result| result.alive);
        let grace = definition.health_checks.iter().map(|check| check.grace_seconds).fold(0.0, f64::max);
        let grace = Duration::try_from_secs_f64(grace).unwrap_or(Duration::MAX);
        let old = task.started_at.is_some_and(|started| clock.since(started) > grace);
        // Whoever was seen to start is not forgotten but new.
        let memory = self.recall(app, &task.id, step.now, step.settings);
        let admitted = unknown && old && memory.event == 0;
        memory.admitted |= admitted;
        admitted
    }

    /// Folds one listed task. `true` if the answer is not to be believed and must be asked for again.
    fn fold_task(
        &mut self,
        app: &AppId,
        mut task: AppTask,
        place: Option<Arc<PodPlace>>,
        requested: u64,
        clock: Timestamp,
        step: &mut Step<'_>,
    ) -> bool {
        if let Some(grave) = self.dead_tasks.get(&task.id, step.now) {
            // Marathon up to 1.3 may show a task as alive for a moment after it told of its end.
            let settling = grave.certain
                && !task.status.is_terminal()
                && step.now.saturating_sub(grave.at) < step.settings.settle;
            if grave.event > requested || settling {
                return true;
            }
            if !task.status.is_terminal() {
                self.dead_tasks.dig(&task.id);
            }
        }
        task.app = app.clone();
        let known = self.task(app, &task.id).map(|entry| entry.task.clone());
        let window = self.readiness_window(app, step);
        if known.is_none() {
            self.fulfil_omens(app, &task.id, task.version, requested, step);
        }
        let memory = self.recall(app, &task.id, step.now, step.settings);
        memory.place = place;
        if memory.told.is_some_and(|(_, event)| event <= requested) {
            memory.told = None;
        }
        if task.status == TaskStatus::Running {
            memory.confirmed = true;
            let age = task.started_at.map(|started| clock.since(started));
            memory.unready |= task.ready == Some(false);
            let silent = task.ready.is_none() && !memory.unready;
            let waited = memory.unready_until.is_none_or(|since| step.now >= since + window);
            memory.readiness_waived |= silent && waited && age.is_some_and(|age| age >= window);
        }
        let mut newer = memory.told.is_some();
        if memory.event > requested
            && let Some(known) = known
        {
            keep_told(&mut task, known);
            newer = true;
        }
        newer |= self.refute_hint(app, &task.id, &task.status, requested, step);
        self.put_task(app, task, step);
        newer
    }

    /// What an earlier deployment found unready says nothing once none of the app's deployments is under way any more: it
    /// ended because they were ready, or it was cancelled, and then the next one checks them again.
    fn forget_unready(&mut self, app: &AppId, deployments: &[Deployment], step: &Step<'_>) {
        let Some(work) = self.apps.get(app) else { return };
        let Some(known) = work.entry.app.as_ref().map(|app| &app.deployments) else { return };
        if known.is_empty() || known.iter().any(|known| deployments.contains(known)) {
            return;
        }
        for task in &work.entry.tasks {
            if let Some(memory) = self.memory.get_mut(&task.task.id)
                && std::mem::take(&mut memory.unready)
            {
                memory.unready_until = Some(step.now);
            }
        }
    }

    /// For how long after its start a task may be without a readiness result and still get one.
    fn readiness_window(&self, app: &AppId, step: &Step<'_>) -> Duration {
        let definition = self.apps.get(app).and_then(|work| work.entry.app.as_ref());
        let timeouts =
            definition.into_iter().flat_map(|app| &app.readiness_checks).map(|c| c.timeout_seconds);
        let timeout = Duration::try_from_secs_f64(timeouts.fold(0.0, f64::max)).unwrap_or(Duration::MAX);
        timeout.saturating_add(step.settings.readiness_margin)
    }

    fn note_warnings(&self, warnings: &[Warning], step: &mut Step<'_>) {
        if let Some(first) = warnings.first() {
            step.effects.notices.push(Notice::ListingIncomplete {
                source: self.id.clone(),
                parts: warnings.len(),
                first: first.to_string(),
            });
        }
    }

    fn compared(&mut self, step: &mut Step<'_>) {
        self.state.comparisons += 1;
        // Published even if nothing else changed: that it was compared just now is what freshness is about.
        self.changed = true;
        let (source, apps) = (self.id.clone(), self.apps.len());
        match self.state.freshness {
            Freshness::Never => step.effects.notices.push(Notice::SourceComplete { source, apps }),
            Freshness::Stale => step.effects.notices.push(Notice::SourceBack { source }),
            Freshness::Fresh => {}
        }
        self.state.freshness = Freshness::Fresh;
        self.state.last_error = None;
        self.trusted = self.attached;
        self.refetch.resume(step.now);
    }
}

/// Keeps of a known task what later events told, and takes the rest from the older listing.
fn keep_told(listed: &mut AppTask, known: AppTask) {
    listed.status = known.status;
    listed.host = known.host.or(listed.host.take());
    listed.agent = known.agent.or(listed.agent.take());
    listed.version = known.version.or(listed.version);
    if !known.ports.is_empty() {
        listed.ports = known.ports;
    }
    if !known.addresses.is_empty() {
        listed.addresses = known.addresses;
    }
}

/// Whether a warning may mean that whole apps or pods were left out: `apps[3]`, `groups[2]`. A part of an app is named
/// with the app's id after a blank, as in `apps[3] /web: tasks[0]`.
fn hides_an_app(warning: &Warning) -> bool {
    !warning.place.contains(' ')
}

fn of_app(listed: AppListing) -> Answer {
    let AppListing { app, tasks } = listed;
    let tasks = tasks.into_iter().map(|task| (task.id.clone(), (task, None))).collect();
    Answer { id: app.id.clone(), definition: Definition { app: Some(Arc::new(app)), pod: None }, tasks }
}

/// A pod's containers become tasks, and its definition keeps nothing that runs: one truth in one place.
fn of_pod(mut pod: Pod) -> Answer {
    let mut tasks = BTreeMap::new();
    for instance in std::mem::take(&mut pod.running) {
        for container in &instance.containers {
            let place = Arc::new(PodPlace::new(&instance, container));
            let task = container_task(&pod, &instance, container);
            tasks.insert(task.id.clone(), (task, Some(place)));
        }
    }
    Answer { id: pod.id.clone(), definition: Definition { app: None, pod: Some(Arc::new(pod)) }, tasks }
}

fn container_task(pod: &Pod, instance: &PodInstance, container: &PodContainer) -> AppTask {
    let health = container.healthy.map(|alive| mconn_model::HealthResult {
        alive,
        consecutive_failures: 0,
        succeeded_once: alive,
    });
    AppTask {
        id: container.task.clone(),
        app: pod.id.clone(),
        instance: Some(instance.id.clone()),
        host: instance.host.clone(),
        agent: instance.agent.clone(),
        status: container.status.clone(),
        ports: container.host_ports.iter().map(|(_, port)| *port).collect(),
        service_ports: Vec::new(),
        addresses: instance.addresses.iter().map(|(_, address)| IpAddress(*address)).collect(),
        staged_at: None,
        started_at: if container.status == TaskStatus::Running { container.since } else { None },
        version: instance.version.or(pod.version),
        health: health.into_iter().collect(),
        ready: None,
    }
}
