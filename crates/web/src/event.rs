//! Reads the event of a `POST /v1/queue` straight from the request's bytes (spec/mconn.md section 4.2).
//!
//! The event's type decides first, so a field of the wrong type is remembered here and complained about only if the
//! event is one that counts. Of a field that is given twice the last one counts, as in the original.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use mconn_model::{AppId, EventTimestamp, SourceId, TaskEvent, TaskId, TaskStatus};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::body::{Kind, Posted, broken};
use crate::problem::{Cause, Problem};

/// The event type that reports a task's change of state.
pub(crate) const STATUS_UPDATE: &str = "status_update_event";
/// The event type that says that Marathon has a new leader.
pub(crate) const REGISTERED: &str = "scheduler_registered_event";

/// Bytes of a text that is kept as it came. What Marathon sends has some 50; the text is stored several times over, shown and
/// logged.
const MAX_TEXT: usize = 4096;

/// Ports of a task.
const MAX_PORTS: usize = 4096;

/// An event as it was posted.
#[derive(Debug, Default)]
pub(crate) struct PostedEvent<'a> {
    kind: Field<'a>,
    task: Field<'a>,
    status: Field<'a>,
    app: Field<'a>,
    host: Field<'a>,
    timestamp: Field<'a>,
    ports: Ports,
}

/// A field of any type.
#[derive(Debug, Default, PartialEq)]
enum Field<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    Integer(i64),
    Wrong(&'static str),
}

#[derive(Debug, Default, PartialEq)]
enum Ports {
    #[default]
    None,
    List(Vec<u16>),
    Wrong,
}

impl<'a> PostedEvent<'a> {
    /// Reads a body. One that is no object has no event type, and is rejected as such.
    pub(crate) fn read(posted: &'a Posted) -> Result<Self, Problem> {
        match posted.kind {
            Kind::Other => Ok(Self::default()),
            Kind::Form => Ok(Self::from_form(posted)),
            Kind::Json => {
                let text = posted.text()?;
                match text.trim_ascii_start().bytes().next() {
                    None => Ok(Self::default()),
                    Some(b'{') => serde_json::from_str(text).map_err(|error| broken(&error)),
                    Some(b'[') => {
                        serde_json::from_str::<IgnoredAny>(text).map_err(|error| broken(&error))?;
                        Ok(Self::default())
                    }
                    Some(_) => {
                        serde_json::from_str::<IgnoredAny>(text).map_err(|error| broken(&error))?;
                        Err(Problem::bad(Cause::BadType, "the body is neither an object nor an array"))
                    }
                }
            }
        }
    }

    fn from_form(posted: &'a Posted) -> Self {
        let mut event = Self::default();
        let mut ports = Vec::new();
        for (name, value) in posted.pairs() {
            match &*name {
                "eventType" => event.kind = Field::Text(value),
                "taskId" => event.task = Field::Text(value),
                "taskStatus" => event.status = Field::Text(value),
                "appId" => event.app = Field::Text(value),
                "host" => event.host = Field::Text(value),
                "timestamp" => event.timestamp = Field::Text(value),
                "ports" | "ports[]" => ports.push(value.parse()),
                _ => {}
            }
        }
        if !ports.is_empty() {
            event.ports = ports.into_iter().collect::<Result<_, _>>().map_or(Ports::Wrong, Ports::List);
        }
        event
    }

    /// The event type, if it is a text.
    pub(crate) fn kind(&self) -> Option<&str> {
        match &self.kind {
            Field::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The event type as the original would have written it.
    pub(crate) fn kind_for_people(&self) -> Cow<'_, str> {
        match &self.kind {
            Field::Absent => "undefined".into(),
            Field::Null => "null".into(),
            Field::Text(text) => (&**text).into(),
            Field::Integer(number) => number.to_string().into(),
            Field::Wrong(what) => (*what).into(),
        }
    }

    /// The task event that it reports.
    pub(crate) fn into_task_event(self, source: Option<SourceId>) -> Result<TaskEvent, Problem> {
        let task = TaskId::new(&required("taskId", self.task)?).map_err(|error| refuse(error.to_string()))?;
        let status = required("taskStatus", self.status)?;
        // A status is a short word; the rules for ids keep control characters and megabytes out of it.
        TaskId::new(&status).map_err(|_| refuse("taskStatus is too long or contains a control character"))?;
        let app = AppId::parse(&required("appId", self.app)?).map_err(|error| refuse(error.to_string()))?;
        Ok(TaskEvent {
            source,
            task,
            status: TaskStatus::parse(&status),
            app,
            host: match self.host {
                Field::Absent | Field::Null => None,
                Field::Text(text) => Some(short("host", &text)?),
                Field::Integer(_) | Field::Wrong(_) => return Err(refuse("host must be a text")),
            },
            ports: match self.ports {
                Ports::None => Vec::new(),
                Ports::List(ports) if ports.len() > MAX_PORTS => {
                    return Err(refuse(format!(
                        "ports has {} numbers, at most {MAX_PORTS} are taken",
                        ports.len()
                    )));
                }
                Ports::List(ports) => ports,
                Ports::Wrong => return Err(refuse("ports must be an array of numbers from 0 to 65535")),
            },
            event_type: match self.kind {
                Field::Text(text) => Some(short("eventType", &text)?),
                _ => None,
            },
            timestamp: match self.timestamp {
                Field::Absent | Field::Null => None,
                Field::Text(text) => Some(EventTimestamp::Text(short("timestamp", &text)?)),
                Field::Integer(millis) => Some(EventTimestamp::Millis(millis)),
                Field::Wrong(_) => {
                    return Err(refuse("timestamp must be a text or a number of milliseconds"));
                }
            },
        })
    }
}

fn required<'a>(name: &'static str, field: Field<'a>) -> Result<Cow<'a, str>, Problem> {
    match field {
        Field::Text(text) if !text.is_empty() => Ok(text),
        Field::Text(_) => Err(refuse(format!("{name} is empty"))),
        Field::Absent => Err(refuse(format!("{name} is missing"))),
        Field::Null => Err(refuse(format!("{name} is null, a text is needed"))),
        Field::Integer(_) => Err(refuse(format!("{name} is a number, a text is needed"))),
        Field::Wrong(what) => Err(refuse(format!("{name} is {what}, a text is needed"))),
    }
}

fn short(name: &'static str, text: &str) -> Result<Arc<str>, Problem> {
    if text.len() > MAX_TEXT {
        return Err(refuse(format!("{name} has {} bytes, at most {MAX_TEXT} are taken", text.len())));
    }
    Ok(text.into())
}

fn refuse(reason: impl Into<Cow<'static, str>>) -> Problem {
    Problem::bad(Cause::BadEvent, reason)
        .hint("a status_update_event needs the texts taskId, taskStatus and appId; nothing was queued")
}

impl<'de> Deserialize<'de> for PostedEvent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Name {
    EventType,
    TaskId,
    TaskStatus,
    AppId,
    Host,
    Timestamp,
    Ports,
    #[serde(other)]
    Other,
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = PostedEvent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut event = PostedEvent::default();
        while let Some(name) = map.next_key()? {
            match name {
                Name::EventType => event.kind = map.next_value()?,
                Name::TaskId => event.task = map.next_value()?,
                Name::TaskStatus => event.status = map.next_value()?,
                Name::AppId => event.app = map.next_value()?,
                Name::Host => event.host = map.next_value()?,
                Name::Timestamp => event.timestamp = map.next_value()?,
                Name::Ports => event.ports = map.next_value()?,
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(event)
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Field::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Field::Wrong("a huge number"), Field::Integer))
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked to be within what both types hold exactly")]
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole = number.trunc();
        Ok(if whole.abs() < EXACT { Field::Integer(whole as i64) } else { Field::Wrong("a huge number") })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Wrong("a truth value"))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong("an object"))
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortsVisitor)
    }
}

struct PortsVisitor;

impl<'de> Visitor<'de> for PortsVisitor {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut ports = Vec::new();
        let mut fits = true;
        while let Some(port) = seq.next_element::<Field<'de>>()? {
            match port {
                Field::Integer(port) => match u16::try_from(port) {
                    Ok(port) => ports.push(port),
                    Err(_) => fits = false,
                },
                _ => fits = false,
            }
        }
        Ok(if fits { Ports::List(ports) } else { Ports::Wrong })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Ports::None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Ports::Wrong)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Ports::Wrong)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Ports::Wrong)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Ports::Wrong)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Ports::Wrong)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Ports::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_a_problem(bytes: Vec<u8>, form: bool) {
            let kind = if form { Kind::Form } else { Kind::Json };
            let posted = Posted { bytes: bytes.into(), kind };
            if let Ok(event) = PostedEvent::read(&posted) {
                let _ = event.kind_for_people().len();
                let _ = event.into_task_event(None);
            }
        }

        #[test]
        fn fields_of_any_type_are_told_apart(task in value(), ports in value(), timestamp in value()) {
            let body = serde_json::json!({
                "eventType": STATUS_UPDATE, "taskId": task, "taskStatus": "TASK_RUNNING", "appId": "/a",
                "ports": ports, "timestamp": timestamp,
            });
            let posted = Posted { bytes: body.to_string().into(), kind: Kind::Json };
            let event = PostedEvent::read(&posted).expect("it is JSON");
            let port = |port: &serde_json::Value| port.as_i64().is_some_and(|port| (0..=65535).contains(&port));
            let fits = task.as_str().is_some_and(|task| TaskId::new(task).is_ok())
                && (ports.is_null() || ports.as_array().is_some_and(|ports| ports.iter().all(port)))
                && (timestamp.is_null() || timestamp.is_string() || timestamp.is_i64());
            prop_assert_eq!(event.into_task_event(None).is_ok(), fits, "{}", body);
        }
    }

    #[test]
    fn texts_and_lists_have_a_limit() {
        let read = |field: &str, value: serde_json::Value| {
            let mut body = serde_json::json!({
                "eventType": STATUS_UPDATE, "taskId": "t", "taskStatus": "TASK_RUNNING", "appId": "/a",
            });
            body[field] = value;
            let posted = Posted { bytes: body.to_string().into(), kind: Kind::Json };
            PostedEvent::read(&posted).expect("it is JSON").into_task_event(None)
        };
        for field in ["eventType", "host", "timestamp", "taskId", "taskStatus"] {
            let text = |bytes: usize| serde_json::Value::from("x".repeat(bytes));
            assert!(read(field, text(4096)).is_ok(), "{field}");
            assert!(read(field, text(4097)).is_err(), "{field}");
        }
        assert!(read("ports", vec![1_u16; 4096].into()).is_ok());
        assert!(read("ports", vec![1_u16; 4097].into()).is_err());
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-70_000_i64..70_000).prop_map(Value::from),
            "[ -~äß\u{0}]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{0,3}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
