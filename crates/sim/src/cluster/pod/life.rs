//! The way of a pod's containers: each has a status of its own, the instance's condition is what they have in common.

use crate::cluster::definition::AppDef;
use crate::cluster::event::Body;
use crate::cluster::instance::{Condition, Instance, InstanceId, PodTask};
use crate::cluster::{Cluster, Timer};
use crate::profile::TaskIds;
use std::sync::Arc;
use std::time::Duration;

fn is_over(condition: Condition) -> bool {
    matches!(condition, Condition::Finished | Condition::Failed | Condition::Killed | Condition::Gone)
}

/// The condition that containers have together: that of the one that is furthest from running.
fn aggregate(containers: &[PodTask]) -> Condition {
    let order = [
        Condition::Failed,
        Condition::Gone,
        Condition::Unreachable,
        Condition::Killing,
        Condition::Staging,
        Condition::Starting,
        Condition::Running,
    ];
    let has = |wanted: &Condition| containers.iter().any(|found| found.condition == *wanted);
    order.into_iter().find(has).unwrap_or(Condition::Killed)
}

impl Cluster {
    /// `web.instance-<uuid>.<container>`, and from 1.8 on `.<n>`.
    pub(in crate::cluster) fn container_task_id(&self, instance: &Instance, index: usize) -> String {
        let pod = instance.def.pod.as_ref();
        let name = pod.and_then(|pod| pod.containers.get(index)).map_or("", |container| &container.name);
        match self.options.profile.task_ids {
            TaskIds::InstanceIncarnation => format!("{}.{name}.{}", instance.id, instance.incarnation),
            TaskIds::AppUuid => format!("{}.{name}", instance.id),
        }
    }

    /// The instance and the container whose present task has this id.
    pub(in crate::cluster) fn container_of_task(&self, task: &str) -> Option<(&Instance, usize)> {
        /// A UUID has 36 characters.
        const AFTER: usize = ".instance-".len() + 36;
        let end = task.rfind(".instance-")? + AFTER;
        let instance = self.instances.get(task.get(..end)?)?;
        let index =
            (0..instance.containers.len()).find(|&index| self.container_task_id(instance, index) == task)?;
        Some((instance, index))
    }

    pub(in crate::cluster) fn waiting_containers(&self, def: &AppDef) -> Vec<PodTask> {
        let containers = def.pod.iter().flat_map(|pod| &pod.containers);
        containers.map(|_| PodTask { condition: Condition::Scheduled, since: self.now }).collect()
    }

    /// `status_update_event` about one container.
    fn emit_container(&mut self, instance: &Instance, index: usize, state: &str, message: &str) {
        let Some(pod) = instance.def.pod.clone() else { return };
        let (agent, host) = self.agent_names(instance).unzip();
        let addresses: Vec<_> = instance.ip.iter().chain(&instance.more_ips).cloned().collect();
        self.emit(&Body::StatusUpdate {
            slave_id: agent.as_deref().unwrap_or_default(),
            task_id: &self.container_task_id(instance, index),
            task_status: state,
            message,
            app_id: &instance.app,
            host: host.as_deref().unwrap_or_default(),
            ip_addresses: Some(&addresses),
            ports: pod.ports_of(index, &instance.host_ports),
            version: instance.def.version,
        });
    }

    /// What Mesos reports about a task, or about each container that is not over yet.
    pub(in crate::cluster) fn tell_status(
        &mut self,
        instance: &mut Instance,
        condition: Condition,
        message: &str,
    ) {
        if instance.containers.is_empty() {
            self.emit_status(instance, condition.task_state(), message);
            return;
        }
        for index in 0..instance.containers.len() {
            self.tell_container(instance, index, condition, condition.task_state(), message);
        }
    }

    fn tell_container(
        &mut self,
        instance: &mut Instance,
        index: usize,
        condition: Condition,
        state: &str,
        message: &str,
    ) {
        let now = self.now;
        let Some(container) = instance.containers.get_mut(index).filter(|found| !is_over(found.condition))
        else {
            return;
        };
        if container.condition != condition {
            container.condition = condition;
            container.since = now;
        }
        self.emit_container(instance, index, state, message);
    }

    /// Health comes inside a repeated update of the task, or of the container that the check belongs to.
    pub(in crate::cluster) fn tell_probe(&mut self, instance: &Instance, check: usize) {
        let state = Condition::Running.task_state();
        match &instance.def.pod {
            Some(pod) => {
                if let Some(index) = pod.container_of_check(check) {
                    self.emit_container(instance, index, state, "");
                }
            }
            None => self.emit_repeated_running(instance),
        }
    }

    /// The agent starts the containers of an instance, one after the other.
    pub(in crate::cluster) fn start_containers(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let (app, incarnation, count) =
            (instance.app.clone(), instance.incarnation, instance.containers.len());
        for index in 0..count {
            // Images are pulled side by side, so each container has its own time.
            let start = self.start_delay(&app);
            let timer = |condition| Timer::Container(id.clone(), incarnation, index, condition);
            if self.options.profile.starting_updates {
                self.set_timer(start / 2, timer(Condition::Starting));
            }
            self.set_timer(start, timer(Condition::Running));
            self.watch_launch(id, incarnation, start);
        }
    }

    /// After SIGTERM the containers end one after the other, the last one with the instance.
    pub(in crate::cluster) fn end_containers(&mut self, instance: &Instance, delay: Duration) {
        let count = instance.containers.len() as u32;
        for index in 1..count {
            let at = delay * index / count;
            let timer = Timer::Container(
                instance.id.clone(),
                instance.incarnation,
                index as usize,
                Condition::Killed,
            );
            self.set_timer(at, timer);
        }
    }

    /// One container has got on.
    pub(in crate::cluster) fn container_moved(
        &mut self,
        id: &InstanceId,
        incarnation: u32,
        index: usize,
        condition: Condition,
    ) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        let starts = matches!(condition, Condition::Starting | Condition::Running);
        let present = instance.containers.get(index).map(|found| found.condition);
        let possible = match condition {
            Condition::Starting => present == Some(Condition::Staging),
            Condition::Running => matches!(present, Some(Condition::Staging | Condition::Starting)),
            _ => true,
        };
        let stale =
            instance.incarnation != incarnation || instance.lost.is_some() || instance.dying == starts;
        if stale || !possible {
            self.instances.insert(id.clone(), instance);
            return;
        }
        if condition == Condition::Running {
            self.address(&mut instance);
        }
        let message = if starts { "" } else { "Command terminated with signal Terminated" };
        self.tell_container(&mut instance, index, condition, condition.task_state(), message);
        let together = aggregate(&instance.containers);
        let changed = starts && together != instance.condition;
        if changed && together == Condition::Starting {
            instance.condition = together;
            self.emit_instance(&instance, together);
        }
        self.dirty.insert(instance.app.clone());
        self.instances.insert(id.clone(), instance);
        if changed && together == Condition::Running {
            self.running(id, incarnation);
        }
    }

    /// The end of the instance: what is not over yet is over now. The first failure takes the others along.
    pub(in crate::cluster) fn tell_last_containers(
        &mut self,
        instance: &mut Instance,
        state: &str,
        message: &str,
    ) {
        let condition = instance.condition;
        let culprit = instance.containers.iter().position(|found| !is_over(found.condition));
        for index in 0..instance.containers.len() {
            if condition == Condition::Failed && Some(index) != culprit {
                let killed = Condition::Killed;
                self.tell_container(
                    instance,
                    index,
                    killed,
                    killed.task_state(),
                    "Container's executor terminated",
                );
            } else {
                self.tell_container(instance, index, condition, state, message);
            }
        }
    }

    /// The container of a check that failed too often is killed by its agent, and the others with it.
    pub(in crate::cluster) fn fail_container(&mut self, id: &InstanceId, check: usize, message: &str) {
        let pod = self.instances.get(id).and_then(|instance| instance.def.pod.clone());
        match pod.and_then(|pod| pod.container_of_check(check)) {
            Some(index) => self.container_over(id, index, Condition::Failed, message),
            None => self.end(id, Condition::Failed, message),
        }
    }

    /// One container ends by itself. Its pod goes on if it has finished, and ends if it has failed.
    pub(in crate::cluster) fn container_over(
        &mut self,
        id: &InstanceId,
        index: usize,
        condition: Condition,
        message: &str,
    ) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        self.tell_container(&mut instance, index, condition, condition.task_state(), message);
        if condition == Condition::Failed {
            for other in 0..instance.containers.len() {
                let killed = Condition::Killed;
                self.tell_container(
                    &mut instance,
                    other,
                    killed,
                    killed.task_state(),
                    "Container's executor terminated",
                );
            }
        }
        let over = instance.containers.iter().all(|found| is_over(found.condition));
        self.dirty.insert(instance.app.clone());
        self.instances.insert(id.clone(), instance);
        if over {
            self.end(id, condition, message);
        }
    }

    /// The addresses in the networks beyond the first.
    pub(in crate::cluster) fn more_addresses(&mut self, instance: &mut Instance, agent: usize) {
        let def: Arc<AppDef> = instance.def.clone();
        if def.pod.is_none() || !instance.more_ips.is_empty() {
            return;
        }
        let further = def.networks.iter().skip(1);
        instance.more_ips = further.filter_map(|network| self.take_address(agent, network.mode)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_as_far_as_its_last_container() {
        use Condition::{Failed, Finished, Running, Staging, Starting};
        let together = |conditions: &[Condition]| {
            let task = |&condition: &Condition| PodTask { condition, since: crate::Time(0) };
            aggregate(&conditions.iter().map(task).collect::<Vec<_>>())
        };
        assert_eq!(together(&[Running, Staging]), Staging);
        assert_eq!(together(&[Running, Starting]), Starting);
        assert_eq!(together(&[Running, Finished]), Running);
        assert_eq!(together(&[Failed, Running]), Failed);
    }
}
