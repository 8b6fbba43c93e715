//! What reaches the catalog, and whom it speaks against.

use std::time::Duration;

use mconn_model::Snapshot;
use mconn_sim::cluster::Cluster;

use super::Truth;
use super::meaning::{At, Meaning};

/// An instance's event and its task's own come together; what is missing of them can come this much later.
const UNCLEAR: Duration = Duration::from_secs(10);

/// What an answer of Marathon shows, noted when it was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Events delivered when the request was sent.
    asked: u64,
    /// Tasks that are not good: reason enough to take them out.
    against: Vec<At>,
    /// Tasks that had run and are not shown as running, with whether their app is shown.
    going: Vec<(At, bool)>,
    /// Tasks whose readiness check has not passed.
    unready: Vec<At>,
    /// The apps that it shows, with whether a deployment is changing them.
    deploying: Vec<(String, bool)>,
    /// The definitions that it shows.
    configs: Vec<(String, u64)>,
}

impl Truth {
    /// An event was delivered; `twisted` if it was a copy, or came out of order. Says what it was the first hint of.
    pub(in super::super) fn deliver(
        &mut self,
        number: usize,
        twisted: bool,
        now: Duration,
        published: &Snapshot,
    ) -> Option<&'static str> {
        self.delivered += 1;
        let again = std::mem::replace(&mut self.emitted[number].delivered, true);
        let meaning = self.emitted[number].meaning.clone();
        if let Some(at) = meaning.task() {
            let nth = self.emitted[number].nth;
            let task = &mut self.tasks[at];
            if nth != task.in_order + 1 {
                task.unclear = now + UNCLEAR;
            }
            task.in_order = task.in_order.max(nth);
            // That one of several checks has passed says nothing of the task, so an older answer counts more.
            if !matches!(meaning, Meaning::Health { alive: true, whole: false, .. }) {
                self.tasks[at].heard = self.delivered;
            }
            self.app_heard.insert(self.tasks[at].app.clone(), self.delivered);
        }
        match &meaning {
            // A condition that is told a second time, or without the state before it, looks like a changed goal.
            Meaning::Condition { task, hint: false, .. } if twisted || again || self.lacks_status(number) => {
                self.tasks[*task].doubted = true;
            }
            Meaning::Health { task, alive: false, .. } => self.tasks[*task].doubted = true,
            // It names the instance alone: whoever has not been told of the new task takes it for the one before.
            Meaning::Health { task, alive: true, .. } => self.mislead(*task, now),
            Meaning::Stop { apps, .. } => {
                self.deploying.extend(apps.iter().cloned());
                apps.iter().for_each(|app| self.hear(app, twisted || again));
            }
            Meaning::Deployment { apps, over: false } => self.deploying.extend(apps.iter().cloned()),
            Meaning::Deployment { apps, over: true } => {
                apps.iter().for_each(|app| _ = self.deploying.remove(app));
            }
            Meaning::Terminated { app, .. } => self.hear(app, twisted || again),
            Meaning::Written { app, config } => {
                self.app_heard.insert(app.clone(), self.delivered);
                self.configs.insert((app.clone(), *config));
            }
            Meaning::Other { app: Some(app) } => {
                self.app_heard.insert(app.clone(), self.delivered);
            }
            _ => {}
        }
        let mut news = None;
        let recognised = match &meaning {
            // Without a deployment a repeated condition says nothing.
            Meaning::Goal { before, task } => {
                let task = &self.tasks[*task];
                let deploying = self.deploying.contains(&task.app);
                let known =
                    published.apps.values().flat_map(|app| &app.tasks).any(|known| known.task.id == task.id);
                self.emitted[*before].delivered && !twisted && deploying && known && task.unclear < now
            }
            _ => true,
        };
        for &at in meaning.going() {
            let task = &mut self.tasks[at];
            if number < task.valid_from {
                task.doubted = true;
                continue;
            }
            task.doubted = true;
            if recognised && task.told.is_none() {
                task.told = Some((now, meaning.name()));
                news = Some(meaning.name());
            }
        }
        news
    }

    /// The status event that comes right before a condition was not delivered.
    fn lacks_status(&self, number: usize) -> bool {
        let before = number.checked_sub(1).map(|before| &self.emitted[before]);
        !before.is_some_and(|before| matches!(before.meaning, Meaning::Status { .. }) && before.delivered)
    }

    /// Tasks of the same instance whose end was not told count as having been ready.
    fn mislead(&mut self, task: At, now: Duration) {
        let instance = |id: &str| id.rsplit_once("._app.").map(|(instance, _)| instance.to_owned());
        let of = instance(self.tasks[task].id.as_str());
        for at in self.open.iter().copied().filter(|at| *at != task) {
            if instance(self.tasks[at].id.as_str()) == of {
                self.tasks[at].first_ready.get_or_insert(now);
            }
        }
    }

    /// An app goes. Told late, that may speak against tasks of its successor.
    fn hear(&mut self, app: &str, late: bool) {
        self.app_heard.insert(app.to_owned(), self.delivered);
        for &at in self.open.iter().filter(|_| late) {
            if self.tasks[at].app == app {
                self.tasks[at].doubted = true;
            }
        }
    }

    /// Marathon writes an answer now, to a request that was sent when so many events were delivered.
    pub(in super::super) fn view(&self, cluster: &Cluster, app: Option<&str>, asked: u64) -> View {
        let mut view = View { asked, ..View::default() };
        for shown in cluster.app_glances().filter(|shown| app.is_none_or(|app| app == shown.id.as_str())) {
            if shown.visible.is_some() {
                view.deploying.push((shown.id.as_str().to_owned(), shown.deploying));
            }
            view.configs.extend(shown.config.map(|config| (shown.id.as_str().to_owned(), config.0)));
        }
        for &at in &self.open {
            let task = &self.tasks[at];
            if app.is_some_and(|app| app != task.app) {
                continue;
            }
            if !task.good {
                view.against.push(at);
            }
            if !task.ready {
                view.unready.push(at);
            }
            if task.leaving.is_some() {
                let shown = self.app_changed.get(&task.app).is_some_and(|(_, state)| state.0.is_some());
                view.going.push((at, shown));
            }
        }
        view
    }

    /// What speaks against tasks in an answer that is about to be folded.
    pub(in super::super) fn doubt(&mut self, view: &View) {
        // Of readiness nothing is heard but by answers, so the last one counts, whatever events came since.
        for &at in &view.unready {
            self.tasks[at].doubted = true;
        }
        for &at in &view.against {
            let task = &mut self.tasks[at];
            task.doubted |= task.heard <= view.asked;
        }
    }

    /// An answer was folded. `held` if the catalog does not believe that apps are gone yet. Says whether it told
    /// something new.
    pub(in super::super) fn answered(&mut self, view: &View, held: bool, now: Duration) -> bool {
        self.configs.extend(view.configs.iter().cloned());
        for (app, deploying) in &view.deploying {
            if *deploying {
                self.deploying.insert(app.clone());
            } else {
                self.deploying.remove(app);
            }
        }
        let mut news = false;
        for &(at, shown) in &view.going {
            let app = self.app_heard.get(&self.tasks[at].app).copied().unwrap_or(0);
            let task = &mut self.tasks[at];
            let newer = if shown { task.heard > view.asked } else { app > view.asked };
            // It may have come back meanwhile.
            if newer || held || task.hint.is_none() || task.told.is_some() {
                continue;
            }
            task.told = Some((now, "told by an answer"));
            news = true;
        }
        news
    }
}
