//! A cheap look at every task, for whoever runs the cluster in virtual time and compares with the truth at each step.
//!
//! [`Cluster::state`] tells more, as JSON; this one allocates nothing.

use super::instance::{Condition, Instance, InstanceId};
use super::path::PathId;
use super::{App, Cluster};
use crate::profile::PlainTasks;
use crate::time::Time;

/// One instance with its present task, as it is and not as readers see it.
#[derive(Debug, Clone, Copy)]
pub struct Glance<'a> {
    /// The instance.
    pub instance: &'a InstanceId,
    /// Counts the tasks of this instance, from 1.
    pub incarnation: u32,
    /// Its app.
    pub app: &'a PathId,
    /// The version of the last change of its definition that matters to tasks.
    pub config: Time,
    /// What state it is in.
    pub condition: Condition,
    /// It goes for good once its task is dead.
    pub decommissioned: bool,
    /// Its task has got SIGTERM.
    pub dying: bool,
    /// Every declared check has a result, and all are alive; true if there is none to have.
    pub passes: bool,
    /// Any check has a result that is not alive.
    pub failing: bool,
    /// Its readiness check has passed, or nobody asks: readiness is known in deployments alone.
    pub ready: bool,
}

/// One app as it is wanted.
#[derive(Debug, Clone, Copy)]
pub struct AppGlance<'a> {
    /// Its id.
    pub id: &'a PathId,
    /// The version that readers see; none while it is not visible.
    pub visible: Option<Time>,
    /// The version of the last change that matters to tasks, as readers see it.
    pub config: Option<Time>,
    /// Its deletion is under way.
    pub deleted: bool,
    /// A deployment is changing it.
    pub deploying: bool,
}

impl Cluster {
    /// All instances, in order of their ids.
    pub fn glances(&self) -> impl Iterator<Item = Glance<'_>> {
        self.instances.values().map(|found| self.glance(found))
    }

    fn glance<'a>(&self, found: &'a Instance) -> Glance<'a> {
        let results = || found.checks.iter().map(|check| check.result.as_ref());
        let asked = || self.deployments_of(&found.app).next().is_some();
        Glance {
            instance: &found.id,
            incarnation: found.incarnation,
            app: &found.app,
            config: found.def.version_info.last_config_change_at,
            condition: found.condition,
            decommissioned: found.decommissioned,
            dying: found.dying,
            passes: results().all(|result| result.is_some_and(|result| result.alive)),
            failing: results().flatten().any(|result| !result.alive),
            ready: found.ready_at.is_none_or(|ready_at| ready_at <= self.now) || !asked(),
        }
    }

    /// All apps, in order of their ids.
    pub fn app_glances(&self) -> impl Iterator<Item = AppGlance<'_>> {
        self.apps.iter().map(|(id, app): (&PathId, &App)| AppGlance {
            id,
            visible: app.visible.as_ref().map(|def| def.version),
            config: app.visible.as_ref().map(|def| def.version_info.last_config_change_at),
            deleted: app.deleted,
            deploying: self.deployments_of(id).next().is_some(),
        })
    }

    /// The id of the instance's present task, and `address:port` of each declared port of its definition, in order;
    /// none where there is no address. `None` if there is no such instance.
    #[must_use]
    pub fn places(&self, instance: &str) -> Option<(String, Vec<Option<String>>)> {
        let found = self.instances.get(instance)?;
        let all = ["*".to_owned()];
        let ports = found.def.service_ports().len();
        let places =
            (0..ports).map(|index| self.endpoint(found, index, &all, PlainTasks::OnlyReachable)).collect();
        Some((self.task_id(found), places))
    }
}
