//! What a cluster that was left alone should look like.

use std::time::Duration;

use mconn_catalog::invariants::overtime::{Expected, Settled};
use mconn_model::{AppId, Timestamp};

use super::Truth;

impl Truth {
    /// Everything as it is now; what changed within `quiet` is left out.
    pub(in super::super) fn settled(&self, now: Duration, quiet: Duration) -> Settled {
        let mut settled = Settled::default();
        let moved = |at: Duration| at + quiet > now;
        for (id, (changed, (version, ..))) in &self.app_changed {
            let id = AppId::parse(id).expect("the cluster gives usable ids");
            if moved(*changed) {
                settled.moving.push(id.clone());
            }
            if let Some(version) = version {
                settled.apps.insert(id, Timestamp::from_millis(*version as i64));
            }
        }
        settled.moving.sort();
        for &at in &self.open {
            let task = &self.tasks[at];
            let app = AppId::parse(&task.app).expect("the cluster gives usable ids");
            if settled.moving.contains(&app) {
                continue;
            }
            let places = task.places.iter().enumerate();
            let places = places.filter_map(|(port, place)| Some((port, place.clone()?))).collect();
            match task.shown {
                _ if moved(task.changed) => drop(settled.tasks.insert(task.id.clone(), None)),
                Some(status) => {
                    let expected = Expected { app, status, routable: task.routable, places };
                    settled.tasks.insert(task.id.clone(), Some(expected));
                }
                None => {}
            }
        }
        settled
    }
}
