//! The tree of groups, and writes to it.

use super::answer::Answer;
use super::change::{Proposal, id_of};
use super::deployment::{Change, steps};
use super::fields::Fault;
use super::path::PathId;
use super::plan::StepJson;
use super::pod::PodStatus;
use super::query::Embeds;
use super::step::Ticket;
use super::view::AppView;
use super::{App, Cluster, change};
use crate::time::Time;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Groups in groups in one request. Deeper ones are a mistake, and reading them recurses.
const DEPTH_MAX: usize = 32;

/// A group. Its apps and groups are found by their ids.
#[derive(Debug, Clone)]
pub(super) struct Group {
    version: Time,
    dependencies: Vec<PathId>,
    /// The versions it has had.
    history: Vec<Time>,
}

impl Group {
    pub(super) fn new(version: Time) -> Group {
        Group { version, dependencies: Vec::new(), history: vec![version] }
    }

    pub(super) fn version(&self) -> Time {
        self.version
    }

    pub(super) fn dependencies(&self) -> &[PathId] {
        &self.dependencies
    }
}

/// A group as readers see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupView<'a> {
    id: PathId,
    #[serde(skip_serializing_if = "Option::is_none")]
    apps: Option<Vec<AppView<'a>>>,
    /// Their status, not their definitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<Vec<PodStatus<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupView<'a>>>,
    dependencies: &'a [PathId],
    version: Time,
    /// From 1.9 on, of the groups directly below the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforce_role: Option<bool>,
}

/// The parameters of a write to a group.
pub(super) struct Mode {
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) must_be_new: bool,
}

/// What one posted tree of groups says, flattened.
#[derive(Default)]
struct Tree {
    groups: BTreeMap<PathId, Vec<PathId>>,
    apps: BTreeMap<PathId, Map<String, Value>>,
    /// Groups whose list of apps was given: apps that are not in it go.
    listed_apps: BTreeSet<PathId>,
    /// Groups whose list of groups was given.
    listed_groups: BTreeSet<PathId>,
}

type Outcome = Result<Option<Answer>, Answer>;

impl Cluster {
    pub(super) fn update_group(&mut self, ticket: Ticket, id: &PathId, body: Value, mode: &Mode) -> Outcome {
        let Value::Object(body) = body else {
            return Err(Answer::invalid_json(vec![Fault {
                path: "/".into(),
                error: "error.expected.jsobject".into(),
            }]));
        };
        let id = if body.contains_key("id") { id_of(&body, id)? } else { id.clone() };
        if !id.is_root() && id.fault().is_some() {
            return Err(Answer::invalid_object(vec![Fault {
                path: "/id".into(),
                error: "is not a valid path".into(),
            }]));
        }
        if mode.must_be_new && (self.groups.contains_key(&id) && !id.is_root()) {
            return Err(Answer::message(
                409,
                format!("Group {id} is already created. Use PUT to change this group."),
            ));
        }
        let version = self.next_version();
        let mut proposal = Proposal::new(version, mode.force);
        proposal.status = if mode.must_be_new { 201 } else { 200 };
        proposal.group = Some(if id.is_root() { id.clone() } else { id.parent() });
        if let Some(factor) = body.get("scaleBy") {
            self.scale_group(&id, factor, version, &mut proposal)?;
        } else {
            let mut tree = Tree::default();
            flatten(&body, &id, 0, &mut tree)?;
            self.plant(&tree, version, &mut proposal)?;
        }
        if mode.dry_run {
            return Ok(Some(self.dry_run(&proposal)));
        }
        self.propose(ticket, proposal).map(|()| None)
    }

    /// `{"scaleBy": 2}`
    fn scale_group(
        &self,
        id: &PathId,
        factor: &Value,
        version: Time,
        proposal: &mut Proposal,
    ) -> Result<(), Answer> {
        if !self.groups.contains_key(id) {
            return Err(Answer::missing("Group", id));
        }
        let factor = factor.as_f64().filter(|factor| (0.0..=1000.0).contains(factor));
        let Some(factor) = factor else { return Err(Answer::message(422, "scaleBy is out of range")) };
        let scaled =
            |app_id: &PathId, app: &App| app_id.is_below(id) && !app.deleted && app.def.pod.is_none();
        for (app_id, app) in self.apps.iter().filter(|(app_id, app)| scaled(app_id, app)) {
            let mut def = (*app.def).clone();
            // Saturates; too many instances in all are refused later.
            def.instances = (f64::from(def.instances) * factor).ceil() as u32;
            proposal.changes.insert(app_id.clone(), Some(self.stamp(def, version)));
        }
        Ok(())
    }

    /// Turns a flattened tree into new definitions and removals.
    fn plant(&self, tree: &Tree, version: Time, proposal: &mut Proposal) -> Result<(), Answer> {
        let mut used = self.used_service_ports();
        for (id, body) in &tree.apps {
            self.refuse_pod(id)?;
            let mode = change::Mode { force: true, partial: false, create: true };
            proposal.set(self.changed_definition(body.clone(), id, mode, version, &mut used)?);
        }
        for (id, app) in &self.apps {
            let group = id.parent();
            // A list of apps says nothing about pods.
            let dropped =
                app.def.pod.is_none() && tree.listed_apps.contains(&group) && !tree.apps.contains_key(id);
            let orphaned = self.is_dropped_group(&group, tree);
            if (dropped || orphaned) && !app.deleted {
                proposal.changes.insert(id.clone(), None);
            }
        }
        for id in self.groups.keys().filter(|id| !id.is_root()) {
            if self.is_dropped_group(id, tree) {
                proposal.removed_groups.push(id.clone());
            }
        }
        for (id, dependencies) in &tree.groups {
            let mut group = self.groups.get(id).cloned().unwrap_or_else(|| Group::new(version));
            if self.target(id).is_some() {
                let error = format!("Groups and Applications may not have the same identifier: {id}");
                return Err(Answer::invalid_object(vec![Fault { path: "/id".into(), error }]));
            }
            group.dependencies = dependencies.clone();
            group.version = version;
            proposal.added_groups.insert(id.clone(), group);
        }
        Ok(())
    }

    /// Whether the group, or one around it, is missing from a list that should have it.
    fn is_dropped_group(&self, id: &PathId, tree: &Tree) -> bool {
        let mut group = id.clone();
        while !group.is_root() {
            if tree.listed_groups.contains(&group.parent()) && !tree.groups.contains_key(&group) {
                return true;
            }
            group = group.parent();
        }
        false
    }

    fn dry_run(&self, proposal: &Proposal) -> Answer {
        let changes: Vec<Change> = proposal
            .changes
            .iter()
            .map(|(id, after)| Change {
                id: id.clone(),
                before: self.target(id).map(|app| app.def.clone()),
                after: after.clone(),
                kills: false,
            })
            .collect();
        let steps = steps(&changes);
        let profile = &self.options.profile;
        let steps: Vec<_> = steps.iter().map(|step| StepJson::new(step, profile)).collect();
        Answer::json(200, &json!({ "steps": steps }))
    }

    pub(super) fn delete_group(&mut self, ticket: Ticket, id: &PathId, force: bool) -> Outcome {
        if !self.groups.contains_key(id) {
            return Err(Answer::missing("Group", id));
        }
        let version = self.next_version();
        let mut proposal = Proposal::new(version, force);
        let doomed = self.apps.iter().filter(|(app, found)| app.is_below(id) && !found.deleted);
        proposal.changes.extend(doomed.map(|(app, _)| (app.clone(), None)));
        let within =
            self.groups.keys().filter(|group| (*group == id || group.is_below(id)) && !group.is_root());
        proposal.removed_groups.extend(within.cloned());
        proposal.group = Some(id.parent());
        self.propose(ticket, proposal).map(|()| None)
    }

    /// Creates the groups that `id` lies in.
    pub(super) fn add_ancestors(&mut self, id: &PathId, version: Time) {
        for group in id.ancestors() {
            self.groups.entry(group).or_insert_with(|| Group::new(version));
        }
    }

    /// A change of a group changes all groups around it.
    pub(super) fn touch_groups(&mut self, group: &PathId, version: Time) {
        let mut path = group.clone();
        loop {
            if let Some(found) = self.groups.get_mut(&path)
                && found.version != version
            {
                found.version = version;
                found.history.push(version);
                if found.history.len() > super::HISTORY_MAX {
                    found.history.remove(0);
                }
            }
            if path.is_root() {
                break;
            }
            path = path.parent();
        }
    }

    /// `GET /v2/groups[/{id}]`
    #[must_use]
    pub fn group(&self, id: &PathId, embeds: &Embeds) -> Answer {
        if !self.groups.contains_key(id) {
            return Answer::missing("Group", id);
        }
        let mut apps: BTreeMap<PathId, Vec<AppView<'_>>> = BTreeMap::new();
        if embeds.group_apps {
            for (app_id, app) in self.apps.iter().filter(|(app_id, _)| app_id.is_below(id)) {
                if let Some(visible) = app.visible.as_ref().filter(|def| def.pod.is_none()) {
                    apps.entry(app_id.parent()).or_default().push(self.app_view(app, visible, embeds));
                }
            }
        }
        let mut children: BTreeMap<PathId, Vec<PathId>> = BTreeMap::new();
        for group in self.groups.keys().filter(|group| group.is_below(id)) {
            children.entry(group.parent()).or_default().push(group.clone());
        }
        Answer::json(200, &self.group_view(id, &mut apps, &children, embeds))
    }

    fn group_view<'a>(
        &'a self,
        id: &PathId,
        apps: &mut BTreeMap<PathId, Vec<AppView<'a>>>,
        children: &BTreeMap<PathId, Vec<PathId>>,
        embeds: &Embeds,
    ) -> GroupView<'a> {
        let group = self.groups.get(id);
        let below = children.get(id).into_iter().flatten();
        GroupView {
            id: id.clone(),
            apps: embeds.group_apps.then(|| apps.remove(id).unwrap_or_default()),
            pods: (embeds.group_pods && self.options.profile.pods).then(|| self.pods_in(id)),
            groups: embeds
                .group_groups
                .then(|| below.map(|child| self.group_view(child, apps, children, embeds)).collect()),
            dependencies: group.map(|group| group.dependencies.as_slice()).unwrap_or_default(),
            version: group.map_or(self.last_version, |group| group.version),
            enforce_role: (self.options.profile.apps.role && !id.is_root() && id.parent().is_root())
                .then_some(false),
        }
    }

    /// `GET /v2/groups/{id}/versions`
    #[must_use]
    pub fn group_versions(&self, id: &PathId) -> Answer {
        match self.groups.get(id) {
            Some(group) => Answer::json(200, &group.history.iter().rev().collect::<Vec<_>>()),
            None => Answer::missing("Group", id),
        }
    }
}

fn flatten(body: &Map<String, Value>, id: &PathId, depth: usize, tree: &mut Tree) -> Result<(), Answer> {
    let fault = |path: String, error: &str| Answer::invalid_json(vec![Fault { path, error: error.into() }]);
    if depth > DEPTH_MAX {
        return Err(Answer::message(422, "groups are nested too deeply"));
    }
    let list = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(found)) => Ok(Some(found)),
        Some(_) => Err(fault(format!("/{key}"), "error.expected.jsarray")),
    };
    let dependencies = list("dependencies")?.into_iter().flatten().filter_map(Value::as_str);
    if !id.is_root() {
        tree.groups.insert(id.clone(), dependencies.map(|text| id.parent().resolve(text)).collect());
    }
    if let Some(apps) = list("apps")? {
        tree.listed_apps.insert(id.clone());
        for app in apps {
            let app = app.as_object().ok_or_else(|| fault("/apps".into(), "error.expected.jsobject"))?;
            tree.apps.insert(id_of(app, id)?, app.clone());
        }
    }
    if let Some(groups) = list("groups")? {
        tree.listed_groups.insert(id.clone());
        for group in groups {
            let group =
                group.as_object().ok_or_else(|| fault("/groups".into(), "error.expected.jsobject"))?;
            flatten(group, &id_of(group, id)?, depth + 1, tree)?;
        }
    }
    Ok(())
}
