//! Why an app is, or is not, reachable: every task with the rule that decided, and what happened lately.

use std::collections::BTreeMap;
use std::time::Duration;

use mconn_model::{
    AppEntry, Gone, Happened, HealthResult, Rule, Snapshot, SourceState, TaskEntry, Timestamp, VerdictKind,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::catalog::{Edition, EndpointOut, HeldOut, VerdictOut, kind};
use super::seconds;

/// One app or pod explained, in every source that has it or had it lately.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainPage<'a> {
    #[serde(flatten)]
    edition: Edition,
    /// Whether every source was read completely at least once.
    complete: bool,
    /// The time by this node's clock, which all ages are counted from.
    now: String,
    apps: Vec<Explained<'a>>,
}

/// An app or pod at one source.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained<'a> {
    source: &'a str,
    id: &'a str,
    /// How well the source is followed: old answers explain old verdicts.
    source_state: SourceNow<'a>,
    /// `app`, `pod`, or `unknown` while its definition is not known.
    kind: &'static str,
    /// Wanted instances, if the definition is known.
    instances: Option<u32>,
    /// Version of the definition.
    version: Option<String>,
    /// Deployments under way that affect it, as the definition names them.
    deployments: Vec<&'a str>,
    /// Protocols of the health checks.
    health_checks: Vec<&'a str>,
    /// Names of the readiness checks.
    readiness_checks: Vec<&'a str>,
    /// So few tasks are healthy that failing ones are served as well (MCONN_PANIC_BELOW).
    panic: bool,
    /// Tasks that are routable by themselves.
    healthy: usize,
    /// Those, and the ones that only a failing check keeps from it.
    of: usize,
    /// Tasks that get traffic.
    routable: usize,
    tasks: Vec<TaskWhy<'a>>,
    /// The last changes of its tasks' verdicts, oldest first; bounded.
    history: Vec<Change<'a>>,
    /// It went lately. With tasks, it is back since.
    gone: Option<GoneOut<'a>>,
}

/// How well a source is followed now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceNow<'a> {
    /// `never`, `fresh` or `stale`; missing for a source that is no longer followed.
    freshness: Option<&'static str>,
    /// Seconds in that state.
    since_seconds: Option<f64>,
    /// So much vanished at once that it is not believed yet.
    held: Option<HeldOut>,
    /// The leader as the source names it.
    leader: Option<&'a str>,
    last_error: Option<&'a str>,
}

/// A task, and why it gets traffic or not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskWhy<'a> {
    id: &'a str,
    /// Marathon's slot, where the generation has one.
    instance: Option<&'a str>,
    status: &'a str,
    host: Option<&'a str>,
    /// The version of the app that it was started with.
    version: Option<String>,
    /// When it began to run, by the source's clock.
    started_at: Option<String>,
    #[serde(flatten)]
    verdict: VerdictOut,
    /// The rule in one sentence.
    text: &'static str,
    /// Since when the verdict holds, by this node's clock.
    since: String,
    /// The same in seconds.
    age_seconds: f64,
    /// Results of health checks, as far as the source told them.
    health: Vec<HealthOut>,
    /// The result of the readiness check; null where none is told, as outside of deployments.
    ready: Option<bool>,
    /// Declared ports whose address is known.
    ports: Vec<EndpointOut<'a>>,
    /// Declared ports without address, and why.
    unresolved: Vec<&'a str>,
}

/// The result of one health check.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthOut {
    alive: bool,
    /// Failures since the last success.
    consecutive_failures: u32,
    /// It has succeeded at least once.
    succeeded_once: bool,
}

/// A change of a task's verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change<'a> {
    /// Which change of its source this is.
    number: u64,
    at: String,
    task: &'a str,
    /// The verdict before; null: the task was not known.
    before: Option<VerdictOut>,
    /// The verdict since; null: the task is gone.
    after: Option<VerdictOut>,
    /// Because of what.
    cause: String,
}

/// When an app went, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GoneOut<'a> {
    at: String,
    cause: String,
    /// What happened to its tasks last, oldest first.
    history: Vec<Change<'a>>,
}

/// All apps that somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainSummary<'a> {
    #[serde(flatten)]
    edition: Edition,
    /// Whether every source was read completely at least once.
    complete: bool,
    /// By the source's id.
    sources: BTreeMap<&'a str, SourceNow<'a>>,
    /// Apps and pods with tasks that get no traffic, or that are served in panic.
    apps: Vec<Trouble<'a>>,
}

/// An app or pod with tasks that get no traffic.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trouble<'a> {
    source: &'a str,
    id: &'a str,
    /// `app`, `pod`, or `unknown` while its definition is not known.
    kind: &'static str,
    /// Wanted instances, if the definition is known.
    instances: Option<u32>,
    tasks: usize,
    /// Tasks that get traffic.
    routable: usize,
    /// Failing tasks are served, because so few are healthy.
    panic: bool,
    /// Tasks by the rule that decided.
    rules: BTreeMap<&'static str, usize>,
}

/// What beside the snapshot an explanation is made from.
pub(crate) struct At<'a> {
    pub(crate) now: Timestamp,
    /// How long a source has been in its state of freshness.
    pub(crate) state_age: &'a dyn Fn(&mconn_model::SourceId) -> Option<Duration>,
}

impl<'a> ExplainPage<'a> {
    /// The app of that id in every source that has it or had it lately; `None` if none.
    pub(crate) fn find(snapshot: &'a Snapshot, id: &str, at: &At<'_>) -> Option<Self> {
        let entries = snapshot.apps.values().filter(|app| app.id.as_str() == id);
        let mut apps: Vec<_> = entries.map(|app| Explained::here(snapshot, app, at)).collect();
        // The newest of each source; an app may have gone several times.
        for gone in snapshot.gone.iter().rev().filter(|gone| gone.id.as_str() == id) {
            match apps.iter_mut().find(|app| app.source == gone.source.as_str()) {
                Some(app) if app.gone.is_some() => {}
                Some(app) => app.gone = Some(gone.into()),
                None => apps.push(Explained::gone(snapshot, gone, at)),
            }
        }
        apps.sort_by_key(|app| app.source);
        let (complete, now) = (snapshot.is_complete(), at.now.to_string());
        (!apps.is_empty()).then(|| Self { edition: snapshot.into(), complete, now, apps })
    }
}

impl<'a> Explained<'a> {
    fn here(snapshot: &'a Snapshot, entry: &'a AppEntry, at: &At<'_>) -> Self {
        let (kind, instances) = kind(entry);
        let version = match (&entry.app, &entry.pod) {
            (Some(app), _) => app.version,
            (None, Some(pod)) => pod.version,
            (None, None) => None,
        };
        let app = entry.app.as_deref();
        let standing = Standing::of(entry);
        Self {
            source: entry.source.as_str(),
            id: entry.id.as_str(),
            source_state: SourceNow::of(snapshot, &entry.source, at),
            kind,
            instances,
            version: version.map(|version| version.to_string()),
            deployments: app.map_or_else(Vec::new, |app| {
                app.deployments.iter().map(|deployment| deployment.id.as_str()).collect()
            }),
            health_checks: app.map_or_else(Vec::new, |app| {
                app.health_checks.iter().map(|check| &*check.protocol).collect()
            }),
            readiness_checks: app
                .map_or_else(Vec::new, |app| app.readiness_checks.iter().map(|check| &*check.name).collect()),
            panic: standing.panic,
            healthy: standing.healthy,
            of: standing.of,
            routable: standing.routable,
            tasks: entry.tasks.iter().map(|task| TaskWhy::of(task, at.now)).collect(),
            history: entry.history.iter().map(Change::from).collect(),
            gone: None,
        }
    }

    fn gone(snapshot: &'a Snapshot, gone: &'a Gone, at: &At<'_>) -> Self {
        Self {
            source: gone.source.as_str(),
            id: gone.id.as_str(),
            source_state: SourceNow::of(snapshot, &gone.source, at),
            kind: "unknown",
            instances: None,
            version: None,
            deployments: Vec::new(),
            health_checks: Vec::new(),
            readiness_checks: Vec::new(),
            panic: false,
            healthy: 0,
            of: 0,
            routable: 0,
            tasks: Vec::new(),
            history: Vec::new(),
            gone: Some(gone.into()),
        }
    }
}

impl<'a> SourceNow<'a> {
    fn of(snapshot: &'a Snapshot, source: &mconn_model::SourceId, at: &At<'_>) -> Self {
        let state: Option<&SourceState> = snapshot.sources.get(source);
        Self {
            freshness: state.map(|state| state.freshness.as_str()),
            since_seconds: (at.state_age)(source).map(seconds),
            held: state.and_then(|state| state.held).map(HeldOut::from),
            leader: state.and_then(|state| state.leader.as_deref()),
            last_error: state.and_then(|state| state.last_error.as_deref()),
        }
    }
}

impl<'a> TaskWhy<'a> {
    fn of(entry: &'a TaskEntry, now: Timestamp) -> Self {
        let task = &entry.task;
        Self {
            id: task.id.as_str(),
            instance: task.instance.as_ref().map(mconn_model::InstanceId::as_str),
            status: task.status.as_str(),
            host: task.host.as_deref(),
            version: task.version.map(|version| version.to_string()),
            started_at: task.started_at.map(|at| at.to_string()),
            verdict: entry.verdict.into(),
            text: entry.verdict.rule.text(),
            since: entry.since.to_string(),
            age_seconds: seconds(now.since(entry.since)),
            health: task.health.iter().map(HealthOut::from).collect(),
            ready: task.ready,
            ports: entry.endpoints.iter().map(EndpointOut::from).collect(),
            unresolved: entry.unresolved.iter().map(|reason| &**reason).collect(),
        }
    }
}

impl From<&HealthResult> for HealthOut {
    fn from(result: &HealthResult) -> Self {
        let HealthResult { alive, consecutive_failures, succeeded_once } = *result;
        Self { alive, consecutive_failures, succeeded_once }
    }
}

impl<'a> From<&'a Happened> for Change<'a> {
    fn from(happened: &'a Happened) -> Self {
        Self {
            number: happened.number,
            at: happened.at.to_string(),
            task: happened.task.as_str(),
            before: happened.before.map(VerdictOut::from),
            after: happened.after.map(VerdictOut::from),
            cause: happened.cause.to_string(),
        }
    }
}

impl<'a> From<&'a Gone> for GoneOut<'a> {
    fn from(gone: &'a Gone) -> Self {
        Self {
            at: gone.at.to_string(),
            cause: gone.cause.to_string(),
            history: gone.history.iter().map(Change::from).collect(),
        }
    }
}

impl<'a> ExplainSummary<'a> {
    /// Only what somebody should look at.
    pub(crate) fn of(snapshot: &'a Snapshot, at: &At<'_>) -> Self {
        let sources = snapshot.sources.keys();
        Self {
            edition: snapshot.into(),
            complete: snapshot.is_complete(),
            sources: sources.map(|id| (id.as_str(), SourceNow::of(snapshot, id, at))).collect(),
            apps: snapshot.apps.values().filter_map(|entry| Trouble::of(entry)).collect(),
        }
    }
}

impl<'a> Trouble<'a> {
    fn of(entry: &'a AppEntry) -> Option<Self> {
        let standing = Standing::of(entry);
        if standing.routable == entry.tasks.len() && !standing.panic {
            return None;
        }
        let mut rules = BTreeMap::new();
        for task in &entry.tasks {
            *rules.entry(task.verdict.rule.as_str()).or_insert(0) += 1;
        }
        let (kind, instances) = kind(entry);
        Some(Self {
            source: entry.source.as_str(),
            id: entry.id.as_str(),
            kind,
            instances,
            tasks: entry.tasks.len(),
            routable: standing.routable,
            panic: standing.panic,
            rules,
        })
    }
}

/// How an app's tasks stand, told from their verdicts as the panic threshold counts them.
pub(crate) struct Standing {
    pub(crate) panic: bool,
    healthy: usize,
    of: usize,
    routable: usize,
}

impl Standing {
    pub(crate) fn of(entry: &AppEntry) -> Self {
        let mut standing = Self { panic: false, healthy: 0, of: 0, routable: 0 };
        for task in &entry.tasks {
            let routable = task.verdict.kind == VerdictKind::Routable;
            let panic = task.verdict.rule == Rule::Panic;
            standing.panic |= panic;
            standing.routable += usize::from(routable);
            standing.healthy += usize::from(routable && !panic);
            standing.of += usize::from(routable || task.verdict.rule == Rule::Unhealthy);
        }
        standing
    }
}
