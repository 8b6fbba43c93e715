//! Health, information and leadership.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::catalog::HeldOut;
use super::module::ByName;
use crate::seat::{self, Seat};

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
    /// `leading`, `following` or `vacant`.
    pub(crate) role: &'static str,
    /// `host:port` of the leader, if anybody leads.
    pub(crate) leader: Option<String>,
    /// What is wrong; missing if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// Every reason on its own.
    pub(crate) reasons: Vec<String>,
    /// What the operator should know although the node does its work: sources that are away, mass disappearances that are
    /// held, apps in panic.
    pub(crate) warnings: Vec<String>,
    pub(crate) store: StoreHealth,
    /// Missing if it does not answer, or is another node's.
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
    /// Missing if the queue does not answer, or is another node's.
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
    /// `host:port`; null while nobody leads.
    pub(crate) leader: Option<&'a str>,
    /// Name and value of the original's sixteen variables, secrets masked.
    #[schema(value_type = BTreeMap<String, String>)]
    pub(crate) env: ByName<'a, &'a str>,
}

/// All nodes of the cluster, as this one knows them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Members<'a> {
    /// What this node is: `leading`, `following` or `vacant`.
    pub(crate) role: &'static str,
    /// `host:port`; null while nobody leads.
    pub(crate) leader: Option<&'a str>,
    /// Number of the leadership; null on a node without others, and while nobody leads.
    pub(crate) epoch: Option<u64>,
    /// In the order in which they would lead.
    pub(crate) members: Vec<Member<'a>>,
}

/// One node.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member<'a> {
    /// As the cluster calls it.
    pub(crate) name: &'a str,
    /// `host:port`.
    pub(crate) address: &'a str,
    /// What it runs, if it says so.
    pub(crate) version: Option<&'a str>,
    /// `leading` or `following`.
    pub(crate) role: &'static str,
    /// Whether it is the node that was asked.
    #[serde(rename = "self")]
    pub(crate) is_self: bool,
}

impl<'a> Members<'a> {
    pub(crate) fn of(seat: &'a Seat) -> Self {
        let member = |member: &'a seat::Member| Member {
            name: &member.name,
            address: &member.authority,
            version: member.version.as_deref(),
            role: member.role().as_str(),
            is_self: member.is_self,
        };
        let leader = seat.leader();
        Self {
            role: seat.position.role().as_str(),
            leader: leader.map(|leader| leader.authority.as_str()),
            epoch: leader.and_then(|leader| leader.epoch),
            members: seat.members.iter().map(member).collect(),
        }
    }
}
