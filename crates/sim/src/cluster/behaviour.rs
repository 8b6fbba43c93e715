//! How the tasks of one app behave, where they differ from the timeline of all: slow, crashing, flapping, never well.

use super::answer::Answer;
use super::instance::{Condition, Flap, Instance, InstanceId};
use super::path::PathId;
use super::{Cluster, Timer};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// Apps that may have a behaviour of their own.
const BEHAVIOURS_MAX: usize = 10_000;
/// The longest time that can be set: a day.
const MILLIS_MAX: u64 = 86_400_000;

/// The behaviour of an app's tasks. What is absent follows the timeline. Times are in milliseconds and scaled by
/// [`crate::SimOptions::speed`]. As JSON the body of `POST /sim/apps/{id}/behaviour`. It applies to tasks that begin
/// from then on, and `killMs` to all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// From STAGING to RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// Pulling the image, on top of `startMs`, for as many of a hundred tasks as `pullPercent` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_ms: Option<u64>,
    /// How many of a hundred tasks have to pull the image. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_percent: Option<u8>,
    /// From RUNNING to the first probe of each health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_ms: Option<u64>,
    /// Whether probes succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// From RUNNING until the readiness check succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<u64>,
    /// `false`: the readiness check never succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// From RUNNING to TASK_FAILED: a crash loop, as the next task does the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_after_ms: Option<u64>,
    /// Probes succeed and fail in turn, each for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap_ms: Option<u64>,
    /// From SIGTERM to the end. It wins over `taskKillGracePeriodSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_ms: Option<u64>,
    /// The task runs without an address, which a second TASK_RUNNING brings after so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_ms: Option<u64>,
}

impl Behaviour {
    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let times = [
            self.start_ms,
            self.pull_ms,
            self.health_ms,
            self.ready_ms,
            self.crash_after_ms,
            self.flap_ms,
            self.kill_ms,
            self.address_ms,
        ];
        if times.into_iter().flatten().any(|millis| millis > MILLIS_MAX) {
            return Some("times are at most 86400000 ms");
        }
        if self.flap_ms == Some(0) {
            return Some("flapMs has to be at least 1");
        }
        self.pull_percent.is_some_and(|percent| percent > 100).then_some("pullPercent is from 0 to 100")
    }
}

impl Cluster {
    /// `POST` and `DELETE /sim/apps/{id}/behaviour`; none is the timeline again.
    pub(super) fn set_behaviour(&mut self, app: PathId, behaviour: Option<Behaviour>) -> Answer {
        let Some(behaviour) = behaviour else {
            self.behaviours.remove(&app);
            return Answer::json(200, &json!({}));
        };
        if let Some(fault) = behaviour.fault() {
            return Answer::message(422, fault);
        }
        if self.behaviours.len() >= BEHAVIOURS_MAX && !self.behaviours.contains_key(&app) {
            return Answer::message(
                422,
                format!("at most {BEHAVIOURS_MAX} apps have a behaviour of their own"),
            );
        }
        self.behaviours.insert(app, behaviour);
        Answer::json(200, &json!({}))
    }

    /// `GET /sim/apps/{id}/behaviour`
    #[must_use]
    pub fn behaviour(&self, app: &PathId) -> Answer {
        Answer::json(200, &self.behaviours.get(app).cloned().unwrap_or_default())
    }

    /// One time of an app's behaviour, scaled and never zero: what follows must not happen within the same instant.
    fn behaves(&self, app: &PathId, time: impl Fn(&Behaviour) -> Option<u64>) -> Option<Duration> {
        let millis = self.behaviours.get(app).and_then(time)?;
        Some(self.scaled(Duration::from_millis(millis)).max(Duration::from_millis(1)))
    }

    /// From STAGING to RUNNING.
    pub(super) fn start_delay(&mut self, app: &PathId) -> Duration {
        let span = self.options.timeline.start;
        let start = match self.behaves(app, |behaviour| behaviour.start_ms) {
            Some(start) => start,
            None => self.draw_scaled(span),
        };
        let Some(pull) = self.behaves(app, |behaviour| behaviour.pull_ms) else { return start };
        let percent = self.behaviours.get(app).and_then(|behaviour| behaviour.pull_percent).unwrap_or(100);
        if self.rng.u8(..100) < percent { start + pull } else { start }
    }

    /// From SIGTERM to the end: as scripted, else the app's own grace, else a drawn time.
    pub(super) fn kill_delay(&mut self, instance: &Instance) -> Duration {
        if let Some(delay) = self.behaves(&instance.app, |behaviour| behaviour.kill_ms) {
            return delay;
        }
        match instance.def.task_kill_grace_period_seconds {
            Some(seconds) => self.scaled(Duration::from_secs(u64::from(seconds))),
            None => {
                let span = self.options.timeline.kill;
                self.draw_scaled(span)
            }
        }
    }

    /// From RUNNING to the first probe, if it is scripted.
    pub(super) fn first_probe_delay(&self, app: &PathId) -> Option<Duration> {
        self.behaves(app, |behaviour| behaviour.health_ms)
    }

    /// Whether probes of a new task of the app succeed.
    pub(super) fn starts_healthy(&self, app: &PathId) -> bool {
        self.behaviours.get(app).and_then(|behaviour| behaviour.healthy).unwrap_or(self.options.healthy)
    }

    /// When the readiness check of a task that runs now succeeds.
    pub(super) fn readiness_at(&mut self, app: &PathId) -> Time {
        let behaviour = self.behaviours.get(app);
        if behaviour.and_then(|behaviour| behaviour.ready) == Some(false) {
            return Time::NEVER;
        }
        let span = self.options.timeline.readiness;
        let delay = match self.behaves(app, |behaviour| behaviour.ready_ms) {
            Some(delay) => delay,
            None => self.draw_scaled(span),
        };
        self.now.after(delay)
    }

    /// Whether the address of a task of the app comes later than its RUNNING.
    pub(super) fn address_is_late(&self, app: &PathId) -> bool {
        self.behaviours.get(app).is_some_and(|behaviour| behaviour.address_ms.is_some())
    }

    /// A task runs: what it will do by itself is set in motion.
    pub(super) fn begin_behaviour(&mut self, instance: &mut Instance) {
        let (id, incarnation) = (instance.id.clone(), instance.incarnation);
        if let Some(delay) = self.behaves(&instance.app, |behaviour| behaviour.crash_after_ms) {
            self.set_timer(delay, Timer::Crash(id.clone(), incarnation));
        }
        if let Some(delay) = self.behaves(&instance.app, |behaviour| behaviour.address_ms) {
            self.set_timer(delay, Timer::Address(id.clone(), incarnation));
        }
        instance.flap = self
            .behaves(&instance.app, |behaviour| behaviour.flap_ms)
            .map(|period| self.flap_timer(&id, period));
    }

    /// Sets the timer of a new series of flaps; a series that was there before ends.
    fn flap_timer(&mut self, id: &InstanceId, period: Duration) -> Flap {
        self.sequence += 1;
        let number = self.sequence;
        self.set_timer(period, Timer::Flap(id.clone(), number));
        Flap { period, number }
    }

    fn runs(&self, id: &InstanceId, incarnation: u32) -> Option<&Instance> {
        let found = self.instances.get(id)?;
        (found.incarnation == incarnation && found.condition == Condition::Running).then_some(found)
    }

    pub(super) fn crash(&mut self, id: &InstanceId, incarnation: u32) {
        // A task that cannot be seen crashes unseen: it is back as it was, which is one of the things that happen.
        if self.runs(id, incarnation).is_some() {
            self.end(id, Condition::Failed, "Command exited with status 1");
        }
    }

    /// The other way round from now on, until somebody says otherwise.
    pub(super) fn flap(&mut self, id: &InstanceId, number: u64) {
        let Some(found) = self.instances.get(id) else { return };
        let Some(flap) = found.flap.filter(|flap| flap.number == number) else { return };
        let alive = !found.answers_probes;
        self.script_health(id, alive);
        self.set_timer(flap.period, Timer::Flap(id.clone(), number));
    }

    /// `POST /sim/tasks/{id}/health`: a fixed answer to probes, or one that changes each `flap_ms`.
    pub(super) fn set_health(&mut self, task: &str, alive: Option<bool>, flap_ms: Option<u64>) -> Answer {
        let Some(found) = self.instance_of_task(task) else { return Answer::missing_task(task) };
        let id = found.id.clone();
        if flap_ms.is_some_and(|millis| millis == 0 || millis > MILLIS_MAX) {
            return Answer::message(422, "flapMs is from 1 to 86400000");
        }
        if alive.is_none() && flap_ms.is_none() {
            return Answer::message(422, "either alive or flapMs has to be given");
        }
        let period =
            flap_ms.map(|millis| self.scaled(Duration::from_millis(millis)).max(Duration::from_millis(1)));
        let flap = period.map(|period| self.flap_timer(&id, period));
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.flap = flap;
        }
        if let Some(alive) = alive {
            self.script_health(&id, alive);
        }
        Answer::json(200, &json!({}))
    }

    /// The address that was missing is there: the same state is told again.
    pub(super) fn late_address(&mut self, id: &InstanceId, incarnation: u32) {
        let Some(agent) =
            self.runs(id, incarnation).filter(|found| found.ip.is_none()).and_then(|found| found.agent)
        else {
            return;
        };
        let Some(mut instance) = self.instances.remove(id) else { return };
        instance.ip = self.take_address(agent, instance.def.mode());
        self.more_addresses(&mut instance, agent);
        self.tell_status(&mut instance, Condition::Running, "");
        self.dirty.insert(instance.app.clone());
        self.instances.insert(id.clone(), instance);
    }
}
