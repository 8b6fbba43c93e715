//! A task's change of state as the queue and the modules see it.

use std::fmt;
use std::sync::Arc;

use crate::{AppId, SourceId, TaskId, TaskStatus, Timestamp};

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

/// The seven fields of a status update that are kept (spec/mconn.md section 5.1), and whose task it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEvent {
    /// The source, where several are followed. `None` is the one that the original knew (`MCONN_MARATHON_HOSTS`), so that
    /// whatever was stored or sent without a source stays with it.
    pub source: Option<SourceId>,
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

    /// Whose state it is: what order, syncs and inventories go by. Task ids of two sources may be equal.
    #[must_use]
    pub fn task_key(&self) -> TaskKey {
        TaskKey { source: self.source.clone(), task: self.task.clone() }
    }

    /// What makes two deliveries the same event, if the sender gave a timestamp.
    #[must_use]
    pub fn key(&self) -> Option<EventKey> {
        let timestamp = self.timestamp.as_ref()?;
        Some(EventKey { task: self.task_key(), status: self.status.clone(), timestamp: timestamp.clone() })
    }
}

/// A task of one source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// As in [`TaskEvent::source`].
    pub source: Option<SourceId>,
    /// Mesos task id.
    pub task: TaskId,
}

/// `<taskId>`, and `<taskId>@<source>` where the source is named. Inventory items go by this text.
impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            None => self.task.fmt(f),
            Some(source) => write!(f, "{}@{source}", self.task),
        }
    }
}

/// Stable identity of an event: the same through the stream, the callback and a repeated delivery. Modules use its text
/// as idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventKey {
    task: TaskKey,
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
