//! Differences that a listing showed and no event had announced. They become missed events only when no event explains
//! them shortly after: a listing is often ahead of the stream by the events that are still on their way.

use std::collections::BTreeMap;
use std::time::Duration;

use mconn_model::{AppEntry, AppId, AppTask, TaskStatus};

/// Differences per app that wait for an explanation.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    apps: BTreeMap<AppId, (u64, Duration)>,
    wake: Option<Duration>,
}

impl Suspects {
    /// Counts differences of an app; without an event they are missed events at `until`.
    pub(crate) fn add(&mut self, app: &AppId, count: u64, until: Duration) {
        if count == 0 {
            return;
        }
        self.apps.entry(app.clone()).or_insert((0, until)).0 += count;
        self.wake = Some(self.wake.map_or(until, |wake| wake.min(until)));
    }

    /// An event about the app arrived.
    pub(crate) fn explain(&mut self, app: &AppId) {
        if !self.apps.is_empty() {
            self.apps.remove(app);
        }
    }

    /// An event about everything below a group arrived.
    pub(crate) fn explain_group(&mut self, group: &str) {
        self.apps.retain(|app, _| app.as_str() != group && !app.is_below(group));
    }

    /// The stream broke: nobody can say any more whether events would have come.
    pub(crate) fn drop_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.wake
    }

    /// What nobody explained in time.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<(AppId, u64)> {
        if self.wake.is_none_or(|wake| wake > now) {
            return Vec::new();
        }
        let missed = self.apps.iter().filter(|(_, (_, until))| *until <= now);
        let missed: Vec<_> = missed.map(|(app, (count, _))| (app.clone(), *count)).collect();
        self.apps.retain(|_, (_, until)| *until > now);
        self.wake = self.apps.values().map(|(_, until)| *until).min();
        missed
    }
}

/// Differences between what is known of an app and what a listing says, as far as events would have announced them.
/// Left out: what no event tells (times, readiness, counts of failures), addresses that arrive late, health that was
/// forgotten, states that old Marathons do not post, and the running deployments.
pub(crate) fn differences(old: &AppEntry, new: &AppEntry) -> u64 {
    let definition = match (&old.app, &new.app) {
        (Some(old), Some(new)) => {
            old.version != new.version || old.labels != new.labels || old.ports != new.ports
        }
        _ => match (&old.pod, &new.pod) {
            (Some(old), Some(new)) => old.version != new.version,
            _ => true,
        },
    };
    let mut count = u64::from(definition);
    let (mut olds, mut news) = (old.tasks.iter().peekable(), new.tasks.iter().peekable());
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return count,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.task.id.cmp(&new.task.id),
        };
        let old = if order.is_le() { olds.next() } else { None };
        let new = if order.is_ge() { news.next() } else { None };
        let differs = match (old, new) {
            (Some(old), Some(new)) => task_differs(&old.task, &new.task),
            (Some(gone), None) => gone.task.status == TaskStatus::Running,
            (None, Some(appeared)) => appeared.task.status == TaskStatus::Running,
            (None, None) => false,
        };
        count += u64::from(differs);
    }
}

fn task_differs(old: &AppTask, new: &AppTask) -> bool {
    let posted = |status: &TaskStatus| {
        !matches!(status, TaskStatus::Staging | TaskStatus::Starting) && !status.is_terminal()
    };
    let alive =
        |task: &AppTask| (!task.health.is_empty()).then(|| task.health.iter().all(|result| result.alive));
    (old.status != new.status && posted(&new.status))
        || (!old.ports.is_empty() && !new.ports.is_empty() && old.ports != new.ports)
        || (!old.addresses.is_empty() && !new.addresses.is_empty() && old.addresses != new.addresses)
        || matches!((alive(old), alive(new)), (Some(old), Some(new)) if old != new)
}
