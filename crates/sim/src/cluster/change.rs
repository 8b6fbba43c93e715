//! Writes to apps: from a request to new definitions, a deployment, and their publication.

use super::answer::Answer;
use super::definition::AppDef;
use super::deployment::{Change, Deployment, PlanView, steps};
use super::event::Body;
use super::fields::Fault;
use super::group::Group;
use super::instance::InstanceId;
use super::path::PathId;
use super::plan::News;
use super::pod::PodWrite;
use super::step::{Caller, Effect, Ticket};
use super::view::AppJson;
use super::{App, Cluster, HISTORY_MAX, Timer, parse};
use crate::time::Time;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Instances of all apps together. A simulation is one process; five times the largest cluster we measure is enough.
pub(super) const INSTANCES_MAX: u64 = 250_000;
/// `--max_running_deployments`
const RUNNING_DEPLOYMENTS_MAX: usize = 100;

/// The parameters that `PUT` and `PATCH` share.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub(super) force: bool,
    /// Only the given fields change.
    pub(super) partial: bool,
    /// An app that does not exist is created.
    pub(super) create: bool,
}

/// What a write wants.
pub(super) struct Proposal {
    pub(super) version: Time,
    force: bool,
    pub(super) changes: BTreeMap<PathId, Option<Arc<AppDef>>>,
    pub(super) kills: BTreeMap<PathId, Vec<InstanceId>>,
    /// What `group_change_success` names; none is the parent of the changed apps.
    pub(super) group: Option<PathId>,
    pub(super) added_groups: BTreeMap<PathId, Group>,
    pub(super) removed_groups: Vec<PathId>,
    /// Who posted which app, for `api_post_event`.
    pub(super) post: Option<(Caller, PathId)>,
    /// Who did what to which pod, for `pod_..._event` and the answer.
    pub(super) pod: Option<PodWrite>,
    pub(super) status: u16,
    /// The answer is the app, not the result.
    pub(super) answers_app: bool,
}

impl Proposal {
    pub(super) fn new(version: Time, force: bool) -> Proposal {
        Proposal {
            version,
            force,
            changes: BTreeMap::new(),
            kills: BTreeMap::new(),
            group: None,
            added_groups: BTreeMap::new(),
            removed_groups: Vec::new(),
            post: None,
            pod: None,
            status: 200,
            answers_app: false,
        }
    }

    pub(super) fn set(&mut self, def: Arc<AppDef>) {
        self.changes.insert(def.id.clone(), Some(def));
    }
}

/// A change that is decided but not yet visible.
#[derive(Debug)]
pub(super) struct Publication {
    ticket: Ticket,
    version: Time,
    deployment: String,
    /// A plan without steps, whose success is told after the change.
    empty_plan: Option<PlanView>,
    changes: BTreeMap<PathId, Option<Arc<AppDef>>>,
    group: PathId,
    added_groups: BTreeMap<PathId, Group>,
    removed_groups: Vec<PathId>,
    post: Option<(Caller, PathId)>,
    pod: Option<PodWrite>,
    status: u16,
    answers_app: bool,
}

type Outcome = Result<Option<Answer>, Answer>;

pub(super) fn object(body: Value) -> Result<Map<String, Value>, Answer> {
    match body {
        Value::Object(map) => Ok(map),
        _ => Err(Answer::invalid_json(vec![Fault {
            path: "/".into(),
            error: "error.expected.jsobject".into(),
        }])),
    }
}

/// The id a definition brings along, seen from `group`.
pub(super) fn id_of(body: &Map<String, Value>, group: &PathId) -> Result<PathId, Answer> {
    let fault = |error: &str| Answer::invalid_json(vec![Fault { path: "/id".into(), error: error.into() }]);
    match body.get("id") {
        Some(Value::String(text)) => Ok(group.resolve(text)),
        Some(_) => Err(fault("error.expected.jsstring")),
        None => Err(fault("error.path.missing")),
    }
}

impl Cluster {
    pub(super) fn create_app(&mut self, ticket: Ticket, body: Value, force: bool, caller: Caller) -> Outcome {
        let body = object(body)?;
        let id = id_of(&body, &PathId::root())?;
        if let Some(found) = self.target(&id) {
            let kind = if found.def.pod.is_some() { "A pod" } else { "An app" };
            return Err(Answer::message(409, format!("{kind} with id [{id}] already exists.")));
        }
        let version = self.next_version();
        let mut proposal = Proposal::new(version, force);
        let mut used = self.used_service_ports();
        proposal.set(self.new_definition(body, &id, version, &mut used)?);
        proposal.post = Some((caller, id));
        proposal.status = 201;
        proposal.answers_app = true;
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(super) fn update_app(
        &mut self,
        ticket: Ticket,
        id: &PathId,
        body: Value,
        mode: Mode,
        caller: Caller,
    ) -> Outcome {
        let body = object(body)?;
        self.refuse_pod(id)?;
        let version = self.next_version();
        let mut proposal = Proposal::new(version, mode.force);
        proposal.status = if self.target(id).is_some() { 200 } else { 201 };
        let mut used = self.used_service_ports();
        proposal.set(self.changed_definition(body, id, mode, version, &mut used)?);
        proposal.post = Some((caller, id.clone()));
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(super) fn update_apps(&mut self, ticket: Ticket, body: Value, mode: Mode) -> Outcome {
        let Value::Array(bodies) = body else {
            return Err(Answer::invalid_json(vec![Fault {
                path: "/".into(),
                error: "error.expected.jsarray".into(),
            }]));
        };
        let version = self.next_version();
        let mut proposal = Proposal::new(version, mode.force);
        // Shared, as two apps of one request must not get the same free number.
        let mut used = self.used_service_ports();
        for body in bodies {
            let body = object(body)?;
            let id = id_of(&body, &PathId::root())?;
            self.refuse_pod(&id)?;
            proposal.set(self.changed_definition(body, &id, mode, version, &mut used)?);
        }
        proposal.group = Some(PathId::root());
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(super) fn delete_app(&mut self, ticket: Ticket, id: &PathId, force: bool, caller: Caller) -> Outcome {
        if self.target(id).is_none_or(|found| found.def.pod.is_some()) {
            return Err(Answer::missing("App", id));
        }
        let version = self.next_version();
        let mut proposal = Proposal::new(version, force);
        proposal.changes.insert(id.clone(), None);
        proposal.post = self.options.profile.events.post_on_delete.then(|| (caller, id.clone()));
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(super) fn restart_app(&mut self, ticket: Ticket, id: &PathId, force: bool) -> Outcome {
        let Some(app) = self.target(id).filter(|found| found.def.pod.is_none()) else {
            return Err(Answer::missing("App", id));
        };
        let mut def = (*app.def).clone();
        let version = self.next_version();
        def.version = version;
        def.version_info.last_scaling_at = version;
        def.version_info.last_config_change_at = version;
        let mut proposal = Proposal::new(version, force);
        proposal.set(Arc::new(def));
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(super) fn cancel_deployment(&mut self, ticket: Ticket, id: &str, force: bool) -> Outcome {
        let Some(found) = self.deployments.iter().find(|found| found.plan.id == id) else {
            return Err(Answer::message(404, format!("DeploymentPlan {id} does not exist")));
        };
        if force {
            self.abandon(id, "The deployment was cancelled.");
            return Ok(Some(Answer::empty(202)));
        }
        let original = found.original.clone();
        let version = self.next_version();
        let mut proposal = Proposal::new(version, true);
        for (app, def) in original {
            match def {
                Some(def) => proposal.set(self.stamp((*def).clone(), version)),
                None => {
                    proposal.changes.insert(app, None);
                }
            }
        }
        self.propose(ticket, proposal).map(|()| None)
    }

    /// Reads the definition of a new app.
    pub(super) fn new_definition(
        &self,
        body: Map<String, Value>,
        id: &PathId,
        version: Time,
        used: &mut BTreeSet<u16>,
    ) -> Result<Arc<AppDef>, Answer> {
        let mut def = parse::definition(body, id, version, &self.options.profile)?;
        let taken = |group: &PathId| self.groups.contains_key(group);
        if taken(id) || id.ancestors().iter().any(|group| self.target(group).is_some()) {
            let error = format!("Groups and Applications may not have the same identifier: {id}");
            return Err(Answer::invalid_object(vec![Fault { path: "/id".into(), error }]));
        }
        self.assign_service_ports(&mut def, None, used).map_err(|error| Answer::message(422, error))?;
        Ok(Arc::new(def))
    }

    /// Reads a change of an app, or the definition of a new one.
    pub(super) fn changed_definition(
        &self,
        body: Map<String, Value>,
        id: &PathId,
        mode: Mode,
        version: Time,
        used: &mut BTreeSet<u16>,
    ) -> Result<Arc<AppDef>, Answer> {
        let Some(app) = self.target(id) else {
            return if mode.create {
                self.new_definition(body, id, version, used)
            } else {
                Err(Answer::missing("App", id))
            };
        };
        let current = app.def.clone();
        if let (1, Some(wanted)) = (body.len(), body.get("version")) {
            return self.earlier_definition(id, wanted, version);
        }
        let mut def = if mode.partial {
            parse::updated(&current, body, version, &self.options.profile)?
        } else {
            parse::definition(body, id, version, &self.options.profile)?
        };
        self.assign_service_ports(&mut def, Some(&current), used)
            .map_err(|error| Answer::message(422, error))?;
        Ok(self.stamp(def, version))
    }

    /// `{"version": ...}` alone goes back to what the app was then.
    fn earlier_definition(&self, id: &PathId, wanted: &Value, version: Time) -> Result<Arc<AppDef>, Answer> {
        let history = self.target(id).map(|app| app.history.as_slice()).unwrap_or_default();
        let text = wanted.as_str().unwrap_or_default();
        let found = history.iter().find(|def| def.version.to_string() == text);
        let missing = || Answer::message(404, format!("App '{id}' does not exist in version {text}"));
        found.map(|def| self.stamp((**def).clone(), version)).ok_or_else(missing)
    }

    /// Gives a definition its version: the old one if nothing changed.
    pub(super) fn stamp(&self, mut def: AppDef, version: Time) -> Arc<AppDef> {
        let Some(current) = self.target(&def.id).map(|app| &app.def) else {
            def.version = version;
            def.version_info.last_scaling_at = version;
            def.version_info.last_config_change_at = version;
            return Arc::new(def);
        };
        let config = current.differs_in_config(&def);
        if !config && current.instances == def.instances {
            return current.clone();
        }
        def.version = version;
        def.version_info = current.version_info;
        def.version_info.last_scaling_at = version;
        if config {
            def.version_info.last_config_change_at = version;
        }
        Arc::new(def)
    }

    /// Begins the deployment of a change, or says what stands against it.
    pub(super) fn propose(&mut self, ticket: Ticket, proposal: Proposal) -> Result<(), Answer> {
        self.check_size(&proposal)?;
        let changes: Vec<Change> = proposal
            .changes
            .iter()
            .map(|(id, after)| Change {
                id: id.clone(),
                before: self.target(id).map(|app| app.def.clone()),
                after: after.clone(),
                kills: proposal.kills.contains_key(id),
            })
            .collect();
        let steps = steps(&changes);
        let moved = |change: &&Change| {
            steps.iter().flat_map(|step| &step.actions).any(|action| action.app == change.id)
        };
        let original: BTreeMap<_, _> =
            changes.iter().filter(moved).map(|change| (change.id.clone(), change.before.clone())).collect();
        self.make_way(original.keys(), proposal.force)?;
        let before = self.root_before();
        for (id, after) in &proposal.changes {
            self.adopt(id, after.as_ref());
        }
        let roots = self.roots(before, &proposal);
        let plan = PlanView { id: self.uuid(), version: proposal.version, steps, roots };
        let id = plan.id.clone();
        let empty_plan = plan.steps.is_empty().then(|| plan.clone());
        if empty_plan.is_none() {
            self.deployments.push(Deployment::new(plan, original, proposal.kills, self.now));
            self.drive(&id, None);
        }
        let parent = proposal.changes.keys().next().map_or_else(PathId::root, PathId::parent);
        self.publish_later(Publication {
            ticket,
            version: proposal.version,
            deployment: id,
            empty_plan,
            changes: proposal.changes,
            group: proposal.group.unwrap_or(parent),
            added_groups: proposal.added_groups,
            removed_groups: proposal.removed_groups,
            post: proposal.post,
            pod: proposal.pod,
            status: proposal.status,
            answers_app: proposal.answers_app,
        });
        Ok(())
    }

    /// Refuses what would not fit into this process.
    fn check_size(&self, proposal: &Proposal) -> Result<(), Answer> {
        let kept = self.apps.iter().filter(|(id, app)| !app.deleted && !proposal.changes.contains_key(*id));
        let changed = proposal.changes.values().flatten();
        let total: u64 =
            kept.map(|(_, app)| &app.def).chain(changed).map(|def| u64::from(def.instances)).sum();
        if total > INSTANCES_MAX {
            return Err(Answer::message(422, format!("at most {INSTANCES_MAX} instances are simulated")));
        }
        Ok(())
    }

    /// Deals with deployments that change the same apps: they forbid it, or are cancelled by force.
    fn make_way<'a>(&mut self, apps: impl Iterator<Item = &'a PathId>, force: bool) -> Result<(), Answer> {
        let mut locking: Vec<String> =
            apps.flat_map(|app| self.deployments_of(app)).map(str::to_owned).collect();
        locking.sort();
        locking.dedup();
        if !locking.is_empty() && !force {
            return Err(Answer::locked(&locking));
        }
        let limited = self.options.profile.deployment_limit;
        if limited && self.deployments.len() - locking.len() >= RUNNING_DEPLOYMENTS_MAX {
            let message =
                format!("Max number ({RUNNING_DEPLOYMENTS_MAX}) of running deployments is achieved");
            return Err(Answer::message(403, message));
        }
        for id in locking {
            self.abandon(&id, "The deployment was superseded by another one.");
        }
        Ok(())
    }

    /// Makes a definition the one that deployments work towards.
    fn adopt(&mut self, id: &PathId, after: Option<&Arc<AppDef>>) {
        match after {
            None => {
                if let Some(app) = self.apps.get_mut(id) {
                    app.deleted = true;
                }
            }
            Some(def) => {
                let app = self.apps.entry(id.clone()).or_insert_with(|| App::new(def.clone()));
                app.deleted = false;
                app.def = def.clone();
                if app.history.last().is_none_or(|last| last.version != def.version) {
                    app.history.push(def.clone());
                    if app.history.len() > HISTORY_MAX {
                        app.history.remove(0);
                    }
                }
            }
        }
        self.dirty.insert(id.clone());
    }

    fn publish_later(&mut self, publication: Publication) {
        let span = self.options.timeline.visibility_lag;
        let delay = self.draw(span);
        self.sequence += 1;
        let number = self.sequence;
        self.publications.insert(number, publication);
        self.set_timer(delay, Timer::Publish(number));
    }

    /// A change becomes visible; only now its request is answered. Earlier ones are never overtaken.
    pub(super) fn publish(&mut self, number: u64) {
        while let Some(entry) = self.publications.first_entry().filter(|entry| *entry.key() <= number) {
            let publication = entry.remove();
            self.publish_one(publication);
        }
    }

    fn publish_one(&mut self, publication: Publication) {
        // Of a deleted app: what it was, as soon nothing is left of it.
        let gone = publication.post.as_ref().and_then(|(_, id)| {
            let deleted = publication.changes.get(id)?.is_none();
            self.apps.get(id).filter(|_| deleted)?.visible.clone()
        });
        for (id, def) in &publication.changes {
            match def {
                Some(def) => {
                    self.add_ancestors(id, publication.version);
                    if let Some(app) = self.apps.get_mut(id) {
                        app.visible = Some(def.clone());
                    }
                }
                None => self.hide(id),
            }
        }
        for (id, group) in publication.added_groups {
            self.add_ancestors(&id, publication.version);
            self.groups.insert(id, group);
        }
        for id in &publication.removed_groups {
            self.groups.remove(id);
        }
        self.touch_groups(&publication.group, publication.version);
        self.emit(&Body::GroupChangeSuccess { group_id: &publication.group, version: publication.version });
        let posted = publication.post.and_then(|(caller, id)| {
            let def = gone.or_else(|| self.target(&id)?.visible.clone())?;
            Some((caller, def))
        });
        if let Some((caller, def)) = &posted {
            let shape = self.options.profile.apps;
            let app_definition = AppJson { def, shape: &shape };
            self.emit(&Body::ApiPost { client_ip: &caller.client_ip, uri: &caller.uri, app_definition });
        }
        if let Some(pod) = &publication.pod {
            self.tell_pod_write(pod);
        }
        if let Some(plan) = &publication.empty_plan {
            self.emit_plan(plan, News::Succeeded);
        }
        let mut answer = match (&publication.pod, &posted) {
            (Some(pod), _) => self.pod_answer(pod, &publication.deployment),
            (None, Some((_, def))) if publication.answers_app => {
                self.created_answer(def, &publication.deployment)
            }
            _ => Answer::accepted(publication.status, publication.version, &publication.deployment),
        };
        answer.deployment = Some(publication.deployment);
        self.effects.push(Effect::Answer(publication.ticket, answer));
    }

    /// A deleted app leaves the readers' sight, though its tasks may still be dying.
    fn hide(&mut self, id: &PathId) {
        match self.apps.get_mut(id) {
            Some(app) if !app.deleted => app.visible = None,
            _ => {
                self.apps.remove(id);
            }
        }
    }
}
