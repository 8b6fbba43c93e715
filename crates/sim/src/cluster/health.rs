//! Health checks: results, flips, and kills.
//!
//! A check whose result agrees with what its probes will find changes nothing but the time of its last success. Such
//! probes are computed when somebody looks, not simulated: a large steady cluster sleeps.

use super::event::Body;
use super::instance::{Condition, Instance, InstanceId};
use super::{Cluster, Timer};
use crate::time::Time;
use std::time::Duration;

/// What is known from one check of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckResult {
    pub(crate) alive: bool,
    pub(crate) consecutive_failures: u32,
    pub(crate) first_success: Option<Time>,
    pub(crate) last_success: Option<Time>,
    pub(crate) last_failure: Option<Time>,
    pub(crate) last_failure_cause: Option<&'static str>,
}

/// One check of one task.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) result: Option<CheckResult>,
    /// The time of the first probe, which all others are multiples of `interval` after.
    pub(crate) first: Time,
    pub(crate) interval: Duration,
    /// Whether a timer stands for the next probe.
    pub(crate) probing: bool,
    /// When the next probe is due. A timer that fires before is one from before a partition.
    pub(crate) due: Time,
}

impl Check {
    /// The last probe up to `now`; none before the first.
    fn last_tick(&self, now: Time) -> Option<Time> {
        let interval = self.interval.as_millis() as u64;
        let passed = now.0.checked_sub(self.first.0)?;
        Some(Time(now.0 - passed % interval.max(1)))
    }

    /// The first probe after `now`.
    fn next_tick(&self, now: Time) -> Time {
        self.last_tick(now).map_or(self.first, |last| last.after(self.interval))
    }

    /// The result with the successes since that were not simulated.
    pub(crate) fn shown(&self, now: Time) -> Option<CheckResult> {
        let mut result = self.result.clone()?;
        if result.alive && !self.probing {
            result.last_success = self.last_tick(now).max(result.last_success);
        }
        Some(result)
    }
}

impl Cluster {
    /// The task runs: its checks begin.
    pub(super) fn begin_health(&mut self, instance: &mut Instance) {
        let def = instance.def.clone();
        instance.checks.clear();
        let scripted = self.first_probe_delay(&instance.app);
        for (index, check) in def.health_checks.iter().enumerate() {
            let interval = self.check_interval(check.interval_seconds);
            let delay = match self.options.timeline.first_health {
                _ if scripted.is_some() => scripted.unwrap_or_default(),
                Some(span) => self.draw_scaled(span),
                None if check.by_marathon() => {
                    Duration::from_millis(self.rng.u64(0..=interval.as_millis() as u64))
                }
                None => self.scaled(Duration::from_secs(u64::from(check.delay_seconds))),
            };
            let first = self.now.after(delay);
            instance.checks.push(Check { result: None, first, interval, probing: true, due: first });
            self.set_timer(delay, Timer::Probe(instance.id.clone(), instance.incarnation, index));
        }
    }

    /// No probe comes through any more: what is known stays as it is.
    pub(super) fn freeze_health(&mut self, instance: &mut Instance) {
        for check in &mut instance.checks {
            check.result = check.shown(self.now);
            check.probing = true;
            check.due = Time::NEVER;
        }
    }

    /// Probes come through again.
    pub(super) fn resume_health(&mut self, instance: &mut Instance) {
        let now = self.now;
        for (index, check) in instance.checks.iter_mut().enumerate() {
            check.due = check.next_tick(now);
            let timer = Timer::Probe(instance.id.clone(), instance.incarnation, index);
            self.set_timer(check.due.since(now), timer);
        }
    }

    fn check_interval(&self, seconds: u32) -> Duration {
        self.scaled(Duration::from_secs(u64::from(seconds))).max(Duration::from_millis(1))
    }

    /// A check that has been succeeding for some time; for tasks that are put in place.
    pub(super) fn steady_check(&mut self, seconds: u32) -> Check {
        let interval = self.check_interval(seconds);
        let first = self.now;
        let result = CheckResult {
            alive: true,
            first_success: Some(first),
            last_success: Some(first),
            ..Default::default()
        };
        Check { result: Some(result), first, interval, probing: false, due: Time::NEVER }
    }

    pub(super) fn probe(&mut self, id: &InstanceId, incarnation: u32, index: usize) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        let current = instance.incarnation == incarnation && instance.condition == Condition::Running;
        let due = current && instance.checks.get(index).is_some_and(|check| check.due <= self.now);
        let doomed = due && self.probe_once(&mut instance, index);
        let app = instance.app.clone();
        self.instances.insert(id.clone(), instance);
        if doomed && let Some(doom) = self.doom(id, index) {
            match doom {
                Doom::Kill => self.kill(id, false),
                Doom::Fail(message) => self.fail_container(id, index, message),
            }
        }
        self.dirty.insert(app);
    }

    /// Makes one probe; true when it was the last straw.
    fn probe_once(&mut self, instance: &mut Instance, index: usize) -> bool {
        let def = instance.def.clone();
        let Some(declared) = def.health_checks.get(index) else { return false };
        let grace = self.scaled(Duration::from_secs(u64::from(declared.grace_period_seconds)));
        let in_grace = instance.started_at.is_none_or(|started| self.now < started.after(grace));
        let check = &mut instance.checks[index];
        let steady = check.shown(Time(self.now.0.saturating_sub(check.interval.as_millis() as u64)));
        let mut result = check.result.clone().map(|old| steady.unwrap_or(old)).unwrap_or_default();
        let was_alive = result.alive;
        let (mut doomed, mut failed) = (false, false);
        if instance.answers_probes {
            result.alive = true;
            result.consecutive_failures = 0;
            result.first_success.get_or_insert(self.now);
            result.last_success = Some(self.now);
        } else if result.first_success.is_some() || !in_grace {
            let failures = result.consecutive_failures;
            doomed = if declared.by_marathon() {
                declared.max_consecutive_failures > 0 && failures >= declared.max_consecutive_failures
            } else {
                failures + 1 >= declared.max_consecutive_failures
            };
            result.alive = false;
            result.consecutive_failures = failures + 1;
            result.last_failure = Some(self.now);
            result.last_failure_cause = Some("500 Internal Server Error");
            failed = true;
        }
        let (alive, counted) =
            (result.alive, result.first_success.is_some() || result.last_failure.is_some());
        check.result = Some(result);
        check.probing = !alive;
        let next = check.next_tick(self.now);
        check.due = if check.probing { next } else { Time::NEVER };
        if check.probing {
            let timer = Timer::Probe(instance.id.clone(), instance.incarnation, index);
            self.set_timer(next.since(self.now), timer);
        }
        if failed && declared.by_marathon() {
            self.emit_failed_check(instance, declared);
        }
        if alive != was_alive && !declared.by_marathon() {
            // Mesos tells health inside a repeated status update.
            self.tell_probe(instance, index);
        }
        if alive != was_alive && instance.def.pod.is_none() {
            self.emit_flip(instance, alive);
        }
        if counted {
            // Of what Mesos reports both the tracker and the health actor may tell.
            let twice = !declared.by_marathon() && instance.def.pod.is_none() && self.rng.bool();
            self.tell_health(instance, twice);
        }
        doomed
    }

    /// `instance_health_changed_event`, if the aggregate is another one than told last.
    fn tell_health(&mut self, instance: &mut Instance, twice: bool) {
        let healthy = instance.healthy();
        if healthy == instance.told_health {
            return;
        }
        instance.told_health = healthy;
        if healthy == Some(true)
            && let Some(app) = self.apps.get_mut(&instance.app)
        {
            app.backoff = Duration::ZERO;
        }
        if !self.options.profile.events.instances {
            return;
        }
        for _ in 0..=usize::from(twice) {
            self.emit(&Body::InstanceHealthChanged {
                instance_id: &instance.id,
                run_spec_version: instance.def.version,
                healthy,
                run_spec_id: &instance.app,
            });
        }
    }

    /// How a task with too many failures goes: Marathon kills it, or Mesos has already done so.
    fn doom(&mut self, id: &InstanceId, index: usize) -> Option<Doom> {
        let instance = self.instances.get(id)?.clone();
        if !instance.def.health_checks.get(index)?.by_marathon() {
            return Some(Doom::Fail("Container terminated because its health check failed"));
        }
        let events = self.options.profile.events;
        if !events.unhealthy_kill {
            return Some(Doom::Kill);
        }
        let (agent, host) = self.agent_names(&instance)?;
        self.emit(&Body::UnhealthyKill {
            app_id: &instance.app,
            task_id: &self.task_id(&instance),
            instance_id: events.instances.then_some(&*instance.id),
            version: instance.def.version,
            reason: "500 Internal Server Error",
            host: &host,
            slave_id: &agent,
        });
        Some(Doom::Kill)
    }

    /// Scripts what the probes of a task find from now on.
    pub(super) fn script_health(&mut self, id: &InstanceId, alive: bool) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.answers_probes = alive;
        let (incarnation, now) = (instance.incarnation, self.now);
        let mut due = Vec::new();
        for (index, check) in instance.checks.iter_mut().enumerate() {
            if !check.probing {
                check.result = check.shown(now);
                check.probing = true;
                check.due = check.next_tick(now);
                due.push((index, check.due.since(now)));
            }
        }
        for (index, delay) in due {
            self.set_timer(delay, Timer::Probe(id.clone(), incarnation, index));
        }
    }

    /// A new leader knows no result of the checks that Marathon makes, until the next probe.
    pub(super) fn forget_health(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        for instance in self.instances.values_mut() {
            for (index, (check, declared)) in
                instance.checks.iter_mut().zip(&instance.def.health_checks).enumerate()
            {
                if !declared.by_marathon() {
                    continue;
                }
                check.result = None;
                if !check.probing {
                    check.probing = true;
                    check.due = check.next_tick(now);
                    let delay = check.due.since(now);
                    due.push((delay, Timer::Probe(instance.id.clone(), instance.incarnation, index)));
                }
            }
            instance.told_health = instance.healthy();
        }
        for (delay, timer) in due {
            self.set_timer(delay, timer);
        }
    }
}

enum Doom {
    Kill,
    Fail(&'static str),
}
