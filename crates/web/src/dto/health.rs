//! Health, information and leadership.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::catalog::HeldOut;
use super::module::ByName;

/// This process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// Always `ok`.
    pub(crate) status: &'static str,
}

/// Whether this node can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ok` or `error`.
    pub(crate) status: &'static str,
    /// What is wrong; missing if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Every reason on its own.
    pub(crate) reasons: Vec<String>,
    /// What the operator should know although the node does its work: sources that are away, mass disappearances that are
    /// held, apps in panic.
    pub(crate) warnings: Vec<String>,
    pub(crate) store: StoreHealth,
    pub(crate) queue: Option<QueueHealth>,
    /// By the source's id.
    pub(crate) sources: BTreeMap<String, SourceHealth>,
}

/// A source in short. It has no say in whether the node is ready: what is known of it stays served.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceHealth {
    /// `never`, `fresh` or `stale`.
    pub(crate) freshness: &'static str,
    /// Seconds in that state.
    pub(crate) since_seconds: Option<f64>,
    /// So much vanished at once that it is not believed yet.
    pub(crate) held: Option<HeldOut>,
    /// The last failure.
    pub(crate) last_error: Option<String>,
}

/// The store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreHealth {
    /// Where the data lie.
    pub(crate) location: String,
    /// Missing if the queue does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ok: Option<bool>,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueHealth {
    /// Events accepted and not finished.
    pub(crate) waiting: usize,
    /// Limit of `waiting`.
    pub(crate) limit: usize,
    /// Modules that an operator paused.
    pub(crate) paused: Vec<String>,
    /// Failed runs kept for the operator.
    #[serde(rename = "deadLetters")]
    pub(crate) dead_letters: usize,
}

/// Whether what is known of the sources is current.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FreshnessPage {
    /// `ok` or `error`.
    pub(crate) status: &'static str,
    /// What is wrong; missing if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// By the source's id.
    pub(crate) sources: BTreeMap<String, SourceFreshness>,
}

/// One source.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceFreshness {
    /// `never`, `fresh` or `stale`.
    pub(crate) freshness: &'static str,
    /// Seconds in that state.
    pub(crate) since_seconds: Option<f64>,
    /// Seconds since a snapshot told of a full comparison. One that changed nothing may not show in a snapshot.
    pub(crate) comparison_age_seconds: Option<f64>,
    /// Seconds since a snapshot told of an event.
    pub(crate) event_age_seconds: Option<f64>,
    /// Full comparisons so far.
    pub(crate) comparisons: u64,
    /// Events so far.
    pub(crate) events: u64,
    /// So much vanished at once that it is not believed yet.
    pub(crate) held: Option<HeldOut>,
    /// The last failure.
    pub(crate) last_error: Option<String>,
}

/// The leader.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Leader<'a> {
    /// `host:port`.
    pub(crate) leader: &'a str,
}

/// The leader, and this node's settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Info<'a> {
    /// `host:port`.
    pub(crate) leader: &'a str,
    /// Name and value of the original's sixteen variables, secrets masked.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) env: ByName<'a, &'a str>,
}
