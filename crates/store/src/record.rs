//! The serialised form of what is stored: JSON, one record each, with golden files in `tests/`.
//!
//! Presets and inventory items have the original's shape (spec/mconn.md sections 8 and 9), so that its ZooKeeper data can
//! be read. Journal entries and dead letters are ours and carry a version `v`; readers take any fields they know and
//! ignore the rest, so that a newer writer's additions do no harm.

use std::sync::Arc;

use mconn_model::{
    AppId, EventTimestamp, InventoryItem, ModuleName, Preset, SourceId, TaskEvent, TaskId, TaskStatus,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Seq;

/// An accepted event.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Its place.
    pub seq: Seq,
    /// When it was accepted, by the accepting node's clock.
    pub accepted_at: Timestamp,
    /// The event.
    pub event: Arc<TaskEvent>,
    /// The modules that were loaded then. It stays until all of them are through, loaded or not: a module that is left out
    /// by mistake at one start must not cost it events.
    pub owed: Arc<[ModuleName]>,
}

/// A run that failed for good, kept for the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Whose run.
    pub module: ModuleName,
    /// The event's place in the journal.
    pub seq: Seq,
    /// The event.
    pub event: Arc<TaskEvent>,
    /// Stable id of the event.
    pub event_id: Arc<str>,
    /// Why the last attempt failed.
    pub reason: Arc<str>,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the last one failed.
    pub failed_at: Timestamp,
    /// A later event of the same task has been handled by this module since: retrying this one would turn back time.
    pub superseded: bool,
}

/// A record that cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(String);

impl RecordError {
    fn new(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("not a {what}: {error}"))
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDto<'a> {
    /// Absent for the source that the original knew, so that its records, ours from before there were several sources, and
    /// those of a node that follows one are the same.
    #[serde(skip_serializing_if = "Option::is_none", default, borrow)]
    source: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    task_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    task_status: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    app_id: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none", default, borrow)]
    host: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    ports: Option<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none", default, borrow)]
    event_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default, borrow)]
    timestamp: Option<TimeDto<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TimeDto<'a> {
    Millis(i64),
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
}

impl<'a> From<&'a TaskEvent> for TaskDto<'a> {
    fn from(event: &'a TaskEvent) -> Self {
        Self {
            source: event.source.as_ref().map(|source| source.as_str().into()),
            task_id: event.task.as_str().into(),
            task_status: event.status.as_str().into(),
            app_id: event.app.as_str().into(),
            host: event.host.as_deref().map(Into::into),
            ports: Some(event.ports.clone()),
            event_type: event.event_type.as_deref().map(Into::into),
            timestamp: event.timestamp.as_ref().map(|t| match t {
                EventTimestamp::Millis(millis) => TimeDto::Millis(*millis),
                EventTimestamp::Text(text) => TimeDto::Text((&**text).into()),
            }),
        }
    }
}

impl TaskDto<'_> {
    fn into_event(self) -> Result<TaskEvent, RecordError> {
        let source = self.source.map(|source| SourceId::new(&source)).transpose();
        Ok(TaskEvent {
            source: source.map_err(|e| RecordError::new("task", e))?,
            task: TaskId::new(&self.task_id).map_err(|e| RecordError::new("task", e))?,
            status: TaskStatus::parse(&self.task_status),
            app: AppId::parse(&self.app_id).map_err(|e| RecordError::new("task", e))?,
            host: self.host.map(|h| Arc::from(&*h)),
            ports: self.ports.unwrap_or_default(),
            event_type: self.event_type.map(|t| Arc::from(&*t)),
            timestamp: self.timestamp.map(|t| match t {
                TimeDto::Millis(millis) => EventTimestamp::Millis(millis),
                TimeDto::Text(text) => EventTimestamp::Text(Arc::from(&*text)),
            }),
        })
    }
}

/// Bytes of its JSON.
pub(crate) fn event_size(event: &TaskEvent) -> usize {
    to_bytes(&TaskDto::from(event)).len()
}

/// The seven fields as JSON, in the original's spelling, and `source` where there is one.
#[must_use]
pub fn task_event_to_json(event: &TaskEvent) -> Value {
    serde_json::to_value(TaskDto::from(event)).unwrap_or_default()
}

/// Reads the seven fields.
///
/// # Errors
/// When a field is missing or of the wrong type.
pub fn task_event_from_json(json: &Value) -> Result<TaskEvent, RecordError> {
    TaskDto::deserialize(json).map_err(|e| RecordError::new("task", e))?.into_event()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PresetDto {
    app_id: String,
    module_name: String,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    options: Value,
    #[serde(default)]
    last_edit: Value,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A preset as JSON (spec/mconn.md section 8).
#[must_use]
pub fn encode_preset(preset: &Preset) -> Vec<u8> {
    let dto = PresetDto {
        app_id: preset.app.as_str().to_owned(),
        module_name: preset.module.as_str().to_owned(),
        status: Value::String(preset.status.to_string()),
        options: preset.options.clone(),
        last_edit: preset.last_edit.map_or(Value::Bool(false), |t| t.as_millis().into()),
        extra: preset.extra.clone(),
    };
    to_bytes(&dto)
}

/// Reads a preset.
///
/// # Errors
/// When it is no JSON object with app and module.
pub fn decode_preset(bytes: &[u8]) -> Result<Preset, RecordError> {
    let dto: PresetDto = serde_json::from_slice(bytes).map_err(|e| RecordError::new("preset", e))?;
    Ok(Preset {
        app: AppId::parse(&dto.app_id).map_err(|e| RecordError::new("preset", e))?,
        module: ModuleName::new(&dto.module_name).map_err(|e| RecordError::new("preset", e))?,
        // One that is no text acts as disabled, like none (spec/mconn.md section 8).
        status: dto.status.as_str().unwrap_or_default().into(),
        options: dto.options,
        last_edit: dto.last_edit.as_i64().map(Timestamp::from_millis),
        extra: dto.extra,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemDto<'a> {
    #[serde(default)]
    custom_data: Value,
    #[serde(borrow)]
    task_data: TaskDto<'a>,
}

/// An inventory item as JSON (spec/mconn.md section 9). Its key is the record's key.
#[must_use]
pub fn encode_item(item: &InventoryItem) -> Vec<u8> {
    to_bytes(&ItemDto { custom_data: item.data.clone(), task_data: (&item.event).into() })
}

/// Reads an inventory item.
///
/// # Errors
/// When it is no JSON object with a task.
pub fn decode_item(key: &str, bytes: &[u8]) -> Result<InventoryItem, RecordError> {
    let dto: ItemDto<'_> =
        serde_json::from_slice(bytes).map_err(|e| RecordError::new("inventory item", e))?;
    Ok(InventoryItem { key: key.into(), data: dto.custom_data, event: dto.task_data.into_event()? })
}

/// Version of journal entries and dead letters.
const RECORD_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct JournalDto<'a> {
    v: u32,
    at: i64,
    #[serde(borrow)]
    owed: Vec<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    task: TaskDto<'a>,
}

/// A journal entry as JSON. Its place is the record's key.
#[must_use]
pub fn encode_journal_entry(entry: &JournalEntry) -> Vec<u8> {
    to_bytes(&JournalDto {
        v: RECORD_VERSION,
        at: entry.accepted_at.as_millis(),
        owed: entry.owed.iter().map(|module| module.as_str().into()).collect(),
        task: (&*entry.event).into(),
    })
}

/// Reads a journal entry.
///
/// # Errors
/// When it is no JSON of this kind.
pub fn decode_journal_entry(seq: Seq, bytes: &[u8]) -> Result<JournalEntry, RecordError> {
    let dto: JournalDto<'_> =
        serde_json::from_slice(bytes).map_err(|e| RecordError::new("journal entry", e))?;
    Ok(JournalEntry {
        seq,
        accepted_at: Timestamp::from_millis(dto.at),
        event: Arc::new(dto.task.into_event()?),
        owed: dto
            .owed
            .iter()
            .map(|name| ModuleName::new(name))
            .collect::<Result<_, _>>()
            .map_err(|e| RecordError::new("journal entry", e))?,
    })
}

#[derive(Serialize, Deserialize)]
struct DeadLetterDto<'a> {
    v: u32,
    at: i64,
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    reason: std::borrow::Cow<'a, str>,
    attempts: u32,
    #[serde(default)]
    superseded: bool,
    #[serde(borrow)]
    task: TaskDto<'a>,
}

/// A dead letter as JSON. Module and place are the record's key.
#[must_use]
pub fn encode_dead_letter(letter: &DeadLetter) -> Vec<u8> {
    to_bytes(&DeadLetterDto {
        v: RECORD_VERSION,
        at: letter.failed_at.as_millis(),
        id: (&*letter.event_id).into(),
        reason: (&*letter.reason).into(),
        attempts: letter.attempts,
        superseded: letter.superseded,
        task: (&*letter.event).into(),
    })
}

/// Reads a dead letter.
///
/// # Errors
/// When it is no JSON of this kind.
pub fn decode_dead_letter(module: ModuleName, seq: Seq, bytes: &[u8]) -> Result<DeadLetter, RecordError> {
    let dto: DeadLetterDto<'_> =
        serde_json::from_slice(bytes).map_err(|e| RecordError::new("dead letter", e))?;
    Ok(DeadLetter {
        module,
        seq,
        event: Arc::new(dto.task.into_event()?),
        event_id: Arc::from(&*dto.id),
        reason: Arc::from(&*dto.reason),
        attempts: dto.attempts,
        failed_at: Timestamp::from_millis(dto.at),
        superseded: dto.superseded,
    })
}

/// Our own types have string keys and finite numbers, which is all that can make this fail.
fn to_bytes(dto: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(dto).unwrap_or_default()
}
