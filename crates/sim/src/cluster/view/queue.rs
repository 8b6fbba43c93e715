//! `GET /v2/queue`

use super::super::Cluster;
use super::AppJson;
use crate::cluster::answer::Answer;
use crate::cluster::instance::{Condition, Instance};
use crate::cluster::pod::PodView;
use crate::time::Time;
use serde::Serialize;

#[derive(Serialize)]
struct Queue<'a> {
    queue: Vec<Entry<'a>>,
}

/// What waits for offers. Versions that know no instances tell less.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<AppJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<PodView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    delay: Delay,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processed_offers_summary: Option<Offers>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Delay {
    time_left_seconds: u64,
    overdue: bool,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Offers {
    processed_offers_count: u32,
    unused_offers_count: u32,
    reject_summary_last_offers: [u8; 0],
    reject_summary_launch_attempt: [u8; 0],
}

impl Cluster {
    /// `GET /v2/queue`
    #[must_use]
    pub fn queue(&self) -> Answer {
        let profile = &self.options.profile;
        let mut queue = Vec::new();
        for app in self.apps.values() {
            let Some(def) = app.visible.as_deref() else { continue };
            let waiting: Vec<&Instance> =
                self.instances_of(&def.id).filter(|found| found.condition == Condition::Scheduled).collect();
            let Some(since) = waiting.iter().map(|found| found.since).min() else { continue };
            let time_left_seconds = app.launch_after.since(self.now).as_secs();
            queue.push(Entry {
                app: def.pod.is_none().then(|| self.app_json(def)),
                pod: PodView::new(def),
                count: profile.apps.version_info.then_some(waiting.len()),
                role: def.role.as_deref(),
                delay: Delay { time_left_seconds, overdue: time_left_seconds == 0 },
                since: profile.events.instances.then_some(since),
                processed_offers_summary: profile.events.instances.then(Offers::default),
            });
        }
        Answer::json(200, &Queue { queue })
    }
}
