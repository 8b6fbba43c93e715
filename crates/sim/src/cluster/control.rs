//! What a simulation can do that no Marathon can: scripted fates, forged events, a full cluster at once.

use super::answer::Answer;
use super::change::INSTANCES_MAX;
use super::definition::AppDef;
use super::event::{Body, Event};
use super::instance::{Condition, Instance, InstanceId};
use super::path::PathId;
use super::step::{Command, Effect, Fate};
use super::{App, Cluster, parse};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Cluster {
    /// Commands that are answered at once.
    pub(super) fn control(&mut self, command: Command) -> Answer {
        match command {
            Command::PortsBound { task, ports } => self.ports_bound(&task, ports),
            Command::StreamAttached { remote } => {
                self.emit(&Body::StreamAttached { remote_address: &remote });
            }
            Command::StreamDetached { remote } => {
                self.emit(&Body::StreamDetached { remote_address: &remote });
            }
            Command::Subscribed { client_ip, url } => {
                let body = Body::Subscribe { client_ip: &client_ip, callback_url: &url };
                return self.emit_and_answer(&body);
            }
            Command::Unsubscribed { client_ip, url } => {
                let body = Body::Unsubscribe { client_ip: &client_ip, callback_url: &url };
                return self.emit_and_answer(&body);
            }
            Command::EndTask { task, fate } => return self.end_task(&task, fate),
            Command::SetHealth { task, alive } => return self.set_health(&task, Some(alive), None),
            Command::FlapHealth { task, alive, flap_ms } => return self.set_health(&task, alive, flap_ms),
            Command::SetBehaviour { app, behaviour } => return self.set_behaviour(app, behaviour),
            Command::ChangeAgent { agent, fate } => return self.change_agent(&agent, fate),
            Command::JumpClock { ms } => return self.jump_clock(ms),
            Command::DisturbBus { trouble } => {
                if let Some(fault) = trouble.fault() {
                    return Answer::message(422, fault);
                }
                self.bus = trouble;
            }
            Command::RawEvent { body } => return self.raw_event(&body),
            Command::ChangeLeader { leader } => self.change_leader(leader),
            Command::Fill { apps, tasks, template } => return self.fill(apps, tasks, template),
            Command::ResetDelay { id } => return self.reset_delay(&id),
            // All others are writes, which `execute` has handled.
            _ => return Answer::failure("not a control command"),
        }
        Answer::json(200, &json!({}))
    }

    /// The answer of a subscription is its event.
    fn emit_and_answer(&mut self, body: &Body<'_>) -> Answer {
        let event = Event::new(body, self.now);
        let answer = Answer { body: Some(event.body.to_string()), ..Answer::empty(200) };
        self.post(event);
        answer
    }

    fn end_task(&mut self, task: &str, fate: Fate) -> Answer {
        if fate == Fate::Return {
            return self.return_task(task);
        }
        let container = self.container_of_task(task).map(|(_, index)| index);
        let Some(id) = self
            .instance_of_task(task)
            .filter(|found| found.condition.has_task())
            .map(|found| found.id.clone())
        else {
            return Answer::missing_task(task);
        };
        match fate {
            Fate::Fail => self.end_one(&id, container, Condition::Failed, "Command exited with status 1"),
            Fate::Finish => self.end_one(&id, container, Condition::Finished, "Command exited with status 0"),
            Fate::Lose => self.lose(&id),
            Fate::Kill => self.kill(&id, false),
            // Handled above.
            Fate::Return => {}
        }
        Answer::json(200, &json!({}))
    }

    /// Ends a task, or one container of a pod.
    fn end_one(&mut self, id: &InstanceId, container: Option<usize>, condition: Condition, message: &str) {
        match container {
            Some(index) => self.container_over(id, index, condition, message),
            None => self.end(id, condition, message),
        }
    }

    fn raw_event(&mut self, body: &Value) -> Answer {
        let Some(event_type) = body.get("eventType").and_then(Value::as_str) else {
            return Answer::message(422, "an event needs the string eventType");
        };
        if event_type.contains(['\r', '\n']) {
            return Answer::message(422, "eventType must be one line");
        }
        let (event_type, body) = (event_type.into(), body.to_string().into());
        self.post(Event { event_type, body, light: None });
        Answer::json(200, &json!({}))
    }

    fn change_leader(&mut self, leader: String) {
        self.leader = leader;
        self.effects.push(Effect::CloseStreams);
        self.forget_health();
        let master = self.leader.split(':').next().unwrap_or_default().to_owned();
        self.emit(&Body::SchedulerReregistered { master: &master });
        let apps: Vec<PathId> = self.apps.keys().cloned().collect();
        for app in &apps {
            self.tell_checks(app);
        }
    }

    fn reset_delay(&mut self, id: &PathId) -> Answer {
        let waiting = self.instances_of(id).any(|found| found.condition == Condition::Scheduled);
        let now = self.now;
        let Some(app) = self.apps.get_mut(id).filter(|_| waiting) else {
            return Answer::message(404, format!("Application {id} not found in tasks queue."));
        };
        app.backoff = std::time::Duration::ZERO;
        app.launch_after = now;
        let due: Vec<_> = self
            .instances_of(id)
            .filter(|found| found.condition == Condition::Scheduled && found.agent.is_none())
            .map(|found| super::Timer::Offer(found.id.clone(), found.incarnation))
            .collect();
        for timer in due {
            self.set_timer(std::time::Duration::ZERO, timer);
        }
        Answer::empty(204)
    }

    /// Puts `apps` apps with `tasks` running tasks each in place, below `/fill`.
    fn fill(&mut self, apps: u32, tasks: u32, template: Option<Value>) -> Answer {
        if self.instances.len() as u64 + u64::from(apps) * u64::from(tasks.max(1)) > INSTANCES_MAX {
            return Answer::message(422, format!("at most {INSTANCES_MAX} instances are simulated"));
        }
        let Value::Object(body) = template.unwrap_or_else(default_template) else {
            return Answer::message(422, "the template has to be a definition");
        };
        let version = self.next_version();
        let mut used = self.used_service_ports();
        let first = self.apps.keys().filter(|id| id.parent().as_str() == "/fill").count();
        for number in first..first + apps as usize {
            let id = PathId::lenient(&format!("/fill/app-{number:05}"));
            if self.apps.contains_key(&id) {
                continue;
            }
            if let Err(answer) = self.fill_one(&body, &id, tasks, version, &mut used) {
                return answer;
            }
        }
        self.add_ancestors(&PathId::lenient("/fill/app"), version);
        self.touch_groups(&PathId::lenient("/fill"), version);
        Answer::json(200, &json!({ "apps": self.apps.len(), "tasks": self.instances.len() }))
    }

    fn fill_one(
        &mut self,
        body: &Map<String, Value>,
        id: &PathId,
        tasks: u32,
        version: crate::time::Time,
        used: &mut BTreeSet<u16>,
    ) -> Result<(), Answer> {
        let mut def: AppDef = parse::canonical(body.clone(), id, version, &self.options.profile)?;
        def.instances = tasks;
        self.assign_service_ports(&mut def, None, used).map_err(|error| Answer::message(422, error))?;
        let def = Arc::new(def);
        let mut app = App::new(def.clone());
        app.visible = Some(def.clone());
        self.apps.insert(id.clone(), app);
        for _ in 0..tasks {
            self.place(&def)?;
        }
        Ok(())
    }

    /// A running, healthy task, without its history.
    fn place(&mut self, def: &Arc<AppDef>) -> Result<(), Answer> {
        let mut offer = self.take_offer(def);
        if offer.is_none() {
            // The cluster grows with what is put into it.
            self.add_agent();
            offer = self.take_offer(def);
        }
        let Some((agent, host_ports)) = offer else {
            return Err(Answer::message(422, "no agent can have the wanted host ports"));
        };
        let id = self.new_instance_id(def);
        let checks: Vec<_> =
            def.health_checks.iter().map(|check| self.steady_check(check.interval_seconds)).collect();
        let mut instance = Instance::new(id.clone(), def, self.now);
        instance.incarnation = 1;
        instance.condition = Condition::Running;
        instance.agent = Some(agent);
        instance.host_ports = host_ports;
        instance.ip = self.take_address(agent, def.mode());
        instance.staged_at = Some(self.now);
        instance.started_at = Some(self.now);
        instance.told_health = (!checks.is_empty()).then_some(true);
        instance.checks = checks;
        self.by_app.entry(def.id.clone()).or_default().insert(id.clone());
        self.instances.insert(id, instance);
        Ok(())
    }
}

/// What `fill` puts in place unless told otherwise: a bridged web server behind the external load balancer.
fn default_template() -> Value {
    json!({
        "cpus": 0.1, "mem": 64, "labels": { "HAPROXY_GROUP": "external" },
        "networks": [{ "mode": "container/bridge" }],
        "container": { "type": "DOCKER", "docker": { "image": "sim/web:1" },
            "portMappings": [{ "containerPort": 8080, "hostPort": 0, "name": "http" }] },
        "healthChecks": [{ "protocol": "HTTP", "path": "/", "portIndex": 0 }],
    })
}
