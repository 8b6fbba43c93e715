//! The events of the bus, as their JSON is written.

use super::Cluster;
use super::definition::HealthCheck;
use super::instance::{Condition, Instance, IpAddress};
use super::path::PathId;
use super::plan::{PlanJson, StepJson};
use super::view::{AppJson, HealthCheckJson};
use crate::profile::{Addresses, FailedCheckId, Statuses};
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
    /// The body for those who ask for `plan-format=light`, where it is another one.
    pub light: Option<Arc<str>>,
}

/// Whom an event about health names.
#[derive(Clone, Copy, Serialize)]
pub(crate) enum Subject<'a> {
    #[serde(rename = "taskId")]
    Task(&'a str),
    #[serde(rename = "instanceId")]
    Instance(&'a str),
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
        #[serde(skip_serializing_if = "Option::is_none")]
        ip_addresses: Option<&'a [IpAddress]>,
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
        #[serde(flatten)]
        subject: Subject<'a>,
        version: Time,
        alive: bool,
    },
    FailedHealthCheck {
        app_id: &'a PathId,
        #[serde(flatten)]
        subject: Subject<'a>,
        health_check: HealthCheckJson<'a>,
    },
    AddHealthCheck {
        app_id: &'a PathId,
        version: Time,
        health_check: HealthCheckJson<'a>,
    },
    RemoveHealthCheck {
        app_id: &'a PathId,
    },
    /// Of an instance, or of a task where there are no instances.
    UnhealthyKill {
        app_id: &'a PathId,
        task_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        instance_id: Option<&'a str>,
        version: Time,
        reason: &'a str,
        host: &'a str,
        slave_id: &'a str,
    },
    ApiPost {
        client_ip: &'a str,
        uri: &'a str,
        app_definition: AppJson<'a>,
    },
    GroupChangeSuccess {
        group_id: &'a PathId,
        version: Time,
    },
    DeploymentInfo {
        plan: PlanJson<'a>,
        current_step: StepJson<'a>,
    },
    DeploymentStepSuccess {
        plan: PlanJson<'a>,
        current_step: StepJson<'a>,
    },
    DeploymentSuccess {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        plan: Option<PlanJson<'a>>,
    },
    DeploymentFailed {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        plan: Option<PlanJson<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
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
    UnknownTaskTerminated {
        task_id: &'a str,
        run_spec_id: &'a PathId,
        status: &'a str,
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
            Body::UnhealthyKill { instance_id: Some(_), .. } => "unhealthy_instance_kill_event",
            Body::UnhealthyKill { instance_id: None, .. } => "unhealthy_task_kill_event",
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
            Body::UnknownTaskTerminated { .. } => "unknown_task_terminated_event",
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
        Event { event_type: event_type.into(), body: text.into(), light: None }
    }
}

impl Cluster {
    pub(super) fn emit(&mut self, body: &Body<'_>) {
        let event = Event::new(body, self.now);
        self.post(event);
    }

    /// `S:<state>`: what Mesos reported about the instance's task, if the version tells that.
    pub(super) fn emit_status(&mut self, instance: &Instance, state: &str, message: &str) {
        let events = self.options.profile.events;
        let told = match (events.statuses, state) {
            (Statuses::All, _) => true,
            (Statuses::FirstRunningAndEnd, "TASK_STAGING" | "TASK_KILLING") | (_, "TASK_STARTING") => false,
            (Statuses::FirstRunningAndEnd | Statuses::WithStagingAndKilling, _) => true,
        };
        if !told {
            return;
        }
        let (agent, host) = self.agent_names(instance).unzip();
        let known = instance.ip.as_slice();
        let ip_addresses = match events.addresses {
            Addresses::Unknown => None,
            Addresses::WhenKnown => Some(known).filter(|known| !known.is_empty()),
            Addresses::Always => Some(known),
        };
        self.emit(&Body::StatusUpdate {
            slave_id: agent.as_deref().unwrap_or_default(),
            task_id: &self.task_id(instance),
            task_status: state,
            message,
            app_id: &instance.app,
            host: host.as_deref().unwrap_or_default(),
            ip_addresses,
            ports: &instance.host_ports,
            version: instance.def.version,
        });
    }

    /// `S:RUNNING` once more: Mesos tells the health it has found that way.
    pub(super) fn emit_repeated_running(&mut self, instance: &Instance) {
        if self.options.profile.events.statuses == Statuses::All {
            self.emit_status(instance, Condition::Running.task_state(), "");
        }
    }

    /// `I:<condition>`, if the version has instances.
    pub(super) fn emit_instance(&mut self, instance: &Instance, condition: Condition) {
        if !self.options.profile.events.instances {
            return;
        }
        let condition = match condition {
            // The only word there was for an instance that is not staged yet.
            Condition::Provisioned if !self.options.profile.scheduled_condition => "Created",
            condition => condition.name(),
        };
        let (agent, host) = self.agent_names(instance).unzip();
        self.emit(&Body::InstanceChanged {
            instance_id: &instance.id,
            condition,
            run_spec_id: &instance.app,
            agent_id: agent.as_deref(),
            host: host.as_deref(),
            run_spec_version: instance.def.version,
        });
    }

    /// `health_status_changed_event`
    pub(super) fn emit_flip(&mut self, instance: &Instance, alive: bool) {
        let task = self.task_id(instance);
        let subject = if self.options.profile.events.instances {
            Subject::Instance(&instance.id)
        } else {
            Subject::Task(&task)
        };
        self.emit(&Body::HealthStatusChanged {
            app_id: &instance.app,
            subject,
            version: instance.def.version,
            alive,
        });
    }

    /// `failed_health_check_event`
    pub(super) fn emit_failed_check(&mut self, instance: &Instance, check: &HealthCheck) {
        let profile = self.options.profile;
        let task = self.task_id(instance);
        let subject = match profile.events.failed_check {
            FailedCheckId::Task => Subject::Task(&task),
            FailedCheckId::Instance => Subject::Instance(&instance.id),
            FailedCheckId::InstanceAsTask => Subject::Task(&instance.id),
        };
        let health_check = HealthCheckJson { check, shape: &profile.apps };
        self.emit(&Body::FailedHealthCheck { app_id: &instance.app, subject, health_check });
    }

    /// The id and the host name of the instance's agent.
    pub(super) fn agent_names(&self, instance: &Instance) -> Option<(Arc<str>, Arc<str>)> {
        let agent = self.agents.get(instance.agent?)?;
        Some((agent.id.clone(), agent.host.clone()))
    }
}
