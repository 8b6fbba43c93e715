//! `POST`, `PUT` and `DELETE /v2/pods`, and killing single instances.

use super::{PodView, parse};
use crate::cluster::Cluster;
use crate::cluster::answer::Answer;
use crate::cluster::change::{Proposal, id_of, object};
use crate::cluster::event::Body;
use crate::cluster::fields::Fault;
use crate::cluster::instance::InstanceId;
use crate::cluster::path::PathId;
use crate::cluster::step::{Caller, Ticket};
use serde_json::Value;
use std::sync::Arc;

/// What is done to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cluster) enum PodVerb {
    Created,
    Updated,
    Deleted,
}

/// Who did what to which pod.
#[derive(Debug)]
pub(in crate::cluster) struct PodWrite {
    verb: PodVerb,
    caller: Caller,
    id: PathId,
}

type Outcome = Result<Option<Answer>, Answer>;

impl Cluster {
    /// Apps and pods share their names: what writes apps must not hit a pod.
    pub(in crate::cluster) fn refuse_pod(&self, id: &PathId) -> Result<(), Answer> {
        if self.target(id).is_some_and(|found| found.def.pod.is_some()) {
            return Err(Answer::message(409, format!("A pod with id [{id}] already exists.")));
        }
        Ok(())
    }

    fn has_pod(&self, id: &PathId) -> bool {
        self.target(id).is_some_and(|found| found.def.pod.is_some())
    }

    pub(in crate::cluster) fn create_pod(
        &mut self,
        ticket: Ticket,
        body: Value,
        force: bool,
        caller: Caller,
    ) -> Outcome {
        let body = object(body)?;
        let id = id_of(&body, &PathId::root())?;
        if let Some(found) = self.target(&id) {
            let kind = if found.def.pod.is_some() { "A pod" } else { "An app" };
            return Err(Answer::message(409, format!("{kind} with id [{id}] already exists.")));
        }
        let version = self.next_version();
        let def = parse::definition(&body, &id, version, &self.options.profile)?;
        if self.groups.contains_key(&id) || id.ancestors().iter().any(|group| self.target(group).is_some()) {
            let error = format!("Groups and Pods may not have the same identifier: {id}");
            return Err(Answer::invalid_object(vec![Fault { path: "/id".into(), error }]));
        }
        let mut proposal = Proposal::new(version, force);
        proposal.set(Arc::new(def));
        proposal.pod = Some(PodWrite { verb: PodVerb::Created, caller, id });
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(in crate::cluster) fn update_pod(
        &mut self,
        ticket: Ticket,
        id: &PathId,
        body: Value,
        force: bool,
        caller: Caller,
    ) -> Outcome {
        let body = object(body)?;
        if !self.has_pod(id) {
            return Err(Answer::missing("Pod", id));
        }
        let version = self.next_version();
        let def = parse::definition(&body, id, version, &self.options.profile)?;
        let mut proposal = Proposal::new(version, force);
        proposal.set(self.stamp(def, version));
        proposal.pod = Some(PodWrite { verb: PodVerb::Updated, caller, id: id.clone() });
        self.propose(ticket, proposal).map(|()| None)
    }

    pub(in crate::cluster) fn delete_pod(
        &mut self,
        ticket: Ticket,
        id: &PathId,
        force: bool,
        caller: Caller,
    ) -> Outcome {
        if !self.has_pod(id) {
            return Err(Answer::missing("Pod", id));
        }
        let version = self.next_version();
        let mut proposal = Proposal::new(version, force);
        proposal.changes.insert(id.clone(), None);
        proposal.pod = Some(PodWrite { verb: PodVerb::Deleted, caller, id: id.clone() });
        self.propose(ticket, proposal).map(|()| None)
    }

    /// `DELETE /v2/pods/{id}::instances[/{instance}]`: the killed instances' status, one or several.
    pub(in crate::cluster) fn kill_pod_instances(
        &mut self,
        id: &PathId,
        ids: &[String],
        one: bool,
    ) -> Outcome {
        if !self.has_pod(id) {
            return Err(Answer::missing("Pod", id));
        }
        let known = |wanted: &String| {
            let found = self.instances.get(wanted.as_str())?;
            (found.app == *id && found.condition.has_task()).then(|| found.id.clone())
        };
        let victims: Vec<InstanceId> = ids.iter().filter_map(known).collect();
        let answer = if one {
            let found = victims.first().and_then(|id| self.instances.get(id));
            let Some(status) = found.and_then(|found| self.pod_instance_status(found)) else {
                let missing = ids.first().map_or("", String::as_str);
                return Err(Answer::message(404, format!("Instance '{missing}' does not exist")));
            };
            Answer::json(200, &status)
        } else {
            let found = victims.iter().filter_map(|id| self.instances.get(id));
            Answer::json(200, &found.filter_map(|found| self.pod_instance_status(found)).collect::<Vec<_>>())
        };
        for victim in &victims {
            self.kill(victim, false);
        }
        Ok(Some(answer))
    }

    /// `pod_created_event`, ...
    pub(in crate::cluster) fn tell_pod_write(&mut self, write: &PodWrite) {
        let (client_ip, uri) = (write.caller.client_ip.as_str(), write.caller.uri.as_str());
        self.emit(&match write.verb {
            PodVerb::Created => Body::PodCreated { client_ip, uri },
            PodVerb::Updated => Body::PodUpdated { client_ip, uri },
            PodVerb::Deleted => Body::PodDeleted { client_ip, uri },
        });
    }

    /// The definition, or for a deletion the deployment's address.
    pub(in crate::cluster) fn pod_answer(&self, write: &PodWrite, deployment: &str) -> Answer {
        let def = self.target(&write.id).and_then(|found| found.visible.as_deref());
        let view = def.and_then(PodView::new);
        match (write.verb, view) {
            (PodVerb::Created, Some(view)) => {
                Answer { location: Some(write.id.to_string()), ..Answer::json(201, &view) }
            }
            (PodVerb::Updated, Some(view)) => Answer::json(200, &view),
            _ => Answer { location: Some(format!("/v2/deployments/{deployment}")), ..Answer::empty(202) },
        }
    }
}
