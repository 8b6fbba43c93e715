//! Deployments: plans of steps, and driving them towards their end.
//!
//! Driving looks at what is there and does what is missing, each time something moved; it keeps no list of what it has
//! begun. So a crash, a kill or a lost agent in the middle needs no case of its own.

use super::definition::AppDef;
use super::event::Body;
use super::instance::{Condition, Instance, InstanceId};
use super::path::PathId;
use super::plan::{News, Roots};
use super::view::HealthCheckJson;
use super::{Cluster, Timer};
use crate::time::Time;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is done with one app in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActionKind {
    Start,
    Scale,
    Restart,
    Stop,
}

/// An action as plans write it: the key of the id, and the action's name, tell apps from pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionView {
    pub(crate) action: ActionKind,
    pub(crate) app: PathId,
    /// Whether that is a pod.
    pub(crate) pod: bool,
}

impl ActionView {
    pub(super) fn name(&self) -> &'static str {
        match (self.action, self.pod) {
            (ActionKind::Start, false) => "StartApplication",
            (ActionKind::Scale, false) => "ScaleApplication",
            (ActionKind::Restart, false) => "RestartApplication",
            (ActionKind::Stop, false) => "StopApplication",
            (ActionKind::Start, true) => "StartPod",
            (ActionKind::Scale, true) => "ScalePod",
            (ActionKind::Restart, true) => "RestartPod",
            (ActionKind::Stop, true) => "StopPod",
        }
    }

    pub(super) fn key(&self) -> &'static str {
        if self.pod { "pod" } else { "app" }
    }
}

impl Serialize for ActionView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("action", self.name())?;
        map.serialize_entry(self.key(), &self.app)?;
        map.end()
    }
}

/// A step as plans write it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct StepView {
    pub(crate) actions: Vec<ActionView>,
}

/// A plan.
#[derive(Debug, Clone)]
pub(crate) struct PlanView {
    pub(crate) id: String,
    pub(crate) version: Time,
    pub(crate) steps: Vec<StepView>,
    /// All definitions before and after, where plans are heavy.
    pub(super) roots: Option<Arc<Roots>>,
}

/// A plan that is being carried out.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) plan: PlanView,
    /// What the apps were before; none for those that were not.
    pub(super) original: BTreeMap<PathId, Option<Arc<AppDef>>>,
    kills: BTreeMap<PathId, Vec<InstanceId>>,
    current: usize,
    begun: bool,
    /// Tasks from before are not asked whether they are ready.
    pub(super) since: Time,
    /// The actions of the current step that are done.
    done: BTreeSet<PathId>,
}

/// An app before and after a change.
pub(super) struct Change {
    pub(super) id: PathId,
    pub(super) before: Option<Arc<AppDef>>,
    pub(super) after: Option<Arc<AppDef>>,
    /// Instances that shall go whatever the selection would say.
    pub(super) kills: bool,
}

impl Change {
    fn action(&self, action: ActionKind) -> ActionView {
        let pod = self.after.as_ref().or(self.before.as_ref()).is_some_and(|def| def.pod.is_some());
        ActionView { action, app: self.id.clone(), pod }
    }

    fn kind(&self) -> Option<ActionKind> {
        match (&self.before, &self.after) {
            (None, Some(_)) => Some(ActionKind::Start),
            (Some(_), None) => Some(ActionKind::Stop),
            (Some(before), Some(after))
                if before.version_info.last_config_change_at != after.version_info.last_config_change_at =>
            {
                Some(ActionKind::Restart)
            }
            (Some(before), Some(after)) if before.version != after.version || self.kills => {
                Some(ActionKind::Scale)
            }
            _ => None,
        }
    }
}

/// First everything that stops, then all starts, then scaling and restarting by depth of dependency.
pub(super) fn steps(changes: &[Change]) -> Vec<StepView> {
    let of_kind = |wanted: ActionKind| {
        let matching = changes.iter().filter(|change| change.kind() == Some(wanted));
        let actions = matching.map(|change| change.action(wanted)).collect();
        StepView { actions }
    };
    let mut by_depth: BTreeMap<usize, Vec<ActionView>> = BTreeMap::new();
    for (change, depth) in changes.iter().zip(depths(changes)) {
        let action = match change.kind() {
            Some(ActionKind::Start | ActionKind::Scale) => ActionKind::Scale,
            Some(ActionKind::Restart) => ActionKind::Restart,
            _ => continue,
        };
        by_depth.entry(depth).or_default().push(change.action(action));
    }
    let mut steps = vec![of_kind(ActionKind::Stop), of_kind(ActionKind::Start)];
    steps.extend(by_depth.into_values().map(|actions| StepView { actions }));
    steps.retain(|step| !step.actions.is_empty());
    steps
}

/// How many changed apps have to be there before each one.
fn depths(changes: &[Change]) -> Vec<usize> {
    /// Marathon refuses circles of dependencies; here they end when this depth is reached.
    const DEPTH_MAX: usize = 16;
    let mut depths = vec![0; changes.len()];
    for _ in 0..DEPTH_MAX {
        let before = depths.clone();
        for (index, change) in changes.iter().enumerate() {
            let Some(after) = change.after.as_ref().filter(|after| !after.dependencies.is_empty()) else {
                continue;
            };
            let first = |other: &Change| {
                other.id != change.id
                    && after
                        .dependencies
                        .iter()
                        .any(|wanted| other.id == *wanted || other.id.is_below(wanted))
            };
            let needed =
                changes.iter().zip(&before).filter(|(other, _)| first(other)).map(|(_, depth)| depth + 1);
            depths[index] = needed.max().unwrap_or(0);
        }
        if depths == before {
            break;
        }
    }
    depths
}

/// How many outdated instances may still be there when `ready` of the new ones are.
fn old_allowed(def: &AppDef, ready: usize) -> usize {
    let wanted = f64::from(def.instances);
    let minimum = (wanted * def.upgrade_strategy.minimum_health_capacity.0).ceil() as usize;
    let minimum = if is_tight(def) && is_resident(def) { minimum.saturating_sub(1) } else { minimum };
    minimum.saturating_sub(ready)
}

/// How many instances may be there in all during an update.
fn total_allowed(def: &AppDef) -> usize {
    let wanted = f64::from(def.instances);
    let over = (wanted * def.upgrade_strategy.maximum_over_capacity.0).floor() as usize;
    def.instances as usize + over + usize::from(is_tight(def) && !is_resident(def))
}

/// Both bounds are the wanted number itself: without one more, or one less, nothing could move.
fn is_tight(def: &AppDef) -> bool {
    let wanted = f64::from(def.instances);
    let minimum = (wanted * def.upgrade_strategy.minimum_health_capacity.0).ceil();
    minimum == wanted && (wanted * def.upgrade_strategy.maximum_over_capacity.0).floor() == 0.0
}

fn is_resident(def: &AppDef) -> bool {
    def.residency.is_some()
}

/// The `count` instances of `candidates` that go first.
fn select_victims(mut candidates: Vec<&Instance>, count: usize, def: &AppDef, now: Time) -> Vec<InstanceId> {
    let oldest_first = def.kill_selection == "OLDEST_FIRST";
    candidates.sort_by_key(|instance| {
        let age = now.since(instance.started_at.or(instance.staged_at).unwrap_or(instance.since)).as_millis();
        let age = if oldest_first { u128::MAX - age } else { age };
        (instance.condition.kill_rank(), instance.is_ready(now), age, instance.id.clone())
    });
    candidates.into_iter().take(count).map(|instance| instance.id.clone()).collect()
}

impl Deployment {
    pub(super) fn new(
        plan: PlanView,
        original: BTreeMap<PathId, Option<Arc<AppDef>>>,
        kills: BTreeMap<PathId, Vec<InstanceId>>,
        since: Time,
    ) -> Deployment {
        Deployment { plan, original, kills, current: 0, begun: false, since, done: BTreeSet::new() }
    }

    /// The index of the step that is being carried out.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    pub(super) fn affects(&self, app: &PathId) -> bool {
        self.original.contains_key(app)
    }

    fn works_on(&self, app: &PathId) -> bool {
        self.plan
            .steps
            .get(self.current)
            .is_some_and(|step| step.actions.iter().any(|action| action.app == *app))
    }
}

impl Cluster {
    /// Lets the deployments that wait for `app` go on.
    pub(super) fn drive_app(&mut self, app: &PathId) {
        let waiting = self.deployments.iter().filter(|found| found.works_on(app));
        let ids: Vec<String> = waiting.map(|found| found.plan.id.clone()).collect();
        for id in ids {
            self.drive(&id, Some(app));
        }
    }

    /// Lets a deployment go on where `moved` has changed; none is everywhere.
    pub(super) fn drive(&mut self, id: &str, moved: Option<&PathId>) {
        let Some(at) = self.deployments.iter().position(|found| found.plan.id == id) else { return };
        let mut deployment = self.deployments.remove(at);
        if self.go_on(&mut deployment, moved) {
            self.emit_plan(&deployment.plan, News::Succeeded);
        } else {
            self.deployments.insert(at, deployment);
        }
    }

    /// Does what can be done now; true once all steps are done. A plan may have thousands of actions in one step, so
    /// only those of `moved` are looked at, except when a step begins.
    fn go_on(&mut self, deployment: &mut Deployment, moved: Option<&PathId>) -> bool {
        while let Some(step) = deployment.plan.steps.get(deployment.current) {
            let begins = !deployment.begun;
            let concerned = |action: &&ActionView| begins || moved.is_none_or(|moved| action.app == *moved);
            let actions: Vec<ActionView> = step.actions.iter().filter(concerned).cloned().collect();
            if begins {
                self.emit_plan(&deployment.plan, News::Begins(step));
                deployment.begun = true;
                for action in &actions {
                    self.begin_action(deployment, action);
                }
            }
            for action in &actions {
                if !deployment.done.contains(&action.app) && self.drive_action(action) {
                    deployment.done.insert(action.app.clone());
                }
            }
            let Some(step) = deployment.plan.steps.get(deployment.current) else { return true };
            if deployment.done.len() < step.actions.len() {
                return false;
            }
            self.emit_plan(&deployment.plan, News::Done(step));
            deployment.current += 1;
            deployment.begun = false;
            deployment.done.clear();
        }
        true
    }

    fn begin_action(&mut self, deployment: &mut Deployment, action: &ActionView) {
        let original = deployment.original.get(&action.app).cloned().flatten();
        match action.action {
            ActionKind::Start => self.tell_checks(&action.app),
            // A started app has told its checks in the step before.
            ActionKind::Scale if original.is_none() => {}
            ActionKind::Scale | ActionKind::Restart => self.tell_checks(&action.app),
            ActionKind::Stop => {
                if original.is_some_and(|def| !def.health_checks.is_empty() && def.pod.is_none()) {
                    self.emit(&Body::RemoveHealthCheck { app_id: &action.app });
                }
            }
        }
        for id in deployment.kills.remove(&action.app).unwrap_or_default() {
            self.kill(&id, true);
        }
    }

    /// `add_health_check_event` for each check of the app.
    pub(super) fn tell_checks(&mut self, app: &PathId) {
        let Some(def) = self.target(app).map(|app| app.def.clone()).filter(|def| def.pod.is_none()) else {
            return;
        };
        let shape = self.options.profile.apps;
        for check in &def.health_checks {
            let health_check = HealthCheckJson { check, shape: &shape };
            self.emit(&Body::AddHealthCheck { app_id: app, version: def.version, health_check });
        }
    }

    fn drive_action(&mut self, action: &ActionView) -> bool {
        let def = self.target(&action.app).map(|app| app.def.clone());
        match (action.action, def) {
            (ActionKind::Stop, _) => self.drive_stop(&action.app),
            (ActionKind::Start, _) | (_, None) => true,
            (ActionKind::Scale, Some(def)) => self.drive_scale(&def),
            (ActionKind::Restart, Some(def)) => self.drive_restart(&def),
        }
    }

    fn drive_stop(&mut self, app: &PathId) -> bool {
        self.kill_all(app);
        let gone = self.instances_of(app).all(|found| found.condition == Condition::UnreachableInactive);
        if gone {
            self.tell_terminated(app);
        }
        gone
    }

    fn drive_scale(&mut self, def: &Arc<AppDef>) -> bool {
        let wanted = def.instances as usize;
        let live: Vec<&Instance> = self.instances_of(&def.id).filter(|found| !found.decommissioned).collect();
        let count = live.len();
        let ready = live.iter().filter(|found| found.is_ready(self.now)).count();
        let victims = select_victims(live, count.saturating_sub(wanted), def, self.now);
        for id in &victims {
            self.kill(id, true);
        }
        for _ in count..wanted {
            self.launch(def);
        }
        count == wanted && ready == wanted && !self.has_leaving(&def.id)
    }

    fn drive_restart(&mut self, def: &Arc<AppDef>) -> bool {
        let wanted = def.instances as usize;
        let now = self.now;
        let live = self.instances_of(&def.id).filter(|found| !found.decommissioned);
        let (old, new): (Vec<&Instance>, Vec<&Instance>) = live.partition(|found| found.is_outdated(def));
        let (old_count, new_count) = (old.len(), new.len());
        let ready = new.iter().filter(|found| found.is_ready(now)).count();
        let mut victims = select_victims(old, old_count.saturating_sub(old_allowed(def, ready)), def, now);
        victims.extend(select_victims(new, new_count.saturating_sub(wanted), def, now));
        for id in &victims {
            self.kill(id, true);
        }
        // Tasks that are being killed still hold their resources.
        let present = self
            .instances_of(&def.id)
            .filter(|found| found.condition != Condition::UnreachableInactive)
            .count();
        let room = total_allowed(def).saturating_sub(present);
        for _ in 0..wanted.saturating_sub(new_count).min(room) {
            self.launch(def);
        }
        old_count == 0 && new_count == wanted && ready == wanted && !self.has_leaving(&def.id)
    }

    fn has_leaving(&self, app: &PathId) -> bool {
        self.instances_of(app)
            .any(|found| found.decommissioned && found.condition != Condition::UnreachableInactive)
    }

    /// Without a deployment: what one that was cancelled has left undone.
    pub(super) fn check_scale(&mut self, app: &PathId) {
        if self.deployments_of(app).next().is_some() {
            return;
        }
        match self.target(app).map(|app| app.def.clone()) {
            Some(def) => drop(self.drive_scale(&def)),
            None => self.kill_all(app),
        }
    }

    fn kill_all(&mut self, app: &PathId) {
        let ids: Vec<InstanceId> = self
            .instances_of(app)
            .filter(|found| !found.decommissioned)
            .map(|found| found.id.clone())
            .collect();
        for id in ids {
            self.kill(&id, true);
        }
    }

    /// Ends a deployment before its time; things stay as they are until the next scale check.
    pub(super) fn abandon(&mut self, id: &str, reason: &str) {
        let Some(at) = self.deployments.iter().position(|found| found.plan.id == id) else { return };
        let deployment = self.deployments.remove(at);
        self.emit_plan(&deployment.plan, News::Failed(reason));
        let period = self.scaled(self.options.timeline.scale_check);
        for app in deployment.original.into_keys() {
            self.set_timer(period, Timer::ScaleCheck(app));
        }
    }

    /// The ids of the deployments that change `app`.
    pub(super) fn deployments_of(&self, app: &PathId) -> impl Iterator<Item = &str> {
        self.deployments.iter().filter(|found| found.affects(app)).map(|found| found.plan.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use serde_json::{Value, json};

    fn app(instances: u32, minimum: f64, over: f64) -> AppDef {
        let body = json!({"cmd": "x", "instances": instances,
            "upgradeStrategy": {"minimumHealthCapacity": minimum, "maximumOverCapacity": over}});
        let Value::Object(map) = body else { unreachable!() };
        super::super::parse::definition(map, &PathId::lenient("/a"), Time(1), &Profile::v1_8())
            .expect("valid")
    }

    #[test]
    fn bounds_of_rolling_updates() {
        let table = [
            // instances, min, over -> old allowed with 0 and 1 ready, total allowed
            (4, 0.25, 0.25, 1, 0, 5),
            (4, 1.0, 1.0, 4, 3, 8),
            (4, 1.0, 0.0, 4, 3, 5),
            (3, 0.5, 0.0, 2, 1, 3),
            (0, 1.0, 1.0, 0, 0, 1),
        ];
        for (instances, minimum, over, none_ready, one_ready, total) in table {
            let def = app(instances, minimum, over);
            let found = (old_allowed(&def, 0), old_allowed(&def, 1), total_allowed(&def));
            assert_eq!(found, (none_ready, one_ready, total), "{instances} {minimum} {over}");
        }
    }
}
