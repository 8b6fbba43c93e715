//! Readiness checks as readers see them: only while a deployment starts the app's tasks (spec/marathon.md 3.5).

use super::Cluster;
use super::instance::{Condition, Instance};
use super::path::PathId;
use serde_json::{Value, json};

impl Cluster {
    /// What the readiness checks of the tasks say that the running deployment has started. Afterwards nothing remains.
    pub(super) fn readiness_results(&self, app: &PathId) -> Vec<Value> {
        let Some(def) = self.target(app).map(|app| &app.def) else { return Vec::new() };
        let Some(Value::Array(checks)) = &def.readiness_checks else { return Vec::new() };
        let Some(check) = checks.first() else { return Vec::new() };
        let Some(since) = self.deployments.iter().find(|found| found.affects(app)).map(|found| found.since)
        else {
            return Vec::new();
        };
        let asked = |found: &&Instance| {
            found.condition == Condition::Running && found.since >= since && !found.is_outdated(def)
        };
        self.instances_of(app).filter(asked).map(|found| self.readiness_result(check, found)).collect()
    }

    fn readiness_result(&self, check: &Value, task: &Instance) -> Value {
        let ready = task.ready_at.is_none_or(|ready_at| ready_at <= self.now);
        let name = check.get("name").cloned().unwrap_or_else(|| json!("readinessCheck"));
        let mut result = json!({ "name": name, "taskId": self.task_id(task), "ready": ready });
        if check.get("preserveLastResponse") == Some(&Value::Bool(true)) {
            result["lastResponse"] = self.last_response(ready, task);
        }
        result
    }

    /// In the first half of its way to being ready a task does not listen yet, which Marathon reports as an answer of
    /// its own making.
    fn last_response(&self, ready: bool, task: &Instance) -> Value {
        let (Some(started), Some(ready_at)) = (task.started_at, task.ready_at) else { return Value::Null };
        let listens = self.now.since(started) * 2 >= ready_at.since(started);
        let (status, body) = match (ready, listens) {
            (true, _) => (200, "ready"),
            (false, true) => (503, "warming up"),
            (false, false) => (504, "Marathon could not query the task: connection refused"),
        };
        json!({ "status": status, "contentType": "text/plain", "body": body })
    }
}
