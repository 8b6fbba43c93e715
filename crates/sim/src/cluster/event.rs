//! The events of the bus, as their JSON is written.

use super::Cluster;
use super::definition::{AppDef, HealthCheck};
use super::deployment::{PlanView, StepView};
use super::instance::{Condition, Instance, IpAddress};
use super::path::PathId;
use crate::time::Time;
use serde::Serialize;
use std::sync::Arc;

/// One event, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `status_update_event`, ...
    pub event_type: Arc<str>,
    /// The body: one line of JSON.
    pub body: Arc<str>,
}

/// The bodies, without `eventType` and `timestamp`, which every event has.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Body<'a> {
    StatusUpdate {
        slave_id: &'a str,
        task_id: &'a str,
        task_status: &'a str,
        message: &'a str,
        app_id: &'a PathId,
        host: &'a str,
        ip_addresses: &'a [IpAddress],
        ports: &'a [u16],
        version: Time,
    },
    InstanceChanged {
        instance_id: &'a str,
        condition: &'a str,
        run_spec_id: &'a PathId,
        agent_id: Option<&'a str>,
        host: Option<&'a str>,
        run_spec_version: Time,
    },
    InstanceHealthChanged {
        instance_id: &'a str,
        run_spec_version: Time,
        healthy: Option<bool>,
        run_spec_id: &'a PathId,
    },
    HealthStatusChanged {
        app_id: &'a PathId,
        instance_id: &'a str,
        version: Time,
        alive: bool,
    },
    /// The key says task, the value is the instance: so it is since 1.5.
    FailedHealthCheck {
        app_id: &'a PathId,
        #[serde(rename = "taskId")]
        instance_id: &'a str,
        health_check: &'a HealthCheck,
    },
    AddHealthCheck {
        app_id: &'a PathId,
        version: Time,
        health_check: &'a HealthCheck,
    },
    RemoveHealthCheck {
        app_id: &'a PathId,
    },
    UnhealthyInstanceKill {
        app_id: &'a PathId,
        task_id: &'a str,
        instance_id: &'a str,
        version: Time,
        reason: &'a str,
        host: &'a str,
        slave_id: &'a str,
    },
    ApiPost {
        client_ip: &'a str,
        uri: &'a str,
        app_definition: &'a AppDef,
    },
    GroupChangeSuccess {
        group_id: &'a PathId,
        version: Time,
    },
    DeploymentInfo {
        plan: &'a PlanView,
        current_step: &'a StepView,
    },
    DeploymentStepSuccess {
        plan: &'a PlanView,
        current_step: &'a StepView,
    },
    DeploymentSuccess {
        id: &'a str,
        plan: &'a PlanView,
    },
    DeploymentFailed {
        id: &'a str,
        plan: &'a PlanView,
        reason: &'a str,
    },
    AppTerminated {
        app_id: &'a PathId,
    },
    StreamAttached {
        remote_address: &'a str,
    },
    StreamDetached {
        remote_address: &'a str,
    },
    Subscribe {
        client_ip: &'a str,
        callback_url: &'a str,
    },
    Unsubscribe {
        client_ip: &'a str,
        callback_url: &'a str,
    },
    SchedulerReregistered {
        master: &'a str,
    },
    PodCreated {
        client_ip: &'a str,
        uri: &'a str,
    },
    PodUpdated {
        client_ip: &'a str,
        uri: &'a str,
    },
    PodDeleted {
        client_ip: &'a str,
        uri: &'a str,
    },
    UnknownInstanceTerminated {
        instance_id: &'a str,
        run_spec_id: &'a PathId,
        condition: &'a str,
    },
}

impl Body<'_> {
    fn event_type(&self) -> &'static str {
        match self {
            Body::StatusUpdate { .. } => "status_update_event",
            Body::InstanceChanged { .. } => "instance_changed_event",
            Body::InstanceHealthChanged { .. } => "instance_health_changed_event",
            Body::HealthStatusChanged { .. } => "health_status_changed_event",
            Body::FailedHealthCheck { .. } => "failed_health_check_event",
            Body::AddHealthCheck { .. } => "add_health_check_event",
            Body::RemoveHealthCheck { .. } => "remove_health_check_event",
            Body::UnhealthyInstanceKill { .. } => "unhealthy_instance_kill_event",
            Body::ApiPost { .. } => "api_post_event",
            Body::GroupChangeSuccess { .. } => "group_change_success",
            Body::DeploymentInfo { .. } => "deployment_info",
            Body::DeploymentStepSuccess { .. } => "deployment_step_success",
            Body::DeploymentSuccess { .. } => "deployment_success",
            Body::DeploymentFailed { .. } => "deployment_failed",
            Body::AppTerminated { .. } => "app_terminated_event",
            Body::StreamAttached { .. } => "event_stream_attached",
            Body::StreamDetached { .. } => "event_stream_detached",
            Body::Subscribe { .. } => "subscribe_event",
            Body::Unsubscribe { .. } => "unsubscribe_event",
            Body::SchedulerReregistered { .. } => "scheduler_reregistered_event",
            Body::PodCreated { .. } => "pod_created_event",
            Body::PodUpdated { .. } => "pod_updated_event",
            Body::PodDeleted { .. } => "pod_deleted_event",
            Body::UnknownInstanceTerminated { .. } => "unknown_instance_terminated_event",
        }
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(flatten)]
    body: &'a Body<'a>,
    #[serde(rename = "eventType")]
    event_type: &'static str,
    timestamp: Time,
}

impl Event {
    pub(crate) fn new(body: &Body<'_>, timestamp: Time) -> Event {
        let event_type = body.event_type();
        // Writing these types cannot fail; should it ever, an empty object is still one valid event.
        let text =
            serde_json::to_string(&Wire { body, event_type, timestamp }).unwrap_or_else(|_| "{}".into());
        Event { event_type: event_type.into(), body: text.into() }
    }
}

impl Cluster {
    pub(super) fn emit(&mut self, body: &Body<'_>) {
        let event = Event::new(body, self.now);
        self.post(event);
    }

    /// `S:<state>`: what Mesos reported about the instance's task.
    pub(super) fn emit_status(&mut self, instance: &Instance, state: &str, message: &str) {
        let (agent, host) = self.agent_names(instance).unzip();
        self.emit(&Body::StatusUpdate {
            slave_id: agent.as_deref().unwrap_or_default(),
            task_id: &self.task_id(instance),
            task_status: state,
            message,
            app_id: &instance.app,
            host: host.as_deref().unwrap_or_default(),
            ip_addresses: instance.ip.as_slice(),
            ports: &instance.host_ports,
            version: instance.def.version,
        });
    }

    /// `I:<condition>`
    pub(super) fn emit_instance(&mut self, instance: &Instance, condition: Condition) {
        let (agent, host) = self.agent_names(instance).unzip();
        self.emit(&Body::InstanceChanged {
            instance_id: &instance.id,
            condition: condition.name(),
            run_spec_id: &instance.app,
            agent_id: agent.as_deref(),
            host: host.as_deref(),
            run_spec_version: instance.def.version,
        });
    }

    /// The id and the host name of the instance's agent.
    pub(super) fn agent_names(&self, instance: &Instance) -> Option<(Arc<str>, Arc<str>)> {
        let agent = self.agents.get(instance.agent?)?;
        Some((agent.id.clone(), agent.host.clone()))
    }
}
