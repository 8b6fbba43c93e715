//! Notices and changes of the catalog as live events: small hints, not the things themselves.

use mconn_catalog::News;
use mconn_model::{AppId, Change, Happened, Rule, Snapshot, SourceId};
use mconn_queue::Notice;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// What an event is about; the name of the event, and what `?types=` filters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Topic {
    Queue,
    Module,
    Preset,
    Inventory,
    Sync,
    Catalog,
}

impl Topic {
    pub(crate) const ALL: [Self; 6] =
        [Self::Queue, Self::Module, Self::Preset, Self::Inventory, Self::Sync, Self::Catalog];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Module => "module",
            Self::Preset => "preset",
            Self::Inventory => "inventory",
            Self::Sync => "sync",
            Self::Catalog => "catalog",
        }
    }
}

/// Most changes of the catalog that one event names; the rest is counted.
const CHANGES: usize = 50;

/// Most changes of verdicts that one event names: at some 500 bytes each, 256 KiB; clients take events of 1 MiB.
const VERDICTS: usize = 500;

pub(crate) fn topic(notice: &Notice) -> Topic {
    match notice {
        Notice::Paused { .. } | Notice::PauseReached { .. } | Notice::Resumed { .. } => Topic::Module,
        Notice::PresetCreated { .. }
        | Notice::PresetModified { .. }
        | Notice::PresetDeleted { .. }
        | Notice::PresetTakenBack { .. } => Topic::Preset,
        Notice::InventoryChanged { .. } => Topic::Inventory,
        Notice::SyncStarted { .. }
        | Notice::SyncMissing { .. }
        | Notice::SyncWrong { .. }
        | Notice::SyncSkipped { .. }
        | Notice::SyncHeld { .. }
        | Notice::SyncDone { .. }
        | Notice::SyncFailed { .. }
        | Notice::CleanupDone { .. } => Topic::Sync,
        Notice::Created { .. }
        | Notice::Started { .. }
        | Notice::Ended { .. }
        | Notice::UnknownStatus { .. }
        | Notice::AlreadyDone { .. }
        | Notice::Retry { .. }
        | Notice::DeadLetter { .. }
        | Notice::DeadLetterDropped { .. }
        | Notice::Removed { .. }
        | Notice::QueueTimeout { .. }
        | Notice::Filling { .. }
        | Notice::Full { .. }
        | Notice::OwedElsewhere { .. }
        | Notice::StoreTrouble { .. }
        | Notice::WriteRefused { .. }
        | Notice::StoreRecovered => Topic::Queue,
    }
}

/// What happened, in a few fields.
pub(crate) fn describe(notice: &Notice) -> Value {
    let name = |module: &mconn_model::ModuleName| module.as_str().to_owned();
    match notice {
        Notice::Created { module, id } => json!({"what": "created", "module": name(module), "id": &**id}),
        Notice::Started { module, id } => json!({"what": "started", "module": name(module), "id": &**id}),
        Notice::Ended { module, id, state, waiting, reason, cleanup } => json!({
            "what": "ended", "module": name(module), "id": &**id, "state": state.as_str(), "waiting": waiting,
            "reason": reason.as_deref(), "cleanup": cleanup,
        }),
        Notice::UnknownStatus { module, status } => {
            json!({"what": "unknownStatus", "module": name(module), "status": &**status})
        }
        Notice::AlreadyDone { module, waiting } => {
            json!({"what": "alreadyDone", "module": name(module), "waiting": waiting})
        }
        Notice::Retry { module, id, attempt, delay, reason } => json!({
            "what": "retry", "module": name(module), "id": &**id, "attempt": attempt,
            "delay": super::seconds(*delay), "reason": &**reason,
        }),
        Notice::DeadLetter { module, id, attempts, reason } => json!({
            "what": "deadLetter", "module": name(module), "id": &**id, "attempts": attempts, "reason": &**reason,
        }),
        Notice::DeadLetterDropped { module, id } => {
            json!({"what": "deadLetterDropped", "module": name(module), "id": &**id})
        }
        Notice::Removed { id, waiting } => json!({"what": "removed", "id": &**id, "waiting": waiting}),
        Notice::QueueTimeout { id } => json!({"what": "timeout", "id": &**id}),
        Notice::Filling { waiting, limit } => json!({"what": "filling", "waiting": waiting, "limit": limit}),
        Notice::Full { limit } => json!({"what": "full", "limit": limit}),
        Notice::OwedElsewhere { module, events } => {
            json!({"what": "owedElsewhere", "module": name(module), "events": events})
        }
        Notice::StoreTrouble { reason, .. } => json!({"what": "storeTrouble", "reason": &**reason}),
        Notice::WriteRefused { what, reason } => {
            json!({"what": "writeRefused", "write": &**what, "reason": &**reason})
        }
        Notice::StoreRecovered => json!({"what": "storeRecovered"}),
        Notice::Paused { module, active } => {
            json!({"what": "paused", "module": name(module), "active": active})
        }
        Notice::PauseReached { module } => json!({"what": "pauseReached", "module": name(module)}),
        Notice::Resumed { module } => json!({"what": "resumed", "module": name(module)}),
        Notice::PresetCreated { module, app } => {
            json!({"what": "created", "module": name(module), "app": app.as_str()})
        }
        Notice::PresetModified { module, app } => {
            json!({"what": "modified", "module": name(module), "app": app.as_str()})
        }
        Notice::PresetDeleted { module, app } => {
            json!({"what": "deleted", "module": name(module), "app": app.as_str()})
        }
        Notice::PresetTakenBack { module, app } => {
            json!({"what": "takenBack", "module": name(module), "app": app.as_str()})
        }
        Notice::InventoryChanged { module } => json!({"what": "changed", "module": name(module)}),
        Notice::SyncStarted { module } => json!({"what": "started", "module": name(module)}),
        Notice::SyncMissing { module, task } => {
            json!({"what": "missing", "module": name(module), "task": task.as_str()})
        }
        Notice::SyncWrong { module, task } => {
            json!({"what": "wrong", "module": name(module), "task": task.as_str()})
        }
        Notice::SyncSkipped { module, task } => {
            json!({"what": "skipped", "module": name(module), "task": task.as_str()})
        }
        Notice::SyncHeld { module, wrong, of } => {
            json!({"what": "held", "module": name(module), "wrong": wrong, "of": of})
        }
        Notice::SyncDone { module, cleanups } => {
            json!({"what": "done", "module": name(module), "cleanups": cleanups})
        }
        Notice::SyncFailed { module, reason } => {
            json!({"what": "failed", "module": name(module), "reason": &**reason})
        }
        Notice::CleanupDone { module, task, added } => {
            json!({"what": "cleanedUp", "module": name(module), "task": task.as_str(), "added": added})
        }
    }
}

/// What changed from one snapshot to a later one: what differs, and every change of a verdict that lies between them.
pub(crate) fn describe_catalog(old: &Snapshot, new: &Snapshot) -> Value {
    let changes = mconn_catalog::diff(old, new);
    let named: Vec<Value> = changes.iter().take(CHANGES).map(describe_change).collect();
    let News { shown, more } = mconn_catalog::news(old, new);
    let verdicts = shown.iter().take(VERDICTS);
    let verdicts: Vec<Value> =
        verdicts.map(|(source, app, happened)| describe_verdict((old, new), source, app, happened)).collect();
    let sources: Map<String, Value> =
        new.sources.iter().map(|(id, state)| (id.to_string(), state.freshness.as_str().into())).collect();
    let left_out = (shown.len() - verdicts.len()) as u64;
    json!({
        "what": "changed",
        "version": new.version,
        "digest": format!("{:016x}", new.digest),
        "sources": sources,
        "changes": named,
        "more": changes.len() - named.len(),
        "verdicts": verdicts,
        "moreVerdicts": more + left_out,
    })
}

fn describe_verdict(
    (old, new): (&Snapshot, &Snapshot),
    source: &SourceId,
    app: &AppId,
    happened: &Happened,
) -> Value {
    let key = (source.clone(), app.clone());
    let task = [new, old].into_iter().find_map(|snapshot| snapshot.apps.get(&key)?.task(&happened.task));
    let endpoints = task.map_or(&[][..], |task| &task.endpoints);
    let verdict =
        |rule: Option<Rule>| rule.map(|rule| json!({"verdict": rule.kind().as_str(), "rule": rule.as_str()}));
    json!({
        "number": happened.number,
        "at": happened.at.to_string(),
        "source": source.as_str(),
        "app": app.as_str(),
        "task": happened.task.as_str(),
        "addresses": endpoints.iter().map(|endpoint| endpoint.transport.to_string()).collect::<Vec<_>>(),
        "before": verdict(happened.before),
        "after": verdict(happened.after),
        "cause": happened.cause.to_string(),
    })
}

fn describe_change(change: &Change) -> Value {
    let (what, source, app, task, verdict) = match change {
        Change::AppAdded(source, app) => ("appAdded", source, app, None, None),
        Change::AppChanged(source, app) => ("appChanged", source, app, None, None),
        Change::AppRemoved(source, app) => ("appRemoved", source, app, None, None),
        Change::TaskAdded(source, app, task, verdict) => {
            ("taskAdded", source, app, Some(task), Some(verdict))
        }
        Change::TaskChanged(source, app, task, verdict) => {
            ("taskChanged", source, app, Some(task), Some(verdict))
        }
        Change::TaskRemoved(source, app, task) => ("taskRemoved", source, app, Some(task), None),
    };
    let mut out = json!({"what": what, "source": source.as_str(), "app": app.as_str()});
    if let Some(task) = task {
        out["task"] = task.as_str().into();
    }
    if let Some(verdict) = verdict {
        out["verdict"] = verdict.kind.as_str().into();
        out["rule"] = verdict.rule.as_str().into();
    }
    out
}
