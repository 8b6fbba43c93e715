//! A task event as the API shows it.

use mconn_model::{EventTimestamp, SourceId, TaskEvent};
use serde::Serialize;
use utoipa::ToSchema;

/// The fields of a status update that are kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task<'a> {
    /// The Marathon that it belongs to; missing for the one of MCONN_MARATHON_HOSTS.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    task_id: &'a str,
    task_status: &'a str,
    app_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    ports: &'a [u16],
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Time<'a>>,
}

/// As its sender wrote it: ISO text, or milliseconds since the epoch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Time<'a> {
    Text(&'a str),
    Millis(i64),
}

impl<'a> From<&'a TaskEvent> for Task<'a> {
    fn from(event: &'a TaskEvent) -> Self {
        Self {
            source: event.source.as_ref().map(SourceId::as_str),
            task_id: event.task.as_str(),
            task_status: event.status.as_str(),
            app_id: event.app.as_str(),
            host: event.host.as_deref(),
            ports: &event.ports,
            event_type: event.event_type.as_deref(),
            timestamp: event.timestamp.as_ref().map(|timestamp| match timestamp {
                EventTimestamp::Text(text) => Time::Text(text),
                EventTimestamp::Millis(millis) => Time::Millis(*millis),
            }),
        }
    }
}

/// An event as Marathon posts it. Other fields are ignored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    /// `status_update_event` is accepted, `scheduler_registered_event` syncs all modules, all others are rejected.
    event_type: String,
    /// Mesos task id. Needed for a status update, as are `taskStatus` and `appId`.
    task_id: Option<String>,
    /// Such as `TASK_RUNNING`.
    task_status: Option<String>,
    /// Normalised: a missing leading slash is added.
    app_id: Option<String>,
    /// The agent's host name.
    host: Option<String>,
    /// Agent ports.
    ports: Option<Vec<u16>>,
    /// ISO text, or milliseconds since the epoch. Two events of the same task, status and timestamp are one.
    timestamp: Option<Time<'static>>,
}

/// An accepted event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    /// Address of the leader.
    leader: String,
    /// `<taskId>_<taskStatus>`. The event is durable.
    task_id: String,
}
