//! Deployments, as `/v2/deployments` lists them and as events carry them (spec/marathon.md sections 2.5 and 6.3).

use std::collections::BTreeSet;

use mconn_model::{AppId, DeploymentId, TaskId};
use serde::Deserialize;

use super::lenient::{Flag, List, Object, RawList, Text};
use super::{JsonError, Notes, Parsed, object, parse};

/// One action of a step. Its kind is called `action` (1.1.2 and later) or `type`; what it is done to is `app` or `pod`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ActionDto<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    app: Text<'a>,
    #[serde(borrow)]
    pod: Text<'a>,
    #[serde(borrow)]
    readiness_check_results: List<Object<ReadinessDto<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadinessDto<'a> {
    #[serde(borrow)]
    task_id: Text<'a>,
    ready: Flag,
}

impl ReadinessDto<'_> {
    /// The task and whether it says that it is ready; `None` if no task is named.
    pub(super) fn result(&self) -> Option<ReadinessResult> {
        let task = TaskId::new(self.task_id.get()?).ok()?;
        Some(ReadinessResult { task, ready: self.ready.0.unwrap_or(false) })
    }
}

impl ActionDto<'_> {
    /// `StopApplication` and `StopPod`, in either generation's key.
    fn stops(&self) -> bool {
        let kind = self.action.get().or(self.kind.get());
        matches!(kind, Some("StopApplication" | "StopPod"))
    }
}

/// A step in any generation: `{"actions":[..]}`, an array of actions (up to 0.13), or an action itself (documentation).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StepDto<'a> {
    #[serde(borrow)]
    actions: List<Object<ActionDto<'a>>>,
    #[serde(borrow)]
    app: Text<'a>,
    #[serde(borrow)]
    pod: Text<'a>,
}

/// The ids that a step names. What cannot be read is left out: it is a hint, never the only one.
fn ids_of_step(raw: &str, into: &mut BTreeSet<AppId>) {
    let mut add = |app: &Text<'_>, pod: &Text<'_>| {
        into.extend([app, pod].into_iter().filter_map(Text::get).filter_map(|id| AppId::parse(id).ok()));
    };
    if let Ok(Object(Some(step))) = serde_json::from_str::<Object<StepDto<'_>>>(raw) {
        add(&step.app, &step.pod);
        for action in step.actions.0.iter().filter_map(|action| action.0.as_ref()) {
            add(&action.app, &action.pod);
        }
    } else if let Ok(list) = serde_json::from_str::<List<Object<ActionDto<'_>>>>(raw) {
        for action in list.0.iter().filter_map(|action| action.0.as_ref()) {
            add(&action.app, &action.pod);
        }
    }
}

/// The apps and pods that the steps name, sorted, each once.
pub(crate) fn affected(steps: &RawList<'_>) -> Vec<AppId> {
    let mut ids = BTreeSet::new();
    for raw in steps.iter() {
        ids_of_step(raw, &mut ids);
    }
    ids.into_iter().collect()
}

/// The apps and pods that a step stops for good, in any generation's form; nothing if it cannot be read.
pub(crate) fn stopped_by(step: &str) -> Vec<AppId> {
    let mut ids = BTreeSet::new();
    let mut add = |action: &ActionDto<'_>| {
        let named = [&action.app, &action.pod].into_iter().filter(|_| action.stops());
        ids.extend(named.filter_map(Text::get).filter_map(|id| AppId::parse(id).ok()));
    };
    if let Ok(Object(Some(step))) = serde_json::from_str::<Object<StepDto<'_>>>(step) {
        step.actions.0.iter().filter_map(|action| action.0.as_ref()).for_each(&mut add);
    } else if let Ok(list) = serde_json::from_str::<List<Object<ActionDto<'_>>>>(step) {
        list.0.iter().filter_map(|action| action.0.as_ref()).for_each(&mut add);
    }
    ids.into_iter().collect()
}

/// A deployment under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// Its id.
    pub id: DeploymentId,
    /// Apps and pods that it changes, sorted.
    pub affected: Vec<AppId>,
    /// Results of readiness checks of the current step. A task without result is not ready yet (section 3.5).
    pub readiness: Vec<ReadinessResult>,
}

/// The result of a task's readiness check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessResult {
    /// The task.
    pub task: TaskId,
    /// Whether it said that it is ready.
    pub ready: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DeploymentDto<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    affected_apps: List<Text<'a>>,
    #[serde(borrow)]
    affected_pods: List<Text<'a>>,
    #[serde(borrow)]
    steps: RawList<'a>,
    #[serde(borrow)]
    current_actions: List<Object<ActionDto<'a>>>,
}

/// Decodes the bare array of `GET /v2/deployments`.
///
/// # Errors
/// [`JsonError`] when the syntax is broken or it is no array.
pub fn deployments(body: &[u8]) -> Result<Parsed<Vec<DeploymentStatus>>, JsonError> {
    let list = RawList(Some(parse(body, "a list of deployments")?));
    let mut notes = Notes::default();
    let value = notes.each("deployments", &list, |raw, _, _| deployment(raw));
    Ok(notes.done(value))
}

fn deployment(raw: &str) -> Result<DeploymentStatus, String> {
    let dto: DeploymentDto<'_> = object(raw)?;
    let id = DeploymentId::new(dto.id.get().unwrap_or_default()).map_err(|error| error.to_string())?;
    let mut ids: BTreeSet<AppId> = affected(&dto.steps).into_iter().collect();
    let named = dto.affected_apps.0.iter().chain(&dto.affected_pods.0);
    ids.extend(named.filter_map(Text::get).filter_map(|id| AppId::parse(id).ok()));
    let actions = dto.current_actions.0.iter().filter_map(|action| action.0.as_ref());
    let results = actions.flat_map(|action| action.readiness_check_results.0.iter());
    let readiness = results.filter_map(|result| result.0.as_ref()?.result()).collect();
    Ok(DeploymentStatus { id, affected: ids.into_iter().collect(), readiness })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_every_generation() {
        let steps = r#"[{"actions":[{"action":"ScaleApplication","app":"/b"},{"type":"StartPod","pod":"/p"}]},
            [{"type":"StartApplication","app":"/a"}],{"action":"ScaleApplication","app":"/b"},7,{"actions":null}]"#;
        let list: RawList<'_> = serde_json::from_str(steps).unwrap();
        let ids: Vec<_> = affected(&list).iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["/a", "/b", "/p"]);
    }

    #[test]
    fn only_stops_are_stops_in_every_generation() {
        let ids = |step: &str| -> Vec<String> { stopped_by(step).iter().map(ToString::to_string).collect() };
        let stop = r#"{"action":"StopApplication","app":"/a"},{"action":"ScaleApplication","app":"/b"},
            {"type":"StopPod","pod":"/p"}"#;
        assert_eq!(ids(&format!("{{\"actions\":[{stop}]}}")), ["/a", "/p"]);
        assert_eq!(ids(&format!("[{stop}]")), ["/a", "/p"]);
        assert_eq!(ids("7"), [""; 0]);
    }

    #[test]
    fn readiness_of_the_current_step() {
        let body = br#"[{"id":"d","affectedApps":["/foo"],"steps":[],"currentActions":[{"action":"ScaleApplication",
            "app":"/foo","readinessCheckResults":[{"name":"ready","taskId":"foo.1","ready":false}]}]},{"id":null}]"#;
        let parsed = deployments(body).unwrap();
        assert_eq!((parsed.value.len(), parsed.warnings.len()), (1, 1));
        assert_eq!(parsed.value[0].affected[0].as_str(), "/foo");
        assert!(!parsed.value[0].readiness[0].ready);
    }
}
