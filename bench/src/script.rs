//! What happens in the stand-in's cluster: a pure function of how many events were sent.
//!
//! First `alive` tasks start; from then on the oldest one is killed and another one starts, in turn. So there are many
//! tasks over time and never too many at once, and at every moment it is known what a listing has to show.

use std::ops::Range;

use serde_json::{Value, json};

use crate::event::{task_id, write_status};

/// When everything in it was made.
const VERSION: &str = "2015-05-25T15:12:19.075Z";

/// A cluster that follows a script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// Apps, `/bench/0` and so on; tasks are dealt out to them in turn.
    pub(crate) apps: u64,
    /// Tasks that are alive once it has begun.
    pub(crate) alive: u64,
}

impl Script {
    pub(crate) fn app(self, task: u64) -> String {
        format!("/bench/{}", task % self.apps)
    }

    /// Number of the task and whether it starts or ends, in the event with that number.
    fn step(self, event: u64) -> (u64, &'static str) {
        match event.checked_sub(self.alive) {
            None => (event, "TASK_RUNNING"),
            Some(later) if later % 2 == 0 => (later / 2, "TASK_KILLED"),
            Some(later) => (self.alive + later / 2, "TASK_RUNNING"),
        }
    }

    /// Writes the event with that number as a frame of the stream, as Marathon does.
    pub(crate) fn write_frame(self, out: &mut Vec<u8>, event: u64) {
        let (task, status) = self.step(event);
        let app = self.app(task);
        out.extend_from_slice(b"event: status_update_event\r\ndata: ");
        write_status(out, &app, &task_id(&app, task), status, event);
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// The tasks that are alive after so many events.
    pub(crate) fn alive_after(self, sent: u64) -> Range<u64> {
        match sent.checked_sub(self.alive) {
            None => 0..sent,
            Some(later) => later.div_ceil(2)..self.alive + later / 2,
        }
    }

    fn task(self, number: u64) -> Value {
        let app = self.app(number);
        json!({
            "id": task_id(&app, number), "appId": app, "host": "slave1.dev", "ports": [31004, 31005],
            "slaveId": "20150516-151938-1029963786-5050-2012-S1", "state": "TASK_RUNNING", "stagedAt": VERSION,
            "startedAt": VERSION, "version": VERSION, "servicePorts": [10004, 10005],
            "ipAddresses": [{"ipAddress": "10.0.0.7", "protocol": "IPv4"}],
        })
    }

    /// The answer of `GET /v2/tasks`.
    pub(crate) fn tasks_json(self, sent: u64) -> String {
        let tasks: Vec<Value> = self.alive_after(sent).map(|number| self.task(number)).collect();
        json!({ "tasks": tasks }).to_string()
    }

    /// The answer of `GET /v2/apps`, or of one app.
    pub(crate) fn apps_json(self, sent: u64, one: Option<&str>) -> Option<String> {
        let wanted = |app: &String| one.is_none_or(|one| one == app);
        let apps: Vec<Value> = (0..self.apps)
            .map(|number| self.app(number))
            .filter(wanted)
            .map(|id| {
                let tasks: Vec<Value> = self
                    .alive_after(sent)
                    .filter(|number| self.app(*number) == id)
                    .map(|number| self.task(number))
                    .collect();
                let ports = [{ json!({"port": 10_004, "protocol": "tcp"}) }, json!({"port": 10_005, "protocol": "tcp"})];
                json!({
                    "id": id, "cmd": "sleep 1", "instances": tasks.len(), "version": VERSION,
                    "versionInfo": {"lastScalingAt": VERSION, "lastConfigChangeAt": VERSION},
                    "networks": [{"mode": "host"}], "portDefinitions": ports, "killSelection": "YOUNGEST_FIRST",
                    "labels": {}, "healthChecks": [], "readinessChecks": [], "deployments": [], "tasks": tasks,
                })
            })
            .collect();
        match one {
            None => Some(json!({ "apps": apps }).to_string()),
            Some(_) => apps.first().map(|app| json!({ "app": app }).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_listing_is_the_sum_of_the_events() {
        let script = Script { apps: 3, alive: 4 };
        let mut alive = BTreeSet::new();
        for event in 0..40 {
            assert_eq!(alive, script.alive_after(event).collect(), "after {event} events");
            match script.step(event) {
                (task, "TASK_RUNNING") => assert!(alive.insert(task)),
                (task, _) => assert!(alive.remove(&task)),
            }
        }
    }
}
