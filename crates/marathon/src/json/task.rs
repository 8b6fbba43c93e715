//! Tasks of apps (spec/marathon.md section 4).

use std::net::IpAddr;
use std::sync::Arc;

use mconn_model::{AgentId, AppId, AppTask, HealthResult, InstanceId, IpAddress, TaskId, TaskStatus};
use serde::Deserialize;

use super::app::timestamp;
use super::lenient::{Flag, List, Number, Object, RawList, Text};
use super::{JsonError, Notes, Parsed, object, parse_object};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TaskDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    app_id: Text<'a>,
    #[serde(borrow)]
    host: Text<'a>,
    #[serde(borrow)]
    slave_id: Text<'a>,
    #[serde(borrow)]
    state: Text<'a>,
    ports: List<Number>,
    service_ports: List<Number>,
    #[serde(borrow)]
    ip_addresses: List<Object<AddressDto<'a>>>,
    #[serde(borrow)]
    staged_at: Text<'a>,
    #[serde(borrow)]
    started_at: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow)]
    health_check_results: List<Object<HealthDto<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AddressDto<'a> {
    #[serde(borrow)]
    ip_address: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HealthDto<'a> {
    alive: Flag,
    consecutive_failures: Number,
    #[serde(borrow)]
    first_success: Text<'a>,
    #[serde(borrow)]
    last_success: Text<'a>,
    #[serde(borrow)]
    instance_id: Text<'a>,
}

/// How the generation calls instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// 1.4 or later: `app.<uuid>` runs in the instance `app.marathon-<uuid>`.
    Instances,
    /// Perhaps older, where there are no instances.
    Unknown,
}

/// The addresses that are addresses, in order. Agents also report host names here, which say nothing.
pub(crate) fn addresses(list: &List<Object<AddressDto<'_>>>) -> impl Iterator<Item = IpAddr> {
    list.0.iter().filter_map(|dto| dto.0.as_ref()?.ip_address.get()?.parse().ok())
}

/// Ports in order. They pair with declared ports by position, so nothing after an unusable one can be used either.
pub(crate) fn ports(list: &List<Number>) -> Result<Vec<u16>, Vec<u16>> {
    let ports: Vec<u16> = list.0.iter().map_while(|port| port.whole()).collect();
    if ports.len() == list.0.len() { Ok(ports) } else { Err(ports) }
}

/// Decodes one task. Its app is what its own document says, else the app that it was found in.
///
/// # Errors
/// A text, when it is no object, has no usable id, or belongs to no app.
pub(super) fn decode_task(
    raw: &str,
    within: Option<&AppId>,
    naming: Naming,
    place: &str,
    notes: &mut Notes,
) -> Result<AppTask, String> {
    let dto: TaskDto<'_> = object(raw)?;
    let id = dto.id.get().ok_or("it has no id").map_err(str::to_owned)?;
    let id = TaskId::new(id).map_err(|error| error.to_string())?;
    let app = match (dto.app_id.get(), within) {
        (Some(app), _) => AppId::parse(app).map_err(|error| error.to_string())?,
        (None, Some(app)) => app.clone(),
        (None, None) => return Err(format!("task {id} names no app")),
    };
    let started_at = timestamp(&dto.started_at);
    let status = match dto.state.get() {
        Some(state) => TaskStatus::parse(state),
        None if dto.started_at.get().is_some() => TaskStatus::Running,
        None => TaskStatus::Staging,
    };
    let ports = ports(&dto.ports).unwrap_or_else(|usable| {
        notes.warn(place, format!("task {id}: host port {} and those after it are no ports", usable.len()));
        usable
    });
    let health: Vec<&HealthDto<'_>> =
        dto.health_check_results.0.iter().filter_map(|dto| dto.0.as_ref()).collect();
    let told = health.iter().find_map(|dto| dto.instance_id.get()).and_then(|id| InstanceId::new(id).ok());
    Ok(AppTask {
        instance: told.or_else(|| instance_of(id.as_str(), naming)),
        app,
        host: dto.host.shared(),
        agent: dto.slave_id.get().and_then(|id| AgentId::new(id).ok()),
        status,
        ports,
        service_ports: dto.service_ports.0.iter().filter_map(|port| port.port()).collect(),
        addresses: addresses(&dto.ip_addresses).map(IpAddress).collect(),
        staged_at: timestamp(&dto.staged_at),
        started_at,
        version: timestamp(&dto.version),
        health: health.into_iter().map(health_result).collect(),
        ready: None,
        id,
    })
}

fn health_result(dto: &HealthDto<'_>) -> HealthResult {
    let alive = dto.alive.0.unwrap_or(false);
    HealthResult {
        alive,
        consecutive_failures: dto.consecutive_failures.whole().unwrap_or(0),
        succeeded_once: alive || dto.first_success.get().is_some() || dto.last_success.get().is_some(),
    }
}

const UUID_CHARS: usize = 36;

fn starts_with_uuid(text: &str) -> bool {
    text.len() >= UUID_CHARS
        && text.bytes().take(UUID_CHARS).enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The instance out of a task id; task documents do not name it. `app.instance-<uuid>._app.<n>` (1.8 and later) tells
/// it whole, `app.<uuid>[.<n>]` (1.4 to 1.7) needs to know that it is not older.
fn instance_of(task: &str, naming: Naming) -> Option<InstanceId> {
    for mark in [".instance-", ".marathon-"] {
        if let Some(at) = task.rfind(mark) {
            let uuid = at + mark.len();
            return starts_with_uuid(&task[uuid..])
                .then(|| InstanceId::new(&task[..uuid + UUID_CHARS]).ok())
                .flatten();
        }
    }
    if naming == Naming::Unknown {
        return None;
    }
    let (at, _) = task.rmatch_indices('.').find(|(at, _)| starts_with_uuid(&task[at + 1..]))?;
    InstanceId::new(&format!("{}.marathon-{}", &task[..at], &task[at + 1..at + 1 + UUID_CHARS])).ok()
}

/// A running task as `GET /v2/tasks?status=running` lists it, reduced to what comparing with an inventory needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    /// Mesos task id.
    pub task: TaskId,
    /// Its app.
    pub app: AppId,
    /// The agent's host name.
    pub host: Option<Arc<str>>,
    /// Host ports.
    pub ports: Vec<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TasksDto<'a> {
    #[serde(borrow)]
    pub(super) tasks: RawList<'a>,
}

pub(super) fn tasks_of<'a>(body: &'a [u8]) -> Result<RawList<'a>, JsonError> {
    const WANTED: &str = "a list of tasks";
    let dto: TasksDto<'a> = parse_object(body, WANTED)?;
    if dto.tasks.0.is_none() {
        return Err(JsonError::Unexpected { wanted: WANTED, reason: "it has no array \"tasks\"".to_owned() });
    }
    Ok(dto.tasks)
}

/// Decodes `GET /v2/tasks?status=running`: a JSON object with an array `tasks`, nothing else counts.
///
/// # Errors
/// [`JsonError`] when it is anything else. Elements that cannot be read become warnings.
pub fn running_tasks(body: &[u8]) -> Result<Parsed<Vec<RunningTask>>, JsonError> {
    let mut notes = Notes::default();
    let tasks = notes.each("tasks", &tasks_of(body)?, |raw, place, notes| {
        let task = decode_task(raw, None, Naming::Unknown, place, notes)?;
        Ok(RunningTask { task: task.id, app: task.app, host: task.host, ports: task.ports })
    });
    Ok(notes.done(tasks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_out_of_task_ids() {
        let uuid = "0b5f8e3a-ea1d-11f0-9c3e-70b3d5800001";
        let cases = [
            (format!("shop_cart.instance-{uuid}._app.1"), Some(format!("shop_cart.instance-{uuid}"))),
            (format!("web.instance-{uuid}.container"), Some(format!("web.instance-{uuid}"))),
            (format!("a.b_c.{uuid}"), Some(format!("a.b_c.marathon-{uuid}"))),
            (format!("resident.{uuid}.2"), Some(format!("resident.marathon-{uuid}"))),
            ("my-app_0-1396592784349".to_owned(), None),
            ("x.instance-short".to_owned(), None),
            ("x.instance-ä23456789012345678901234567890123456".to_owned(), None),
        ];
        for (task, wanted) in cases {
            let got = instance_of(&task, Naming::Instances);
            assert_eq!(got.as_ref().map(InstanceId::as_str), wanted.as_deref(), "{task}");
        }
        assert_eq!(instance_of(&format!("a.{uuid}"), Naming::Unknown), None, "1.3 has no instances");
    }

    #[test]
    fn running_tasks_count_only_with_an_array() {
        let body = br#"{"tasks":[{"appId":"/dev-app-1","id":"A","host":"ac3.kiel","ports":[31001,"31002"]},{"id":"B"},7]}"#;
        let parsed = running_tasks(body).unwrap();
        assert_eq!((parsed.value.len(), parsed.warnings.len()), (1, 2));
        assert_eq!(parsed.value[0].ports, [31001, 31002]);
        for body in ["{}", "[]", "{\"tasks\":null}", "{\"tasks\":{}}", "{\"tasks\":[", "<html>", ""] {
            assert!(running_tasks(body.as_bytes()).is_err(), "{body}");
        }
        assert_eq!(running_tasks(b"{\"tasks\":[]}").unwrap(), Parsed::default());
    }

    #[test]
    fn state_and_ports_of_old_generations() {
        let decode = |text: &str| {
            let mut notes = Notes::default();
            let task = decode_task(text, None, Naming::Unknown, "t", &mut notes).unwrap();
            (task, notes.into_warnings().len())
        };
        let (task, warnings) =
            decode(r#"{"id":"a.1","appId":"/a","startedAt":"2015-12-07T09:02:48.98Z","ports":null}"#);
        assert_eq!((task.status, warnings), (TaskStatus::Running, 0));
        let (task, _) = decode(r#"{"id":"a.1","appId":"/a","startedAt":null}"#);
        assert_eq!(task.status, TaskStatus::Staging);
        let (task, warnings) = decode(r#"{"id":"a.1","appId":"/a","ports":[31000,null,31001]}"#);
        assert_eq!((task.ports, warnings), (vec![31000], 1), "positions after a hole cannot be trusted");
        let (task, _) = decode(
            r#"{"id":"a.1","appId":"/a","healthCheckResults":[null,{"alive":false,"lastSuccess":null}]}"#,
        );
        assert_eq!(
            task.health,
            [HealthResult { alive: false, consecutive_failures: 0, succeeded_once: false }]
        );
    }
}
