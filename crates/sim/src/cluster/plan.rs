//! Plans of deployments as each version tells them: heavy ones with the whole root group before and after, or light.

use super::definition::AppDef;
use super::deployment::{ActionView, PlanView, StepView};
use super::event::{Body, Event};
use super::path::PathId;
use super::view::AppJson;
use super::{Cluster, change::Proposal};
use crate::profile::{Plans, Profile};
use crate::time::Time;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The whole tree of definitions before and after a change.
#[derive(Debug)]
pub(super) struct Roots {
    original: GroupDef,
    target: GroupDef,
}

/// A group with its definitions, as they were at one time.
#[derive(Debug)]
pub(super) struct GroupDef {
    id: PathId,
    apps: Vec<Arc<AppDef>>,
    groups: Vec<GroupDef>,
    dependencies: Vec<PathId>,
    version: Time,
}

/// What is told about a plan.
#[derive(Clone, Copy)]
pub(super) enum News<'a> {
    /// A step begins.
    Begins(&'a StepView),
    /// A step is done.
    Done(&'a StepView),
    /// All is done.
    Succeeded,
    /// It was given up, and why.
    Failed(&'a str),
}

#[derive(Clone, Copy)]
pub(crate) struct ActionJson<'a> {
    action: &'a ActionView,
    key: &'static str,
}

impl Serialize for ActionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.key, self.action.name())?;
        map.serialize_entry(self.action.key(), &self.action.app)?;
        map.end()
    }
}

/// A step in the form of a version.
#[derive(Clone, Copy)]
pub(crate) struct StepJson<'a> {
    step: &'a StepView,
    key: &'static str,
}

impl<'a> StepJson<'a> {
    pub(super) fn new(step: &'a StepView, profile: &Profile) -> StepJson<'a> {
        StepJson { step, key: profile.events.action_key }
    }
}

impl Serialize for StepJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let actions: Vec<_> =
            self.step.actions.iter().map(|action| ActionJson { action, key: self.key }).collect();
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("actions", &actions)?;
        map.end()
    }
}

/// A plan in the form of a version.
#[derive(Clone, Copy)]
pub(crate) struct PlanJson<'a> {
    plan: &'a PlanView,
    profile: &'a Profile,
    light: bool,
}

impl Serialize for PlanJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (plan, profile) = (self.plan, self.profile);
        let steps: Vec<_> = plan.steps.iter().map(|step| StepJson::new(step, profile)).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &plan.id)?;
        match &plan.roots {
            Some(roots) if !self.light => {
                map.serialize_entry("original", &GroupJson { group: &roots.original, profile })?;
                map.serialize_entry("target", &GroupJson { group: &roots.target, profile })?;
                map.serialize_entry("steps", &steps)?;
                map.serialize_entry("version", &plan.version)?;
            }
            _ => {
                map.serialize_entry("version", &plan.version)?;
                map.serialize_entry("steps", &steps)?;
            }
        }
        map.end()
    }
}

struct GroupJson<'a> {
    group: &'a GroupDef,
    profile: &'a Profile,
}

impl Serialize for GroupJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (group, profile) = (self.group, self.profile);
        let apps: Vec<_> = group.apps.iter().map(|def| AppJson { def, shape: &profile.apps }).collect();
        let groups: Vec<_> = group.groups.iter().map(|group| GroupJson { group, profile }).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &group.id)?;
        map.serialize_entry("apps", &apps)?;
        if profile.pods {
            map.serialize_entry("pods", &[0_u8; 0])?;
        }
        map.serialize_entry("groups", &groups)?;
        map.serialize_entry("dependencies", &group.dependencies)?;
        map.serialize_entry("version", &group.version)?;
        map.end()
    }
}

impl Cluster {
    /// Tells about a plan in the form, or the two forms, of the version.
    pub(super) fn emit_plan(&mut self, plan: &PlanView, news: News<'_>) {
        let profile = self.options.profile;
        let write = |light: bool| {
            let (events, whole) = (&profile.events, PlanJson { plan, profile: &profile, light });
            let step = |step| StepJson::new(step, &profile);
            let end_plan = events.end_plan.then_some(whole);
            let body = match news {
                News::Begins(begins) => Body::DeploymentInfo { plan: whole, current_step: step(begins) },
                News::Done(done) => Body::DeploymentStepSuccess { plan: whole, current_step: step(done) },
                News::Succeeded => Body::DeploymentSuccess { id: &plan.id, plan: end_plan },
                News::Failed(reason) => Body::DeploymentFailed {
                    id: &plan.id,
                    plan: end_plan,
                    reason: events.failed_reason.then_some(reason),
                },
            };
            Event::new(&body, self.now)
        };
        let mut event = write(profile.events.plans == Plans::Light);
        if profile.events.plans == Plans::LightOnRequest {
            event.light = Some(write(true).body);
        }
        self.post(event);
    }

    /// The definitions that deployments work towards, if the version's plans tell them.
    pub(super) fn root_before(&self) -> Option<GroupDef> {
        (self.options.profile.events.plans != Plans::Light).then(|| self.root(None))
    }

    /// Completes [`Cluster::root_before`] once the change is adopted.
    pub(super) fn roots(&self, before: Option<GroupDef>, proposal: &Proposal) -> Option<Arc<Roots>> {
        before.map(|original| Arc::new(Roots { original, target: self.root(Some(proposal)) }))
    }

    fn root(&self, change: Option<&Proposal>) -> GroupDef {
        let newest = change.map_or(self.last_version, |change| change.version);
        let mut groups: BTreeMap<PathId, GroupDef> = BTreeMap::new();
        let mut add = |id: &PathId| {
            let found = change.and_then(|change| change.added_groups.get(id)).or_else(|| self.groups.get(id));
            groups.entry(id.clone()).or_insert_with(|| GroupDef {
                id: id.clone(),
                apps: Vec::new(),
                groups: Vec::new(),
                dependencies: found.map(|group| group.dependencies().to_vec()).unwrap_or_default(),
                version: found.map_or(newest, super::group::Group::version),
            });
        };
        let removed = |id: &&PathId| change.is_none_or(|change| !change.removed_groups.contains(id));
        add(&PathId::root());
        self.groups.keys().filter(removed).for_each(&mut add);
        change.iter().flat_map(|change| change.added_groups.keys()).for_each(&mut add);
        let apps = || self.apps.values().filter(|app| !app.deleted).map(|app| &app.def);
        for app in apps() {
            app.id.ancestors().iter().for_each(&mut add);
        }
        for app in apps() {
            if let Some(group) = groups.get_mut(&app.id.parent()) {
                group.apps.push(app.clone());
            }
        }
        assemble(groups, newest, change.is_some())
    }
}

/// Puts groups into the groups around them; a group comes after the one it lies in.
fn assemble(mut groups: BTreeMap<PathId, GroupDef>, newest: Time, changed: bool) -> GroupDef {
    while groups.len() > 1 {
        let Some((id, group)) = groups.pop_last() else { break };
        if let Some(parent) = groups.get_mut(&id.parent()) {
            parent.groups.insert(0, group);
        }
    }
    let empty = || GroupDef {
        id: PathId::root(),
        apps: Vec::new(),
        groups: Vec::new(),
        dependencies: Vec::new(),
        version: newest,
    };
    let mut root = groups.pop_first().map_or_else(empty, |(_, root)| root);
    if changed {
        root.version = newest;
    }
    root
}
