//! A task's change of state as the queue and the modules see it.

use std::fmt;
use std::sync::Arc;

use crate::{AppId, TaskId, TaskStatus, Timestamp};

/// When an event happened, as its sender wrote it: Marathon sends ISO text, other senders a number of milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventTimestamp {
    /// The text as it came.
    Text(Arc<str>),
    /// Milliseconds since the epoch.
    Millis(i64),
}

impl EventTimestamp {
    /// The instant it means, if the text is a date.
    #[must_use]
    pub fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => Timestamp::parse(text),
            Self::Millis(millis) => Some(Timestamp::from_millis(*millis)),
        }
    }
}

/// The seven fields of a status update that are kept (spec/mconn.md section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEvent {
    /// Mesos task id.
    pub task: TaskId,
    /// The state that the task has entered.
    pub status: TaskStatus,
    /// The app (or pod) that the task belongs to.
    pub app: AppId,
    /// The agent's host name, if it was told.
    pub host: Option<Arc<str>>,
    /// Agent host ports in order of the declared ports that have one.
    pub ports: Vec<u16>,
    /// `status_update_event`, or nothing for events that a sync made up.
    pub event_type: Option<Arc<str>>,
    /// As the sender wrote it.
    pub timestamp: Option<EventTimestamp>,
}

impl TaskEvent {
    /// `<taskId>_<taskStatus>`, the id that API and log show.
    #[must_use]
    pub fn display_id(&self) -> String {
        format!("{}_{}", self.task, self.status)
    }

    /// What makes two deliveries the same event, if the sender gave a timestamp.
    #[must_use]
    pub fn key(&self) -> Option<EventKey> {
        let timestamp = self.timestamp.as_ref()?;
        Some(EventKey { task: self.task.clone(), status: self.status.clone(), timestamp: timestamp.clone() })
    }
}

/// Stable identity of an event: the same through the stream, the callback and a repeated delivery. Modules use its text
/// as idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventKey {
    task: TaskId,
    status: TaskStatus,
    timestamp: EventTimestamp,
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_", self.task, self.status)?;
        match &self.timestamp {
            EventTimestamp::Text(text) => f.write_str(text),
            EventTimestamp::Millis(millis) => write!(f, "{millis}"),
        }
    }
}
