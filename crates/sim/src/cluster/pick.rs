//! Choosing tasks by description: "any running task of /web".

use super::Cluster;
use super::instance::{Condition, Instance};
use super::path::PathId;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// Which of those that fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Which {
    /// As many as `count`, drawn by the seed.
    #[default]
    Any,
    /// The `count` that run longest.
    Oldest,
    /// The `count` that run shortest.
    Youngest,
    /// All of them.
    All,
}

/// What tasks have to be like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PickState {
    /// Running, and not about to die.
    #[default]
    Running,
    /// Running, but not healthy.
    Unhealthy,
    /// Unreachable.
    Lost,
    /// On their way to running.
    Starting,
    /// Whatever has a task.
    Live,
}

/// A description of tasks. As JSON an object, or the id of an app or pod for any one running task of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The app or pod; none is any.
    pub app: Option<PathId>,
    /// Which of them.
    pub which: Which,
    /// What they have to be like.
    pub state: PickState,
    /// How many at most; `All` knows no limit.
    pub count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    app: Option<String>,
    #[serde(default)]
    which: Which,
    #[serde(default)]
    state: PickState,
    count: Option<usize>,
}

impl<'de> Deserialize<'de> for Pick {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pick, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let written = match value {
            Value::String(app) => {
                Written { app: Some(app), which: Which::Any, state: PickState::Running, count: None }
            }
            object => serde_json::from_value(object).map_err(D::Error::custom)?,
        };
        let app = written.app.as_deref().map(PathId::lenient);
        if let Some(fault) = app.as_ref().and_then(PathId::fault) {
            return Err(D::Error::custom(format!("app {fault}")));
        }
        if written.count == Some(0) {
            return Err(D::Error::custom("count has to be at least 1"));
        }
        Ok(Pick { app, which: written.which, state: written.state, count: written.count.unwrap_or(1) })
    }
}

impl Pick {
    /// All tasks of an app that have one.
    #[must_use]
    pub fn all_of(app: PathId) -> Pick {
        Pick { app: Some(app), which: Which::All, state: PickState::Live, count: usize::MAX }
    }
}

impl Cluster {
    /// The ids of the tasks that fit, in the order of their instances' ids, and cut down to what was wanted by `draw`,
    /// which gives a number below its argument. Of pods, the first container stands for the instance.
    pub fn pick(&self, pick: &Pick, draw: &mut dyn FnMut(usize) -> usize) -> Vec<String> {
        let fits = |found: &&Instance| {
            let of_app = pick.app.as_ref().is_none_or(|app| found.app == *app);
            of_app
                && match pick.state {
                    PickState::Running => found.condition == Condition::Running && !found.dying,
                    PickState::Unhealthy => {
                        found.condition == Condition::Running && found.healthy() == Some(false)
                    }
                    PickState::Lost => found.lost.is_some(),
                    PickState::Starting => matches!(
                        found.condition,
                        Condition::Provisioned | Condition::Staging | Condition::Starting
                    ),
                    PickState::Live => found.condition.has_task(),
                }
        };
        let mut found: Vec<&Instance> = self.instances.values().filter(fits).collect();
        match pick.which {
            Which::All => return found.into_iter().map(|found| self.task_id(found)).collect(),
            Which::Oldest => found.sort_by_key(|found| (found.started_at, found.id.clone())),
            Which::Youngest => {
                found.sort_by_key(|found| (std::cmp::Reverse(found.started_at), found.id.clone()));
            }
            Which::Any => {
                for at in 0..found.len().min(pick.count) {
                    let other = at + draw(found.len() - at);
                    if other < found.len() {
                        found.swap(at, other);
                    }
                }
            }
        }
        found.into_iter().take(pick.count).map(|found| self.task_id(found)).collect()
    }

    /// The id of the deployment that changes an app, if there is one.
    #[must_use]
    pub fn deployment_of(&self, app: &PathId) -> Option<String> {
        self.deployments_of(app).next().map(str::to_owned)
    }
}
