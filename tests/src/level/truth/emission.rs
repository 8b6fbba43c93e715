//! Events as they leave the cluster.

use std::time::Duration;

use mconn_model::{TaskId, Timestamp};
use mconn_sim::cluster::Event;
use serde_json::Value;

use super::meaning::{At, Meaning, changed, is_leaving_condition, state, stopped};
use super::{Emitted, Task, Truth};

impl Truth {
    /// Takes an event into account when it is emitted, and gives it its number.
    pub(in super::super) fn emit(&mut self, event: &Event, now: Duration) -> usize {
        let number = self.emitted.len();
        let meaning = self.meaning(event, number, now);
        for &at in meaning.going() {
            self.tasks[at].hint.get_or_insert(now);
            self.tasks[at].good = false;
        }
        let mut nth = 0;
        if let Some(at) = meaning.task() {
            self.tasks[at].changed = now;
            self.tasks[at].emitted += 1;
            nth = self.tasks[at].emitted;
        }
        self.emitted.push(Emitted { meaning, nth, delivered: false });
        number
    }

    fn meaning(&mut self, event: &Event, number: usize, now: Duration) -> Meaning {
        let other = |app: Option<&str>| Meaning::Other { app: app.map(str::to_owned) };
        if matches!(
            &*event.event_type,
            "event_stream_attached" | "event_stream_detached" | "failed_health_check_event"
        ) {
            return other(None);
        }
        let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let instance = |key: &str| self.by_instance.get(text(key)).copied();
        match &*event.event_type {
            "status_update_event" => {
                let state = state(text("taskStatus"));
                let before = text("taskId")
                    .rsplit_once("._app.")
                    .and_then(|(instance, _)| self.by_instance.get(instance));
                let before = before.copied();
                let task = self.status(text("taskId"), text("appId"), state, number, now);
                Meaning::Status { task, state, before: before.filter(|before| *before != task) }
            }
            "instance_changed_event" => {
                let Some(task) = instance("instanceId") else { return other(Some(text("runSpecId"))) };
                self.condition(task, text("condition"), number)
                    .unwrap_or_else(|| other(Some(text("runSpecId"))))
            }
            "instance_health_changed_event" | "health_status_changed_event" => {
                let alive = body["healthy"].as_bool().or(body["alive"].as_bool());
                let (Some(task), Some(alive)) = (instance("instanceId"), alive) else { return other(None) };
                let whole = &*event.event_type == "instance_health_changed_event";
                if whole && alive {
                    self.tasks[task].blink.passed = true;
                }
                Meaning::Health { task, alive, whole }
            }
            "unhealthy_instance_kill_event" => match self.by_id.get(text("taskId")) {
                Some(&task) => Meaning::Kill { task },
                None => other(None),
            },
            "deployment_info" => {
                let apps = stopped(&body);
                if apps.is_empty() {
                    return Meaning::Deployment { apps: changed(&body), over: false };
                }
                let tasks = apps.iter().flat_map(|app| self.alive_of(app)).collect();
                Meaning::Stop { apps, tasks }
            }
            "deployment_step_success" => Meaning::Deployment { apps: changed(&body), over: false },
            "deployment_success" | "deployment_failed" => {
                Meaning::Deployment { apps: changed(&body), over: true }
            }
            "app_terminated_event" => {
                let app = text("appId").to_owned();
                Meaning::Terminated { tasks: self.alive_of(&app), app }
            }
            "api_post_event" => {
                let definition = &body["appDefinition"];
                let config =
                    definition["versionInfo"]["lastConfigChangeAt"].as_str().and_then(Timestamp::parse);
                let app = definition["id"].as_str().unwrap_or_default().to_owned();
                Meaning::Written { app, config: config.map_or(0, |config| config.as_millis() as u64) }
            }
            _ => other(None),
        }
    }

    fn alive_of(&self, app: &str) -> Vec<At> {
        self.open.iter().copied().filter(|at| self.tasks[*at].app == app).collect()
    }

    fn status(&mut self, id: &str, app: &str, state: &'static str, number: usize, now: Duration) -> At {
        let at = match self.by_id.get(id) {
            Some(&at) => at,
            None => self.add(id, app, now),
        };
        let task = &mut self.tasks[at];
        if state == "TASK_RUNNING" {
            task.blink.ran = true;
            if task.hint.is_some() && !task.decommissioned {
                // Its agent is back: all hints are void.
                (task.hint, task.told, task.leaving) = (None, None, None);
                task.valid_from = number;
                task.doubted = true;
            }
        }
        at
    }

    fn add(&mut self, id: &str, app: &str, now: Duration) -> At {
        let at = self.tasks.len();
        let (instance, incarnation) = id.rsplit_once("._app.").unwrap_or((id, "1"));
        self.by_instance.insert(instance.into(), at);
        self.by_id.insert(id.to_owned(), at);
        self.open.insert(at);
        self.tasks.push(Task {
            id: TaskId::new(id).expect("the cluster gives usable ids"),
            app: app.to_owned(),
            incarnation: incarnation.parse().expect("incarnations are numbers"),
            shown: None,
            alive: true,
            good: false,
            decommissioned: false,
            routable: false,
            ready: false,
            first_ready: None,
            lacks: "it does not run",
            changed: now,
            places: Vec::new(),
            config: 0,
            hint: None,
            valid_from: 0,
            leaving: None,
            told: None,
            doubted: false,
            heard: 0,
            emitted: 0,
            in_order: 0,
            unclear: Duration::ZERO,
            condition: None,
            blink: Default::default(),
            passed: false,
        });
        at
    }

    /// `None` if it is about the instance's next task, which there is not yet.
    fn condition(&mut self, at: At, condition: &str, number: usize) -> Option<Meaning> {
        let task = &mut self.tasks[at];
        if matches!(condition, "Scheduled" | "Provisioned" | "Created") {
            return None;
        }
        let before = task.condition.replace((condition.to_owned(), number));
        if let Some((same, before)) = before
            && same == condition
            && !is_leaving_condition(condition)
        {
            return Some(Meaning::Goal { task: at, before });
        }
        Some(Meaning::Condition {
            task: at,
            condition: condition.to_owned(),
            hint: is_leaving_condition(condition),
        })
    }
}
