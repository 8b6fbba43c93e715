//! Events of the event bus, in all generations, brought to the model (spec/marathon.md section 6.3).
//!
//! `status_update_event` is by far the most frequent one and is decoded in one pass over the bytes. Heavy plans
//! (`plan.original` and `plan.target`, megabytes each) are skipped while parsing; no tree is ever built.

use std::sync::Arc;

use mconn_model::{
    AgentId, AppId, ClusterEvent, DeploymentId, DeploymentPhase, EventTimestamp, InstanceCondition,
    InstanceId, StatusUpdate, TaskEvent, TaskId, TaskStatus, Timestamp,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, AddressDto, Flag, List, Notes, Number, Object, RawList, Text, TextOrWhole};
use crate::percent;

const STATUS_UPDATE: &str = "status_update_event";

/// The event types that mconn has a use for (spec/marathon.md section 6.6). Marathon 1.3.7 and later send only these
/// when asked; older ones send everything.
pub const EVENT_TYPES: &[&str] = &[
    STATUS_UPDATE,
    "instance_changed_event",
    "instance_health_changed_event",
    "health_status_changed_event",
    "unhealthy_task_kill_event",
    "unhealthy_instance_kill_event",
    "api_post_event",
    "pod_created_event",
    "pod_updated_event",
    "pod_deleted_event",
    "group_change_success",
    "deployment_info",
    "deployment_step_success",
    "deployment_success",
    "deployment_failed",
    "app_terminated_event",
    "unknown_task_terminated_event",
    "unknown_instance_terminated_event",
    "scheduler_registered_event",
    "scheduler_reregistered_event",
    "scheduler_disconnected_event",
];

/// Why an event cannot be used. The caller counts it; the stream goes on (spec/marathon.md section 11, trap 5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The data is no JSON object.
    #[error("the event's data is no JSON object: {reason}")]
    Syntax {
        /// The parser's words.
        reason: String,
    },
    /// Neither the stream nor the data tells the type.
    #[error("the event has no type")]
    NoType,
    /// A known type without a field that it must have.
    #[error("{event_type}: {reason}")]
    Incomplete {
        /// The type.
        event_type: Arc<str>,
        /// What is missing or unusable.
        reason: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TypeDto<'a> {
    #[serde(borrow)]
    event_type: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusDto<'a> {
    #[serde(borrow)]
    slave_id: Text<'a>,
    #[serde(borrow)]
    task_id: Text<'a>,
    #[serde(borrow)]
    task_status: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    app_id: Text<'a>,
    #[serde(borrow)]
    host: Text<'a>,
    #[serde(borrow)]
    ip_addresses: List<Object<AddressDto<'a>>>,
    ports: List<Number>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    event_type: Text<'a>,
    #[serde(borrow)]
    timestamp: TextOrWhole<'a>,
}

/// The fields of all other events that are of interest.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EventDto<'a> {
    #[serde(borrow)]
    app_id: Text<'a>,
    #[serde(borrow)]
    run_spec_id: Text<'a>,
    #[serde(borrow)]
    task_id: Text<'a>,
    #[serde(borrow)]
    instance_id: Text<'a>,
    #[serde(borrow)]
    condition: Text<'a>,
    #[serde(borrow)]
    run_spec_version: Text<'a>,
    healthy: Flag,
    alive: Flag,
    #[serde(borrow)]
    app_definition: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Text<'a>,
    #[serde(borrow)]
    group_id: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    plan: Object<PlanDto<'a>>,
    #[serde(borrow)]
    current_step: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlanDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    steps: RawList<'a>,
    #[serde(borrow)]
    version: Text<'a>,
}

/// Decodes one event: the stream's `event:` field, if there was one, and the JSON of its data.
///
/// # Errors
/// [`EventError`]; unknown types are no error but [`ClusterEvent::Ignored`].
pub fn decode_event(name: Option<&[u8]>, data: &[u8]) -> Result<ClusterEvent, EventError> {
    let named = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty());
    let told: TypeDto<'_>;
    let event_type = match named {
        Some(name) => name,
        None => {
            told = fields(data)?;
            told.event_type.get().ok_or(EventError::NoType)?
        }
    };
    let incomplete = |reason| EventError::Incomplete { event_type: event_type.into(), reason };
    if event_type == STATUS_UPDATE {
        let dto: StatusDto<'_> = fields(data)?;
        return status(&dto).map(ClusterEvent::Status).map_err(incomplete);
    }
    if !EVENT_TYPES.contains(&event_type) && event_type != "deployment_step_failure" {
        return Ok(ClusterEvent::Ignored { event_type: event_type.into() });
    }
    let dto: EventDto<'_> = fields(data)?;
    other(event_type, &dto).map_err(incomplete)
}

fn fields<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, EventError> {
    let object: Object<T> =
        serde_json::from_slice(data).map_err(|error| EventError::Syntax { reason: error.to_string() })?;
    object.0.ok_or_else(|| EventError::Syntax { reason: "it is something else".to_owned() })
}

fn status(dto: &StatusDto<'_>) -> Result<StatusUpdate, String> {
    let task = TaskId::new(dto.task_id.get().unwrap_or_default()).map_err(|error| error.to_string())?;
    let app = AppId::parse(dto.app_id.get().unwrap_or_default()).map_err(|error| error.to_string())?;
    let status = dto.task_status.get().ok_or("it has no taskStatus")?;
    let timestamp = match &dto.timestamp {
        TextOrWhole::Text(text) => text.shared().map(EventTimestamp::Text),
        TextOrWhole::Whole(millis) => Some(EventTimestamp::Millis(*millis)),
    };
    Ok(StatusUpdate {
        event: TaskEvent {
            source: None,
            task,
            status: TaskStatus::parse(status),
            app,
            host: dto.host.shared(),
            // The usable ones; the listing that follows tells which are missing.
            ports: json::ports(&dto.ports).unwrap_or_else(|usable| usable),
            event_type: Some(dto.event_type.shared().unwrap_or_else(|| STATUS_UPDATE.into())),
            timestamp,
        },
        agent: dto.slave_id.get().and_then(|id| AgentId::new(id).ok()),
        addresses: json::addresses(&dto.ip_addresses).collect(),
        version: dto.version.get().and_then(Timestamp::parse),
        message: dto.message.shared(),
    })
}

fn other(event_type: &str, dto: &EventDto<'_>) -> Result<ClusterEvent, String> {
    let app = || {
        let id = dto.run_spec_id.get().or(dto.app_id.get()).unwrap_or_default();
        AppId::parse(id).map_err(|error| error.to_string())
    };
    let task = || dto.task_id.get().and_then(|id| TaskId::new(id).ok());
    let instance = || dto.instance_id.get().and_then(|id| InstanceId::new(id).ok());
    Ok(match event_type {
        "instance_changed_event" => ClusterEvent::InstanceChanged {
            instance: instance().ok_or("it has no usable instanceId")?,
            app: app()?,
            condition: InstanceCondition::parse(dto.condition.get().ok_or("it has no condition")?),
            version: dto.run_spec_version.get().and_then(Timestamp::parse),
            at: dto.timestamp.get().and_then(Timestamp::parse),
        },
        "instance_health_changed_event" | "health_status_changed_event" => ClusterEvent::HealthChanged {
            app: app()?,
            instance: instance(),
            task: task(),
            healthy: dto.healthy.0.or(dto.alive.0),
            whole: event_type == "instance_health_changed_event",
            at: dto.timestamp.get().and_then(Timestamp::parse),
        },
        "unhealthy_task_kill_event" | "unhealthy_instance_kill_event" => {
            ClusterEvent::UnhealthyKill { app: app()?, task: task(), instance: instance() }
        }
        "api_post_event" => ClusterEvent::AppDefinition { app: Box::new(definition(dto)?) },
        "pod_created_event" | "pod_updated_event" | "pod_deleted_event" => {
            ClusterEvent::PodChanged { pod: dto.uri.get().and_then(pod_of_uri) }
        }
        "group_change_success" => ClusterEvent::GroupChanged {
            group: dto.group_id.shared().unwrap_or_else(|| "/".into()),
            version: dto.version.get().and_then(Timestamp::parse),
        },
        "deployment_info" => deployment(dto, DeploymentPhase::StepBegan),
        "deployment_step_success" | "deployment_step_failure" => deployment(dto, DeploymentPhase::StepEnded),
        "deployment_success" => deployment(dto, DeploymentPhase::Succeeded),
        "deployment_failed" => deployment(dto, DeploymentPhase::Failed),
        "app_terminated_event" => ClusterEvent::AppTerminated { app: app()? },
        "unknown_task_terminated_event" | "unknown_instance_terminated_event" => {
            ClusterEvent::UnknownTerminated { app: app()?, task: task(), instance: instance() }
        }
        "scheduler_registered_event" | "scheduler_reregistered_event" => ClusterEvent::SchedulerRegistered,
        "scheduler_disconnected_event" => ClusterEvent::SchedulerDisconnected,
        _ => ClusterEvent::Ignored { event_type: event_type.into() },
    })
}

fn definition(dto: &EventDto<'_>) -> Result<mconn_model::App, String> {
    let raw = dto.app_definition.ok_or("it has no appDefinition")?.get();
    let mut notes = Notes::default();
    json::decode_app(raw, "", "appDefinition", &mut notes).map(|listing| listing.app)
}

fn deployment(dto: &EventDto<'_>, phase: DeploymentPhase) -> ClusterEvent {
    let plan = dto.plan.0.as_ref();
    let id = dto.id.get().or_else(|| plan?.id.get());
    ClusterEvent::Deployment {
        id: id.and_then(|id| DeploymentId::new(id).ok()),
        phase,
        affected: plan.map(|plan| json::affected(&plan.steps)).unwrap_or_default(),
        stopping: dto.current_step.map(|step| json::stopped_by(step.get())).unwrap_or_default(),
        version: plan.and_then(|plan| plan.version.get()).and_then(Timestamp::parse),
    }
}

/// `/v2/pods/web::versions/..?force=true` is about `/web`; `/v2/pods` (a creation) tells nothing.
fn pod_of_uri(uri: &str) -> Option<AppId> {
    let (_, path) = uri.split_once("/v2/pods/")?;
    let path = path.split(['?', '#']).next()?;
    let path = path.split_once("::").map_or(path, |(id, _)| id);
    let id = percent::decode(path)?;
    AppId::parse(id.trim_start_matches('/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(data: &str) -> Result<ClusterEvent, EventError> {
        decode_event(None, data.as_bytes())
    }

    #[test]
    fn a_status_update_with_and_without_name() {
        let data = br#"{"slaveId":"S1","taskId":"a.1","taskStatus":"TASK_RUNNING","message":"","appId":"/a",
            "host":"h","ipAddresses":[{"ipAddress":"9.0.2.130","protocol":"IPv4"},{"ipAddress":"x"}],"ports":[31180],
            "version":"2026-01-05T10:00:00.123Z","eventType":"status_update_event","timestamp":"2026-01-05T10:00:02.195Z"}"#;
        let event = decode_event(None, data).unwrap();
        assert_eq!(decode_event(Some(b"status_update_event"), data).unwrap(), event);
        let ClusterEvent::Status(update) = event else { panic!("{event:?}") };
        assert_eq!((update.event.ports, update.addresses.len(), update.message), (vec![31180], 1, None));
    }

    #[test]
    fn timestamps_may_be_numbers() {
        let data = r#"{"eventType":"status_update_event","taskId":"a.1","taskStatus":"TASK_FANCY","appId":"a","timestamp":17}"#;
        let ClusterEvent::Status(update) = decode(data).unwrap() else { panic!("no status") };
        assert_eq!(update.event.timestamp, Some(EventTimestamp::Millis(17)));
        assert_eq!(update.event.status.as_str(), "TASK_FANCY");
    }

    #[test]
    fn unknown_types_are_ignored_and_garbage_is_an_error() {
        let unknown = decode(r#"{"eventType":"quantum_event","x":[1]}"#).unwrap();
        assert_eq!(unknown, ClusterEvent::Ignored { event_type: "quantum_event".into() });
        assert_eq!(decode("{}"), Err(EventError::NoType));
        for data in ["", "{", "<html>", "[1]", "7"] {
            assert!(matches!(decode(data), Err(EventError::Syntax { .. } | EventError::NoType)), "{data}");
        }
        let error = decode(r#"{"eventType":"status_update_event","taskId":"a.1"}"#).unwrap_err();
        assert!(matches!(error, EventError::Incomplete { .. }), "{error}");
    }

    #[test]
    fn pods_are_known_by_their_uri() {
        let pod = |uri| pod_of_uri(uri).map(|id| id.to_string());
        assert_eq!(pod("/v2/pods/web").as_deref(), Some("/web"));
        assert_eq!(pod("/v2/pods//a/b?force=true").as_deref(), Some("/a/b"));
        assert_eq!(pod("http://m:8080/v2/pods/a%2Fb::versions/2026").as_deref(), Some("/a/b"));
        assert_eq!((pod("/v2/pods"), pod("/v2/pods/"), pod("/v2/pods/%zz")), (None, None, None));
    }

    #[test]
    fn unknown_health_is_not_unhealthy() {
        let data = r#"{"eventType":"instance_health_changed_event","instanceId":"i","runSpecId":"/a","healthy":null}"#;
        let ClusterEvent::HealthChanged { healthy, .. } = decode(data).unwrap() else { panic!("no health") };
        assert_eq!(healthy, None);
    }

    #[test]
    fn heavy_plans_are_skipped() {
        let tree = format!("{{\"id\":\"/\",\"apps\":[{}]}}", vec!["{\"id\":\"/x\"}"; 1000].join(","));
        let data = format!(
            "{{\"plan\":{{\"id\":\"d\",\"original\":{tree},\"target\":{tree},\"steps\":[{{\"actions\":[{{\"type\":\
             \"ScaleApplication\",\"app\":\"/foo\"}}]}}]}},\"eventType\":\"deployment_info\"}}"
        );
        let ClusterEvent::Deployment { id, phase, affected, .. } = decode(&data).unwrap() else {
            panic!("none")
        };
        assert_eq!((id.unwrap().as_str(), phase), ("d", DeploymentPhase::StepBegan));
        assert_eq!(affected, [AppId::parse("/foo").unwrap()]);
    }
}
