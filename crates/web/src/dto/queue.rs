//! Main queue, lanes and dead letters.

use mconn_queue::{LaneItem, ModuleState, QueueItem};
use mconn_store::DeadLetter;
use serde::Serialize;
use utoipa::ToSchema;

use super::seconds;
use super::task::Task;

/// An event of the main queue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'a> {
    /// `<taskId>_<taskStatus>`.
    id: &'a str,
    data: Task<'a>,
    /// One entry per module in loading order.
    module_state: Vec<Copy<'a>>,
    /// Always 0.
    runtime: u32,
    /// `true` for the first entry, missing for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
}

/// State of one module's copy of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Copy<'a> {
    name: &'a str,
    /// `idle`, `started`, `finished`, `failed`, `nopreset` or `undefinedStatus`.
    state: &'static str,
    /// Seconds since the start of its run, with one decimal.
    runtime: f64,
    /// Why the last attempt failed, or why nothing was to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Entry<'a> {
    pub(crate) fn all(items: &'a [QueueItem]) -> Vec<Self> {
        let entry = |(place, item): (usize, &'a QueueItem)| Self {
            id: &item.id,
            data: (&*item.event).into(),
            module_state: item.modules.iter().map(Copy::from).collect(),
            runtime: 0,
            active: (place == 0).then_some(true),
        };
        items.iter().enumerate().map(entry).collect()
    }
}

impl<'a> From<&'a ModuleState> for Copy<'a> {
    fn from(state: &'a ModuleState) -> Self {
        Self {
            name: state.name.as_str(),
            state: state.state.as_str(),
            runtime: seconds(state.runtime),
            error: state.error.as_deref(),
        }
    }
}

/// A copy in a module's queue.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LaneEntry<'a> {
    /// `<taskId>_<taskStatus>`.
    id: &'a str,
    data: Task<'a>,
    /// `true` for what a sync made up, missing otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup: Option<bool>,
    /// Always empty.
    module_state: [Nothing; 0],
    /// Seconds since the start of its run, with one decimal.
    runtime: f64,
    /// `started` or `idle`.
    state: &'static str,
    /// Failed attempts so far; missing while there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// There is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nothing {}

impl<'a> From<&'a LaneItem> for LaneEntry<'a> {
    fn from(item: &'a LaneItem) -> Self {
        Self {
            id: &item.id,
            data: (&*item.event).into(),
            cleanup: item.cleanup.then_some(true),
            module_state: [],
            runtime: seconds(item.runtime),
            state: item.state.as_str(),
            attempts: (item.attempts > 0).then_some(item.attempts),
            error: item.error.as_deref(),
        }
    }
}

/// A run that failed for good.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter<'a> {
    /// Names it in the routes that retry or drop it.
    seq: u64,
    /// `<taskId>_<taskStatus>`.
    id: String,
    data: Task<'a>,
    /// Why the last attempt failed.
    reason: &'a str,
    /// How many attempts were made.
    attempts: u32,
    /// When the last one failed, as ISO text.
    failed_at: String,
    /// A later event of the same task was handled since: a retry has to be forced.
    superseded: bool,
}

impl<'a> From<&'a DeadLetter> for Letter<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        Self {
            seq: letter.seq.0,
            id: letter.event.display_id(),
            data: (&*letter.event).into(),
            reason: &letter.reason,
            attempts: letter.attempts,
            failed_at: letter.failed_at.to_string(),
            superseded: letter.superseded,
        }
    }
}
