//! The catalog for people: apps, tasks, endpoints, and why each is or is not reachable.

use std::collections::BTreeMap;

use mconn_model::{
    AppEntry, Endpoint, Held, Protocols, Rule, Snapshot, SourceState, TaskEntry, Verdict, VerdictKind,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The newest snapshot in short.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Catalog<'a> {
    #[serde(flatten)]
    edition: Edition,
    /// Whether every source was read completely at least once.
    complete: bool,
    /// By the source's id.
    sources: BTreeMap<&'a str, Source<'a>>,
    apps: Vec<AppSummary<'a>>,
}

/// Which snapshot this is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Edition {
    /// Grows with every change, starts anew with the process.
    version: u64,
    /// Equal for equal contents, whatever the version or node.
    digest: String,
}

/// How well a source is followed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Source<'a> {
    /// `never`, `fresh` or `stale`.
    freshness: &'static str,
    /// Events folded.
    events: u64,
    /// Full comparisons.
    comparisons: u64,
    /// Missed events that comparisons found.
    differences: u64,
    /// The leader as the source names it.
    leader: Option<&'a str>,
    last_error: Option<&'a str>,
    /// So much vanished at once that it is not believed yet.
    held: Option<HeldOut>,
    /// Changes of verdicts since the process started: the number of the newest.
    changes: u64,
}

/// A mass disappearance that is not believed yet: what it counts stays served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldOut {
    /// Apps and pods that the listing lacks.
    apps: usize,
    /// Tasks that it lacks.
    tasks: usize,
    /// Since when.
    since: String,
    /// When a listing that still lacks them is believed.
    until: String,
}

/// An app or pod in short.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppSummary<'a> {
    source: &'a str,
    id: &'a str,
    /// `app`, `pod`, or `unknown` while its definition is not known.
    kind: &'static str,
    /// Wanted instances, if the definition is known.
    instances: Option<u32>,
    tasks: usize,
    endpoints: Counts,
}

/// Endpoints by verdict.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    routable: usize,
    draining: usize,
    not_ready: usize,
}

/// An app or pod with everything about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppPage<'a> {
    #[serde(flatten)]
    edition: Edition,
    /// One per source that has it.
    apps: Vec<AppDetail<'a>>,
}

/// An app or pod with its tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AppDetail<'a> {
    #[serde(flatten)]
    summary: AppSummary<'a>,
    labels: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "taskList")]
    task_list: Vec<TaskDetail<'a>>,
}

/// A task with what it offers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDetail<'a> {
    id: &'a str,
    status: &'a str,
    host: Option<&'a str>,
    #[serde(flatten)]
    verdict: VerdictOut,
    /// Since when that verdict holds.
    since: String,
    endpoints: Vec<EndpointOut<'a>>,
    /// Declared ports without address, and why.
    unresolved: Vec<&'a str>,
}

/// Whether something gets traffic, and the rule that says so.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerdictOut {
    /// `routable`, `draining` or `not ready`.
    verdict: &'static str,
    /// Name of the rule that decided.
    rule: &'static str,
}

/// The verdict on every task, and nothing else: where those begin who follow the changes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdicts<'a> {
    #[serde(flatten)]
    edition: Edition,
    /// By the source's id.
    sources: BTreeMap<&'a str, Source<'a>>,
    tasks: Vec<TaskVerdict<'a>>,
}

/// A task in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskVerdict<'a> {
    source: &'a str,
    app: &'a str,
    task: &'a str,
    addresses: Vec<String>,
    #[serde(flatten)]
    verdict: VerdictOut,
    /// Since when that verdict holds.
    since: String,
}

/// Address and port.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointOut<'a> {
    address: String,
    /// `tcp`, `udp` or `tcp,udp`.
    protocols: &'static str,
    port_index: usize,
    port_name: Option<&'a str>,
    service_port: Option<u16>,
    #[serde(flatten)]
    verdict: VerdictOut,
}

impl From<&Snapshot> for Edition {
    fn from(snapshot: &Snapshot) -> Self {
        Self { version: snapshot.version, digest: format!("{:016x}", snapshot.digest) }
    }
}

impl<'a> From<&'a SourceState> for Source<'a> {
    fn from(state: &'a SourceState) -> Self {
        Self {
            freshness: state.freshness.as_str(),
            events: state.events,
            comparisons: state.comparisons,
            differences: state.differences,
            leader: state.leader.as_deref(),
            last_error: state.last_error.as_deref(),
            held: state.held.map(HeldOut::from),
            changes: state.changes.total(),
        }
    }
}

impl From<Held> for HeldOut {
    fn from(held: Held) -> Self {
        let Held { apps, tasks, since, until } = held;
        Self { apps, tasks, since: since.to_string(), until: until.to_string() }
    }
}

impl<'a> From<&'a Snapshot> for Catalog<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        Self {
            edition: snapshot.into(),
            complete: snapshot.is_complete(),
            sources: sources(snapshot),
            apps: snapshot.apps.values().map(|app| (&**app).into()).collect(),
        }
    }
}

impl<'a> From<&'a Snapshot> for Verdicts<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        let tasks = snapshot.apps.values().flat_map(|app| {
            app.tasks.iter().map(|entry| TaskVerdict {
                source: app.source.as_str(),
                app: app.id.as_str(),
                task: entry.task.id.as_str(),
                addresses: entry.endpoints.iter().map(|endpoint| endpoint.transport.to_string()).collect(),
                verdict: entry.verdict.into(),
                since: entry.since.to_string(),
            })
        });
        Self { edition: snapshot.into(), sources: sources(snapshot), tasks: tasks.collect() }
    }
}

fn sources(snapshot: &Snapshot) -> BTreeMap<&str, Source<'_>> {
    snapshot.sources.iter().map(|(id, state)| (id.as_str(), state.into())).collect()
}

impl<'a> From<&'a AppEntry> for AppSummary<'a> {
    fn from(entry: &'a AppEntry) -> Self {
        let (kind, instances) = kind(entry);
        let mut endpoints = Counts::default();
        for endpoint in entry.tasks.iter().flat_map(|task| &task.endpoints) {
            *match endpoint.verdict.kind {
                VerdictKind::Routable => &mut endpoints.routable,
                VerdictKind::Draining => &mut endpoints.draining,
                VerdictKind::NotReady => &mut endpoints.not_ready,
            } += 1;
        }
        let (source, id) = (entry.source.as_str(), entry.id.as_str());
        Self { source, id, kind, instances, tasks: entry.tasks.len(), endpoints }
    }
}

impl<'a> AppPage<'a> {
    /// The app of that id in every source that has it; `None` if none has.
    pub(crate) fn find(snapshot: &'a Snapshot, id: &str) -> Option<Self> {
        let apps: Vec<_> =
            snapshot.apps.values().filter(|app| app.id.as_str() == id).map(|app| (&**app).into()).collect();
        (!apps.is_empty()).then(|| Self { edition: snapshot.into(), apps })
    }
}

impl<'a> From<&'a AppEntry> for AppDetail<'a> {
    fn from(entry: &'a AppEntry) -> Self {
        let labels = match (&entry.app, &entry.pod) {
            (Some(app), _) => Some(&app.labels),
            (None, Some(pod)) => Some(&pod.labels),
            (None, None) => None,
        };
        Self {
            summary: entry.into(),
            labels: labels.into_iter().flatten().map(|(name, value)| (&**name, &**value)).collect(),
            task_list: entry.tasks.iter().map(|task| (&**task).into()).collect(),
        }
    }
}

impl<'a> From<&'a TaskEntry> for TaskDetail<'a> {
    fn from(entry: &'a TaskEntry) -> Self {
        Self {
            id: entry.task.id.as_str(),
            status: entry.task.status.as_str(),
            host: entry.task.host.as_deref(),
            verdict: entry.verdict.into(),
            since: entry.since.to_string(),
            endpoints: entry.endpoints.iter().map(EndpointOut::from).collect(),
            unresolved: entry.unresolved.iter().map(|reason| &**reason).collect(),
        }
    }
}

impl From<Verdict> for VerdictOut {
    fn from(verdict: Verdict) -> Self {
        Self { verdict: verdict.kind.as_str(), rule: verdict.rule.as_str() }
    }
}

impl From<Rule> for VerdictOut {
    fn from(rule: Rule) -> Self {
        Verdict::from(rule).into()
    }
}

/// `app`, `pod` or `unknown`, and the wanted instances.
pub(super) fn kind(entry: &AppEntry) -> (&'static str, Option<u32>) {
    match (&entry.app, &entry.pod) {
        (Some(app), _) => ("app", Some(app.instances)),
        (None, Some(pod)) => ("pod", Some(pod.instances)),
        (None, None) => ("unknown", None),
    }
}

fn protocols(protocols: Protocols) -> &'static str {
    match (protocols.tcp, protocols.udp) {
        (true, true) => "tcp,udp",
        (false, true) => "udp",
        _ => "tcp",
    }
}

impl<'a> From<&'a Endpoint> for EndpointOut<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        Self {
            address: endpoint.transport.to_string(),
            protocols: protocols(endpoint.protocols),
            port_index: endpoint.port_index,
            port_name: endpoint.port_name.as_deref(),
            service_port: endpoint.service_port,
            verdict: endpoint.verdict.into(),
        }
    }
}
